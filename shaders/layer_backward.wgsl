// Gradient of the loss by the layer's inputs before their activation:
// dx = (dz · Wᵀ) ⊙ activation'(x), for dense layers and convolutions. It reads theta [T, STRIDE] and the
// inputs h [G, B, H, W, IN4] in vectors. Needs lib/inner_step.wgsl,
// lib/activation.wgsl, lib/rows_*.wgsl (which says where a row lies) and lib/product_*.wgsl.

@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(4) var<storage, read> z: array<vec4<f32>>;           // as h, for GELU
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;    // [G, B, H, W, IN4]

fn weights_of(batch: u32) -> u32 {
    return (inner.first_task + batch) * STRIDE + OFFSET;
}

// Four columns of the tap's weights, turned: the rows are the inputs of vector `column`.
fn load_b(weights: u32, tap_row: u32, k: u32, column: u32) -> mat4x4<f32> {
    let w = weights + (tap_row + 4u * column) * OUT4 + k;
    return transpose(
        mat4x4<f32>(theta_at(w), theta_at(w + OUT4), theta_at(w + 2u * OUT4), theta_at(w + 3u * OUT4))
    );
}

fn start_value(weights: u32, column: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

fn store(batch: u32, phase: u32, row: u32, column: u32, value: vec4<f32>) {
    let pixel = pixel_of(batch, phase, row);
    if (pixel == OUTSIDE) {
        return;
    }
    let place = pixel * IN4 + column;
    var before = vec4<f32>(0.0);
    if (ACTIVATION == GELU) {
        before = z[place];
    }
    dx[place] = value * slope(ACTIVATION, h_at(place), before);
}
