// The end of a meta-iteration: Δ = mean over tasks of (θ_i − start_i) in a fixed order, the outer
// step on θ, and the mean inner loss of every step for the metrics. start_i is θ for Reptile and
// the parameters before the last inner step for FOMAML. The last workgroup along x does the losses.
// Grid: (blocks of VECTORS + 1, runs). Needs lib/run_step.wgsl and lib/outer_<optimiser>.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> adapted: array<vec4<f32>>;         // [R, M, VECTORS]
@group(0) @binding(2) var<storage, read> anchors: array<vec4<f32>>;         // [R, M, VECTORS] for FOMAML
@group(0) @binding(3) var<storage, read_write> theta: array<vec4<f32>>;     // [R, VECTORS]
@group(0) @binding(4) var<storage, read_write> first: array<vec4<f32>>;     // [R, VECTORS]: momentum, m
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;    // [R, VECTORS]: v
@group(0) @binding(6) var<storage, read> losses: array<f32>;                // [R, M, STEPS]
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;         // [SLOTS, R, STEPS]

fn mean_losses(run: u32, lane: u32) {
    for (var k = lane; k < STEPS; k += BLOCK) {
        var sum = 0.0;
        for (var task = 0u; task < TASKS_PER_RUN; task++) {
            sum += losses[(run * TASKS_PER_RUN + task) * STEPS + k];
        }
        metrics[(runs[run].slot * RUNS + run) * STEPS + k] = sum * runs[run].tasks_inverse;
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
    for (var task = 0u; task < TASKS_PER_RUN; task++) {
        let place_of_task = (run * TASKS_PER_RUN + task) * VECTORS + vector;
        if (FOMAML == 1u) {
            delta += adapted[place_of_task] - anchors[place_of_task];
        } else {
            delta += adapted[place_of_task] - start;
        }
    }
    theta[place] = outer_step(runs[run], place, start, delta * runs[run].tasks_inverse);
}
