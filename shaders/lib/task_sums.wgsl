// What a set adds to Δ, and a task to the inner losses. Workgroups of Δ come first, those of the losses begin at vector LOSSES,
// with four inner steps a vector. Needs lib/run_step.wgsl, lib/guard.wgsl,
// the bindings `runs`, `adapted`, `anchors`, `losses` and `metrics`, and the constants VECTORS, LOSSES,
// SETS (of a run in `adapted`), TASKS (of a run in the wave), STEPS, RUNS, COLUMNS and FOMAML.

// θ_i − start_i: start_i is `start` (θ) for Reptile and the parameters before the last inner step for FOMAML; zero
// for a task that does not count.
fn addend(run: u32, index: u32, vector: u32, start: vec4<f32>, of_losses: bool) -> vec4<f32> {
    if (of_losses) {
        return losses_of(run, index, 4u * (vector - LOSSES));
    }
    if (!counts(run, index)) {
        return vec4<f32>(0.0);
    }
    let place = (run * SETS + index) * VECTORS + vector;
    if (FOMAML == 1u) {
        return adapted[place] - anchors[place];
    }
    return adapted[place] - start;
}

// A task's losses of inner step k and the three behind it.
fn losses_of(run: u32, task: u32, k: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    for (var c = 0u; c < 4u; c++) { // unroll
        if (k + c < STEPS) {
            four[c] = losses[(run * TASKS + task) * STEPS + k + c];
        }
    }
    return four;
}

// Adds the losses of `count` tasks to those that the metrics hold (if they are `kept`), and leaves `inverse` times the sum there.
fn sum_losses(run: u32, vector: u32, lane: u32, count: u32, kept: bool, inverse: f32) {
    let k = 4u * (vector - LOSSES);
    let place = (runs[run].slot * RUNS + run) * COLUMNS + k;
    var before = vec4<f32>(0.0);
    if (kept) {
        for (var c = 0u; c < 4u; c++) { // unroll
            if (k + c < STEPS) {
                before[c] = metrics[place + c];
            }
        }
    }
    let sum = inverse * ordered_sum(run, vector, lane, count, vec4<f32>(0.0), before, true);
    if (lane < ACROSS) {
        for (var c = 0u; c < 4u; c++) { // unroll
            if (k + c < STEPS) {
                metrics[place + c] = sum[c];
            }
        }
    }
}
