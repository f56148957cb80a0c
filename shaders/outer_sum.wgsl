// What a wave of tasks adds to Δ and to the metrics; outer_update.wgsl goes on from there after the
// last wave. FIRST: the wave that begins the sums. Grid: (blocks of ACROSS vectors of Δ, then of the losses; runs).
// Needs lib/run_step.wgsl, lib/guard.wgsl, lib/task_sums.wgsl and an `ordered_sum`.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> adapted: array<vec4<f32>>;        // [R, TASKS, VECTORS]
@group(0) @binding(2) var<storage, read> anchors: array<vec4<f32>>;        // [R, TASKS, VECTORS] for FOMAML
@group(0) @binding(3) var<storage, read> theta: array<vec4<f32>>;          // [R, VECTORS]
@group(0) @binding(4) var<storage, read_write> sums: array<vec4<f32>>;     // [R, VECTORS]
@group(0) @binding(5) var<storage, read> losses: array<f32>;               // [R, TASKS, STEPS]
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;        // [SLOTS, R, COLUMNS], losses first

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let run = group.y;
    let vector = group.x * ACROSS + lane % ACROSS;
    if (group.x * ACROSS >= LOSSES) {
        sum_losses(run, vector, lane, TASKS, FIRST == 0u, 1.0);
        return;
    }
    let safe = min(vector, VECTORS - 1u);
    let place = run * VECTORS + safe;
    var before = vec4<f32>(0.0);
    if (FIRST == 0u) {
        before = sums[place];
    }
    let sum = ordered_sum(run, safe, lane, TASKS, theta[place], before, false);
    if (lane < ACROSS && vector < VECTORS) {
        sums[place] = sum;
    }
}
