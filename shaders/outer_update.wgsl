// The end of a meta-iteration: Δ = mean over tasks of (θ_i − start_i) in a fixed order, the outer
// step on θ, and the mean inner loss of every step for the metrics. With a memory (CAPACITY) Δ is the mean
// over its entries u of u − θ, and `adapted` is the memory. Where tasks came in several waves
// (SUMMED), `adapted` is what outer_sum.wgsl made of them, and the metrics hold sums.
// Grid: (blocks of ACROSS vectors of Δ, then of the losses; runs). Needs lib/run_step.wgsl,
// lib/guard.wgsl, lib/task_sums.wgsl, an `ordered_sum` and lib/outer_<optimiser>.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> adapted: array<vec4<f32>>;         // [R, M, VECTORS], sums [R, VECTORS], or memory
@group(0) @binding(2) var<storage, read> anchors: array<vec4<f32>>;         // [R, M, VECTORS] for FOMAML
@group(0) @binding(3) var<storage, read_write> theta: array<vec4<f32>>;     // [R, VECTORS]
@group(0) @binding(4) var<storage, read_write> first: array<vec4<f32>>;     // [R, VECTORS]: momentum, m
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;    // [R, VECTORS]: v
@group(0) @binding(6) var<storage, read> losses: array<f32>;                // [R, M, STEPS]
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;         // [SLOTS, R, COLUMNS], losses first

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let run = group.y;
    let vector = group.x * ACROSS + lane % ACROSS;
    let tasks_inverse = runs[run].tasks_inverse;
    if (group.x * ACROSS >= LOSSES) {
        sum_losses(run, vector, lane, TASKS, SUMMED == 1u, tasks_inverse);
        return;
    }
    let safe = min(vector, VECTORS - 1u);
    let place = run * VECTORS + safe;
    let start = theta[place];
    var before = vec4<f32>(0.0);
    var count = TASKS;
    var inverse = tasks_inverse;
    if (CAPACITY > 0u) {
        count = runs[run].entries;
        inverse = runs[run].entries_inverse;
    } else if (SUMMED == 1u) {
        before = adapted[place];
    }
    let delta = ordered_sum(run, safe, lane, count, start, before, false) * inverse;
    if (lane < ACROSS && vector < VECTORS) {
        theta[place] = outer_step(runs[run], place, start, delta);
    }
}
