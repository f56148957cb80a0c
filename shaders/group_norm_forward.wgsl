// Group-norm (Wu and He 2018): each example's channels in GROUPS groups, each group over its channels and all pixels with its
// own mean and (biased) variance, and the activation: h = activation(γ (x − mean) / √(variance + ε) + β). With one group
// it is a layer-norm (Ba et al. 2016). COLUMN_LANES groups of examples a workgroup, SLICES invocations to each.
// Grid: (blocks of B · GROUPS, batches). Needs lib/inner_step.wgsl, lib/activation.wgsl, lib/column_sums.wgsl,
// lib/channel_groups.wgsl.

@group(0) @binding(0) var<storage, read> theta: array<vec4<f32>>;          // [T, STRIDE]: γ, β at OFFSET
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;              // [G, B, PIXELS, C4]
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;        // as x
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;        // as x, if KEEP_Z
@group(0) @binding(5) var<storage, read_write> statistics: array<vec4<f32>>;   // [G, B, GROUPS]: shift, mean − shift, 1/√

@compute @workgroup_size(COLUMN_LANES * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.y;
    let unit = group.x * COLUMN_LANES + lane % COLUMN_LANES;
    let slice = lane / COLUMN_LANES;
    let safe_unit = min(unit, BATCH * GROUPS - 1u);
    let own = channels_of(safe_unit % GROUPS);
    let first = (batch * BATCH + safe_unit / GROUPS) * PIXELS * C4 + own.vector;
    // Sums of distances from the group's first number, so that a large mean costs no digits.
    let shift = x[first][own.first % 4u];
    var sum = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    for (var i = slice; i < PIXELS * own.vectors; i += SLICES) {
        let there = members(own, i % own.vectors);
        let value = x[first + i / own.vectors * C4 + i % own.vectors];
        let distance = select(vec4<f32>(0.0), value - shift, there);
        sum += distance;
        squares = fma(distance, distance, squares);
    }
    let totals = column_sums(sum, squares, lane);
    let one = vec4<f32>(1.0);
    let distance = dot(totals[0], one) / f32(SIZE);
    let variance = max(dot(totals[1], one) / f32(SIZE) - distance * distance, 0.0);
    let inverse = 1.0 / sqrt(variance + EPSILON);
    if (unit >= BATCH * GROUPS) {
        return;
    }
    if (slice == 0u) {
        statistics[batch * BATCH * GROUPS + unit] = vec4<f32>(shift, distance, inverse, 0.0);
    }
    let parameters = (inner.first_task + batch / SHARERS) * STRIDE + OFFSET + own.vector;
    for (var i = slice; i < PIXELS * own.vectors; i += SLICES) {
        let vector = i % own.vectors;
        let pixel = i / own.vectors;
        let place = first + pixel * C4 + vector;
        let scale = parameters + affine_row(pixel) + vector;
        // The mean itself is nowhere: its rounding would shift all numbers by the same.
        let normal = ((x[place] - shift) - distance) * inverse;
        let value = fma(normal, theta[scale], theta[scale + AFFINE]);
        let result = activate(ACTIVATION, value);
        let there = members(own, vector);
        if (WHOLE_VECTORS == 1u) {
            if (KEEP_Z == 1u) {
                z[place] = value;
            }
            h[place] = select(vec4<f32>(0.0), result, there);
        } else {
            // Another group may hold the rest of the vector; the last one has the padding.
            let padding = 4u * (own.vector + vector) + vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(CHANNELS);
            for (var k = 0u; k < 4u; k++) {
                if (there[k]) {
                    if (KEEP_Z == 1u) {
                        z[place][k] = value[k];
                    }
                    h[place][k] = result[k];
                } else if (padding[k] && own.end == CHANNELS) {
                    h[place][k] = 0.0;
                }
            }
        }
    }
}
