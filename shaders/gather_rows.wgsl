// One minibatch of every task from rows of numbers. Grid: (blocks of B · max(IN4, TARGETS), tasks).

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read> order: array<u32>;                  // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> support_x: array<vec4<f32>>;        // [T, SUPPORT, IN4]
@group(0) @binding(3) var<storage, read> support_y: array<Target>;           // [T, SUPPORT, TARGETS]
@group(0) @binding(4) var<storage, read_write> batch_x: array<vec4<f32>>;    // [T, B, IN4]
@group(0) @binding(5) var<storage, read_write> batch_y: array<Target>;       // [T, B, TARGETS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = max(IN4, TARGETS);
    let item = group.x * BLOCK + lane;
    let row = item / columns;
    let column = item % columns;
    if (row >= BATCH) {
        return;
    }
    let task = group.y;
    let element = task * SUPPORT + order[task * ORDER_STRIDE + inner.order_start + row];
    if (column < IN4) {
        batch_x[(task * BATCH + row) * IN4 + column] = support_x[element * IN4 + column];
    }
    if (column < TARGETS) {
        batch_y[(task * BATCH + row) * TARGETS + column] = support_y[element * TARGETS + column];
    }
}
