// Examples of a set in device memory by their numbers, those that lie in one piece of it.
// Grid: (blocks of EXAMPLES · max(IN4, TARGETS), tasks). Needs lib/targets_*.wgsl and lib/example_*.wgsl.

@group(0) @binding(0) var<storage, read> numbers: array<u32>;             // [T, EXAMPLES]
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;          // [ROWS, IN4]
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;       // [T, EXAMPLES, IN4]
@group(0) @binding(4) var<storage, read_write> y: array<Target>;          // [T, EXAMPLES, TARGETS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = max(IN4, TARGETS);
    let item = group.x * BLOCK + lane;
    let example = item / columns;
    let column = item % columns;
    if (example >= EXAMPLES) {
        return;
    }
    let to = group.y * EXAMPLES + example;
    // Below FIRST it wraps around to more than ROWS.
    let row = numbers[to] - FIRST;
    if (row >= ROWS) {
        return;
    }
    if (column < IN4) {
        x[to * IN4 + column] = rows[row * IN4 + column];
    }
    if (column < TARGETS) {
        y[to * TARGETS + column] = target_of(row, column, example);
    }
}
