// Batch-norm over the examples and pixels of a batch, with the batch's own (biased) variance, and the
// activation: h = activation(γ (x − mean) / √(variance + ε) + β). COLUMN_LANES vectors of channels a
// workgroup, SLICES invocations to each, which keep up to HELD rows. Grid: (blocks of C4, batches).
// It reads theta [T, STRIDE] (γ, β at OFFSET) and x [G, ROWS, C4] in vectors.
// Needs lib/inner_step.wgsl, lib/activation.wgsl, lib/column_sums.wgsl.

@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;        // [G, ROWS, C4]
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;        // as h, if KEEP_Z
@group(0) @binding(5) var<storage, read_write> statistics: array<vec4<f32>>;   // [G, 2, C4]: mean − first row, 1/√

// The mean itself is nowhere: its rounding would shift all rows by the same.
fn finish(place: u32, column: u32, centred: vec4<f32>, scale: vec4<f32>, offset: vec4<f32>) {
    let value = fma(centred, scale, offset);
    if (KEEP_Z == 1u) {
        z[place] = value;
    }
    h[place] = without_padding(activate(ACTIVATION, value), 4u * column, CHANNELS);
}

@compute @workgroup_size(COLUMN_LANES * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.y;
    let column = group.x * COLUMN_LANES + lane % COLUMN_LANES;
    let slice = lane / COLUMN_LANES;
    let safe_column = min(column, C4 - 1u);
    let first = batch * ROWS * C4 + safe_column;
    // Sums of distances from the first row, so that a large mean costs no digits.
    let shift = x_at(first);
    var sum = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    // All on their way at once.
    var held: array<vec4<f32>, max(HELD, 1u)>;
    for (var i = 0u; i < HELD; i++) { // unroll
        held[i] = x_at(first + min(slice + i * SLICES, ROWS - 1u) * C4);
    }
    for (var i = 0u; i < HELD; i++) { // unroll
        if (slice + i * SLICES < ROWS) {
            let distance = held[i] - shift;
            sum += distance;
            squares = fma(distance, distance, squares);
        }
    }
    for (var row = slice + HELD * SLICES; row < ROWS; row += SLICES) {
        let distance = x_at(first + row * C4) - shift;
        sum += distance;
        squares = fma(distance, distance, squares);
    }
    let totals = column_sums(sum, squares, lane);
    let distance = totals[0] / f32(ROWS);
    let variance = max(totals[1] / f32(ROWS) - distance * distance, vec4<f32>(0.0));
    let inverse = 1.0 / sqrt(variance + EPSILON);
    if (column >= C4) {
        return;
    }
    if (slice == 0u) {
        statistics[2u * batch * C4 + column] = distance;
        statistics[(2u * batch + 1u) * C4 + column] = inverse;
    }
    let own = (inner.first_task + batch / SHARERS) * STRIDE + OFFSET + column;
    let scale = theta_at(own) * inverse;
    let offset = theta_at(own + C4);
    for (var i = 0u; i < HELD; i++) { // unroll
        if (slice + i * SLICES < ROWS) {
            finish(first + (slice + i * SLICES) * C4, column, held[i] - shift - distance, scale, offset);
        }
    }
    for (var row = slice + HELD * SLICES; row < ROWS; row += SLICES) {
        let place = first + row * C4;
        finish(place, column, x_at(place) - shift - distance, scale, offset);
    }
}
