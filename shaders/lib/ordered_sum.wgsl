// Sums over sets in their order: an invocation adds the vectors of its own sum, one set after the other.
// `of_losses`, a constant at each call, says which sums. Needs `addend(run, index, vector, start, of_losses)` and the constants BLOCK and
// ACROSS (here BLOCK): the sums of a workgroup.

fn ordered_sum(
    run: u32,
    vector: u32,
    lane: u32,
    count: u32,
    start: vec4<f32>,
    before: vec4<f32>,
    of_losses: bool,
) -> vec4<f32> {
    var sum = before;
    for (var index = 0u; index < count; index++) {
        sum += addend(run, index, vector, start, of_losses);
    }
    return sum;
}
