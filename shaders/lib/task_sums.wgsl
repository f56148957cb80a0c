// Sums over the tasks of a wave that count, in their order. Needs lib/guard.wgsl, the bindings `adapted`,
// `anchors` and `losses`, and the constants VECTORS, TASKS (of a run in the wave), STEPS and FOMAML.

// `before` + Σ (θ_i − start_i): start_i is θ for Reptile and the parameters before the last inner step
// for FOMAML.
fn delta_sum(run: u32, vector: u32, start: vec4<f32>, before: vec4<f32>) -> vec4<f32> {
    var sum = before;
    for (var task = 0u; task < TASKS; task++) {
        if (!counts(run, task)) {
            continue;
        }
        let place = (run * TASKS + task) * VECTORS + vector;
        if (FOMAML == 1u) {
            sum += adapted[place] - anchors[place];
        } else {
            sum += adapted[place] - start;
        }
    }
    return sum;
}

// `before` + the losses of inner step k.
fn loss_sum(run: u32, k: u32, before: f32) -> f32 {
    var sum = before;
    for (var task = 0u; task < TASKS; task++) {
        sum += losses[(run * TASKS + task) * STEPS + k];
    }
    return sum;
}
