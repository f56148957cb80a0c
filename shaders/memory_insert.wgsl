// Puts what a wave of tasks ended with into the ring of a run's memory: task number t·M + i of a run takes slot
// (t·M + i) mod CAPACITY, mixed with what was there by BLEND (all of it the first time). A task that does not
// count leaves what it started from (PARAMETERS), or nothing. Grid: (blocks of VECTORS, tasks).
// Needs lib/run_step.wgsl and lib/guard.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> sets: array<vec4<f32>>;           // [R, TASKS, PLANES, VECTORS]
@group(0) @binding(2) var<storage, read> theta: array<vec4<f32>>;          // [R, VECTORS]
@group(0) @binding(3) var<storage, read> losses: array<f32>;               // [R, TASKS, STEPS]
@group(0) @binding(4) var<storage, read_write> entries: array<vec4<f32>>;  // [R, CAPACITY, VECTORS]
@group(0) @binding(5) var<storage, read_write> entry_losses: array<f32>;   // [R, CAPACITY]: of the last step

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let task = group.y;
    let run = task / TASKS;
    let number = runs[run].first_task + task % TASKS;
    let t = runs[run].iteration;
    let slot = ((t % CAPACITY) * (TASKS_PER_RUN % CAPACITY) + number) % CAPACITY;
    let fresh = t < CAPACITY && t * TASKS_PER_RUN + number < CAPACITY;
    var value = sets[task * PLANES * VECTORS + vector];
    if (!counts(run, task % TASKS)) {
        value = vec4<f32>(0.0);
        if (PARAMETERS == 1u) {
            value = theta[run * VECTORS + vector];
        }
    }
    let place = (run * CAPACITY + slot) * VECTORS + vector;
    if (BLEND < 1.0 && !fresh) {
        value = (1.0 - BLEND) * entries[place] + BLEND * value;
    }
    entries[place] = value;
    if (PARAMETERS == 1u && vector == 0u) {
        entry_losses[run * CAPACITY + slot] = losses[task * STEPS + STEPS - 1u];
    }
}
