// What a set adds to Δ, and a task to the inner losses: `vector` counts those of Δ, filled up to whole
// workgroups (LOSSES), then those of the losses of four inner steps each. Needs lib/run_step.wgsl, lib/guard.wgsl,
// the bindings `runs`, `adapted`, `anchors`, `losses` and `metrics`, and the constants VECTORS, LOSSES,
// SETS (of a run in `adapted`), TASKS (of a run in the wave), STEPS, RUNS, COLUMNS and FOMAML.

// θ_i − start_i: start_i is `start` (θ) for Reptile and the parameters before the last inner step for FOMAML; zero
// for a task that does not count.
fn addend(run: u32, index: u32, vector: u32, start: vec4<f32>) -> vec4<f32> {
    if (vector >= LOSSES) {
        var four = vec4<f32>(0.0);
        let k = 4u * (vector - LOSSES);
        for (var c = 0u; c < 4u; c++) { // unroll
            if (k + c < STEPS) {
                four[c] = losses[(run * TASKS + index) * STEPS + k + c];
            }
        }
        return four;
    }
    if (!counts(run, index)) {
        return vec4<f32>(0.0);
    }
    let place = (run * SETS + index) * VECTORS + min(vector, VECTORS - 1u);
    if (FOMAML == 1u) {
        return adapted[place] - anchors[place];
    }
    return adapted[place] - start;
}

// The place in the metrics of the run's mean loss of inner step k.
fn loss_place(run: u32, k: u32) -> u32 {
    return (runs[run].slot * RUNS + run) * COLUMNS + k;
}

// The sums of the losses that earlier waves left in the metrics.
fn losses_before(run: u32, vector: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    let k = 4u * (vector - LOSSES);
    for (var c = 0u; c < 4u; c++) { // unroll
        if (k + c < STEPS) {
            four[c] = metrics[loss_place(run, k + c)];
        }
    }
    return four;
}

fn put_losses(run: u32, vector: u32, four: vec4<f32>) {
    let k = 4u * (vector - LOSSES);
    for (var c = 0u; c < 4u; c++) { // unroll
        if (k + c < STEPS) {
            metrics[loss_place(run, k + c)] = four[c];
        }
    }
}
