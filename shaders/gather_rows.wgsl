// Batches of rows of numbers: minibatches of the support set, or the support set with one query each.
// Grid: (blocks of BATCH · max(IN4, TARGETS), batches). Needs lib/inner_step.wgsl, lib/batch_row.wgsl
// and lib/targets_*.wgsl.

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read> order: array<u32>;                  // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> support_x: array<vec4<f32>>;        // [T, SUPPORT, IN4]
@group(0) @binding(3) var<storage, read> support_y: array<Target>;           // [T, SUPPORT, TARGETS]
@group(0) @binding(4) var<storage, read> query_x: array<vec4<f32>>;          // [T, QUERIES, IN4]
@group(0) @binding(5) var<storage, read> query_y: array<Target>;             // [T, QUERIES, TARGETS]
@group(0) @binding(6) var<storage, read_write> batch_x: array<vec4<f32>>;    // [G, BATCH, IN4]
@group(0) @binding(7) var<storage, read_write> batch_y: array<Target>;       // [G, BATCH, TARGETS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = max(IN4, TARGETS);
    let item = group.x * BLOCK + lane;
    let row = item / columns;
    let column = item % columns;
    if (row >= BATCH) {
        return;
    }
    let source = batch_row(group.y, row);
    let to = group.y * BATCH + row;
    if (column < IN4) {
        let place = source.place * IN4 + column;
        if (source.is_query) {
            batch_x[to * IN4 + column] = query_x[place];
        } else {
            batch_x[to * IN4 + column] = support_x[place];
        }
    }
    if (column < TARGETS) {
        let place = source.place * TARGETS + column;
        if (source.is_query) {
            batch_y[to * TARGETS + column] = query_y[place];
        } else {
            batch_y[to * TARGETS + column] = support_y[place];
        }
    }
}
