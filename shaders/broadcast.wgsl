// Gives every task its copy: target[t] = source[t / SHARERS], vectors from DECAYED on times the weight
// decay of its run. Grid: (blocks of VECTORS, tasks).

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;         // [T / SHARERS, VECTORS]
@group(0) @binding(2) var<storage, read_write> target_sets: array<vec4<f32>>;   // [T, VECTORS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let task = group.y;
    var value = source[task / SHARERS * VECTORS + vector];
    if (vector >= DECAYED) {
        value *= runs[task / TASKS_PER_RUN].weight_decay;
    }
    target_sets[task * VECTORS + vector] = value;
}
