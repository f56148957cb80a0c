// shared = mean over tasks, in a fixed order: the optimiser state that the next iteration starts
// from. Grid: (blocks of VECTORS, runs).

@group(0) @binding(0) var<storage, read> state: array<vec4<f32>>;            // [R, M, VECTORS]
@group(0) @binding(1) var<storage, read_write> shared_state: array<vec4<f32>>;   // [R, VECTORS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let run = group.y;
    var sum = vec4<f32>(0.0);
    for (var task = 0u; task < TASKS_PER_RUN; task++) {
        sum += state[(run * TASKS_PER_RUN + task) * VECTORS + vector];
    }
    shared_state[run * VECTORS + vector] = sum / f32(TASKS_PER_RUN);
}
