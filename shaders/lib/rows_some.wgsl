// A batch need not be full: the settings of the run say how many rows count, the first ones of every ROW_STRIDE. COUNTED
// says of what: 0 = support examples, 1 = examples of a minibatch, 2 = queries.
// Needs lib/run_step.wgsl and the binding runs.

fn present(row: u32) -> bool {
    let counts = array<u32, 3>(runs[0].support, runs[0].rows, runs[0].queries);
    return row % ROW_STRIDE < counts[COUNTED];
}

fn loss_scale() -> f32 {
    if (COUNTED == 2u) {
        return runs[0].query_scale;
    }
    return runs[0].loss_scale;
}
