// The order of the minibatches alone, for tasks whose examples are the user's own.
// Grid: (blocks of the pool, layers of passes, tasks).

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;   // [T, ORDER_STRIDE]

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = group.z;
    let stream = stream_of(runs[task / TASKS_PER_RUN], task);
    write_order(stream, task, group.y, group.x, lane);
}
