// Sine tasks y = A sin(x + φ) on an even grid: support rows, query rows and the order of the
// minibatches. Grid: (blocks of the pool, EXAMPLE_ROWS + layers of passes, tasks); the first rows draw. Needs
// lib/order.wgsl and lib/precise_sin.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;             // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read_write> support_x: array<vec4<f32>>;   // [T, SUPPORT, 1]
@group(0) @binding(3) var<storage, read_write> support_y: array<vec4<f32>>;   // [T, SUPPORT, 1]
@group(0) @binding(4) var<storage, read_write> query_x: array<vec4<f32>>;     // [T, POINTS, 1]
@group(0) @binding(5) var<storage, read_write> query_y: array<vec4<f32>>;     // [T, POINTS, 1]

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = group.z;
    let stream = stream_of(runs[task / TASKS_PER_RUN], task);
    if (group.y >= EXAMPLE_ROWS) {
        write_order(stream, task, group.y - EXAMPLE_ROWS, group.x, lane);
        return;
    }
    let element = example_block(group) * BLOCK + lane;
    let words = random_words(stream, PART_TASK, 0u);
    let amplitude = AMPLITUDE_LOW + (AMPLITUDE_HIGH - AMPLITUDE_LOW) * unit(words.x);
    let phase = PHASE_LOW + (PHASE_HIGH - PHASE_LOW) * unit(words.y);
    let x = RANGE_LOW + (RANGE_HIGH - RANGE_LOW) * f32(element) / f32(POINTS - 1u);
    let y = amplitude * precise_sin(x + phase);
    let rank = rank_of(stream, PART_EXAMPLES, 0u, POINTS, BLOCK, element, lane);
    if (element >= POINTS) {
        return;
    }
    if (rank < SUPPORT) {
        support_x[task * SUPPORT + rank] = vec4<f32>(x, 0.0, 0.0, 0.0);
        support_y[task * SUPPORT + rank] = vec4<f32>(y, 0.0, 0.0, 0.0);
    }
    if (QUERIES > 0u) {
        query_x[task * POINTS + element] = vec4<f32>(x, 0.0, 0.0, 0.0);
        query_y[task * POINTS + element] = vec4<f32>(y, 0.0, 0.0, 0.0);
    }
}
