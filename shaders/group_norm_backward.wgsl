// Backward through a group-norm: from d, the gradient by its outputs before their activation, to the gradient by its inputs
// before theirs. With g = d γ and x̂ = (x − mean) / √(variance + ε),
// dx = 1 / √(variance + ε) · (g − mean(g) − x̂ mean(g x̂)), means over a group (Ba et al. 2016, as batch-norm's).
// Grid: (blocks of B · GROUPS, batches). Needs lib/inner_step.wgsl, lib/activation.wgsl, lib/column_sums.wgsl,
// lib/channel_groups.wgsl.

@group(0) @binding(0) var<storage, read> theta: array<vec4<f32>>;          // [T, STRIDE]: γ, β at OFFSET
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;              // [G, B, PIXELS, C4]
@group(0) @binding(3) var<storage, read> d: array<vec4<f32>>;              // as x
@group(0) @binding(4) var<storage, read> statistics: array<vec4<f32>>;     // [G, B, GROUPS]: shift, mean − shift, 1/√
@group(0) @binding(5) var<storage, read> z: array<vec4<f32>>;              // as x, for GELU
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;       // as x

@compute @workgroup_size(COLUMN_LANES * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.y;
    let unit = group.x * COLUMN_LANES + lane % COLUMN_LANES;
    let slice = lane / COLUMN_LANES;
    let safe_unit = min(unit, BATCH * GROUPS - 1u);
    let own = channels_of(safe_unit % GROUPS);
    let first = (batch * BATCH + safe_unit / GROUPS) * PIXELS * C4 + own.vector;
    let known = statistics[batch * BATCH * GROUPS + safe_unit];
    let scales = (inner.first_task + batch) * STRIDE + OFFSET + own.vector;
    var sum = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    for (var i = slice; i < PIXELS * own.vectors; i += SLICES) {
        let vector = i % own.vectors;
        let pixel = i / own.vectors;
        let place = first + pixel * C4 + vector;
        let scaled = d[place] * theta[scales + affine_row(pixel) + vector];
        let gradient = select(vec4<f32>(0.0), scaled, members(own, vector));
        sum += gradient;
        products = fma(gradient, ((x[place] - known.x) - known.y) * known.z, products);
    }
    let totals = column_sums(sum, products, lane);
    if (unit >= BATCH * GROUPS) {
        return;
    }
    let one = vec4<f32>(1.0);
    let mean_sum = dot(totals[0], one) / f32(SIZE);
    let mean_product = dot(totals[1], one) / f32(SIZE);
    for (var i = slice; i < PIXELS * own.vectors; i += SLICES) {
        let vector = i % own.vectors;
        let pixel = i / own.vectors;
        let place = first + pixel * C4 + vector;
        let value = x[place];
        let normal = ((value - known.x) - known.y) * known.z;
        var before = vec4<f32>(0.0);
        if (ACTIVATION == GELU) {
            before = z[place];
        }
        let scaled = d[place] * theta[scales + affine_row(pixel) + vector];
        let result = known.z * (scaled - mean_sum - normal * mean_product) * slope(ACTIVATION, value, before);
        let there = members(own, vector);
        if (WHOLE_VECTORS == 1u) {
            dx[place] = select(vec4<f32>(0.0), result, there);
        } else {
            let padding = 4u * (own.vector + vector) + vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(CHANNELS);
            for (var k = 0u; k < 4u; k++) {
                if (there[k]) {
                    dx[place][k] = result[k];
                } else if (padding[k] && own.end == CHANNELS) {
                    dx[place][k] = 0.0;
                }
            }
        }
    }
}
