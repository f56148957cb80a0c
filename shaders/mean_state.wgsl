// shared = mean over tasks, in a fixed order: the optimiser state that the next iteration starts
// from. Tasks may come in several waves: the first (FIRST) begins the sums, the last (LAST) makes the
// mean of them. Grid: (blocks of VECTORS, runs).

@group(0) @binding(0) var<storage, read> state: array<vec4<f32>>;                // [R, TASKS, VECTORS]
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;           // [R, VECTORS]
@group(0) @binding(2) var<storage, read_write> shared_state: array<vec4<f32>>;   // [R, VECTORS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let run = group.y;
    let place = run * VECTORS + vector;
    var sum = vec4<f32>(0.0);
    if (FIRST == 0u) {
        sum = sums[place];
    }
    for (var task = 0u; task < TASKS; task++) {
        sum += state[(run * TASKS + task) * VECTORS + vector];
    }
    if (LAST == 1u) {
        shared_state[place] = sum / f32(TASKS_PER_RUN);
    } else {
        sums[place] = sum;
    }
}
