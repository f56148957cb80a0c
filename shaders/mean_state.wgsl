// shared = mean over tasks, in a fixed order: the optimiser state that the next iteration starts
// from. Tasks may come in several waves: the first (FIRST) begins the sums, the last (LAST) makes the
// mean of them. Grid: (blocks of ACROSS vectors, runs). Needs an `ordered_sum`.

@group(0) @binding(0) var<storage, read> state: array<vec4<f32>>;                // [R, TASKS, VECTORS]
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;           // [R, VECTORS]
@group(0) @binding(2) var<storage, read_write> shared_state: array<vec4<f32>>;   // [R, VECTORS]

fn addend(run: u32, index: u32, vector: u32, start: vec4<f32>, of_losses: bool) -> vec4<f32> {
    return state[(run * TASKS + index) * VECTORS + vector];
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let run = group.y;
    let vector = group.x * ACROSS + lane % ACROSS;
    let safe = min(vector, VECTORS - 1u);
    let place = run * VECTORS + safe;
    let zero = vec4<f32>(0.0);
    var before = zero;
    if (FIRST == 0u) {
        before = sums[place];
    }
    let sum = ordered_sum(run, safe, lane, TASKS, zero, before, false);
    if (lane >= ACROSS || vector >= VECTORS) {
        return;
    }
    if (LAST == 1u) {
        shared_state[place] = sum / f32(TASKS_PER_RUN);
    } else {
        sums[place] = sum;
    }
}
