// The end of a meta-iteration: Δ = mean over tasks of (θ_i − start_i) in a fixed order, the outer
// step on θ, and the mean inner loss of every step for the metrics. With a memory (CAPACITY) Δ is the mean
// over its entries u of u − θ, and `adapted` is the memory. Where tasks came in several waves
// (SUMMED), `adapted` is what outer_sum.wgsl made of them, and the metrics hold sums. The last
// workgroup along x does the losses. Grid: (blocks of VECTORS + 1, runs). Needs lib/run_step.wgsl,
// lib/guard.wgsl, lib/task_sums.wgsl and lib/outer_<optimiser>.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> adapted: array<vec4<f32>>;         // [R, M, VECTORS], sums [R, VECTORS], or memory
@group(0) @binding(2) var<storage, read> anchors: array<vec4<f32>>;         // [R, M, VECTORS] for FOMAML
@group(0) @binding(3) var<storage, read_write> theta: array<vec4<f32>>;     // [R, VECTORS]
@group(0) @binding(4) var<storage, read_write> first: array<vec4<f32>>;     // [R, VECTORS]: momentum, m
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;    // [R, VECTORS]: v
@group(0) @binding(6) var<storage, read> losses: array<f32>;                // [R, M, STEPS]
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;         // [SLOTS, R, COLUMNS], losses first

fn mean_losses(run: u32, lane: u32) {
    for (var k = lane; k < STEPS; k += BLOCK) {
        let place = (runs[run].slot * RUNS + run) * COLUMNS + k;
        var sum = metrics[place];
        if (SUMMED == 0u) {
            sum = loss_sum(run, k, 0.0);
        }
        metrics[place] = sum * runs[run].tasks_inverse;
    }
}

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let run = group.y;
    if (group.x == groups.x - 1u) {
        mean_losses(run, lane);
        return;
    }
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let place = run * VECTORS + vector;
    let start = theta[place];
    var delta = vec4<f32>(0.0);
    if (CAPACITY > 0u) {
        for (var entry = 0u; entry < runs[run].entries; entry++) {
            delta += adapted[(run * CAPACITY + entry) * VECTORS + vector] - start;
        }
        delta *= runs[run].entries_inverse;
    } else if (SUMMED == 1u) {
        delta = adapted[place] * runs[run].tasks_inverse;
    } else {
        delta = delta_sum(run, vector, start, delta) * runs[run].tasks_inverse;
    }
    theta[place] = outer_step(runs[run], place, start, delta);
}
