// Minibatches of images of the support sets that were made bytes before: images [T, SUPPORT, COLUMNS] in units of a word or
// four, in each task's order. An invocation copies AT_ONCE units of a row. Grid: (blocks of BATCH · COLUMNS / AT_ONCE, tasks).
// Needs lib/inner_step.wgsl, lib/batch_row.wgsl and lib/unit_*.wgsl.

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read> order: array<u32>;                  // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read_write> batch_x: array<Unit>;         // [G, BATCH, COLUMNS]
@group(0) @binding(3) var<storage, read_write> batch_y: array<u32>;          // [G, BATCH]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * BLOCK + lane) * AT_ONCE;
    let row = first / COLUMNS;
    if (row >= BATCH) {
        return;
    }
    let source = batch_row(group.y, row);
    let place = source.place * COLUMNS + first % COLUMNS;
    let to = group.y * BATCH * COLUMNS + first;
    for (var i = 0u; i < AT_ONCE; i++) {
        batch_x[to + i] = images_at(place + i);
    }
    if (first % COLUMNS == 0u) {
        batch_y[group.y * BATCH + row] = source.label;
    }
}
