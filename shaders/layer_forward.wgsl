// h = activation(x · W + b), with the weights of each task: dense layers and convolutions.
// It reads theta [T, STRIDE] in vectors. Needs lib/inner_step.wgsl, lib/activation.wgsl, lib/rows_*.wgsl and lib/product_*.wgsl.

@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;    // [G, B, H, W, OUT4]
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;    // as h, if KEEP_Z

fn weights_of(batch: u32) -> u32 {
    return (inner.first_task + batch / SHARERS) * STRIDE + OFFSET;
}

// Four rows of the weights: those of vector k of the tap.
fn load_b(weights: u32, tap_row: u32, k: u32, column: u32) -> mat4x4<f32> {
    let w = weights + (tap_row + 4u * k) * OUT4 + column;
    return mat4x4<f32>(theta_at(w), theta_at(w + OUT4), theta_at(w + 2u * OUT4), theta_at(w + 3u * OUT4));
}

// The bias: the row after the weights.
fn start_value(weights: u32, column: u32) -> vec4<f32> {
    return theta_at(weights + BIAS_ROW * OUT4 + column);
}

fn store(batch: u32, phase: u32, row: u32, column: u32, value: vec4<f32>) {
    let place = (batch * ROW_LIMIT + row) * OUT4 + column;
    if (KEEP_Z == 1u) {
        z[place] = value;
    }
    h[place] = without_padding(activate(ACTIVATION, value), 4u * column, OUTPUTS);
}
