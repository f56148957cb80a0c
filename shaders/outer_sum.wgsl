// What a wave of tasks adds to Δ and to the metrics; outer_update.wgsl goes on from there after the
// last wave. FIRST: the wave that begins the sums. The last workgroup along x does the losses.
// Grid: (blocks of VECTORS + 1, runs). Needs lib/run_step.wgsl, lib/guard.wgsl and lib/task_sums.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> adapted: array<vec4<f32>>;        // [R, TASKS, VECTORS]
@group(0) @binding(2) var<storage, read> anchors: array<vec4<f32>>;        // [R, TASKS, VECTORS] for FOMAML
@group(0) @binding(3) var<storage, read> theta: array<vec4<f32>>;          // [R, VECTORS]
@group(0) @binding(4) var<storage, read_write> sums: array<vec4<f32>>;     // [R, VECTORS]
@group(0) @binding(5) var<storage, read> losses: array<f32>;               // [R, TASKS, STEPS]
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;        // [SLOTS, R, COLUMNS], losses first

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let run = group.y;
    if (group.x == groups.x - 1u) {
        for (var k = lane; k < STEPS; k += BLOCK) {
            let place = (runs[run].slot * RUNS + run) * COLUMNS + k;
            metrics[place] = loss_sum(run, k, select(metrics[place], 0.0, FIRST == 1u));
        }
        return;
    }
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let place = run * VECTORS + vector;
    let before = select(sums[place], vec4<f32>(0.0), FIRST == 1u);
    sums[place] = delta_sum(run, vector, theta[place], before);
}
