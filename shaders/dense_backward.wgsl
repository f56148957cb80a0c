// Gradient of the loss by the layer's inputs before their activation:
// dx = (dz · Wᵀ) ⊙ activation'(x). Needs lib/activation.wgsl and lib/product_*.wgsl.

@group(0) @binding(0) var<storage, read> dz: array<vec4<f32>>;          // [T, B, OUT4]
@group(0) @binding(1) var<storage, read> theta: array<vec4<f32>>;       // [T, STRIDE]
@group(0) @binding(2) var<storage, read> h: array<vec4<f32>>;           // [T, B, IN4]: the inputs
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;           // [T, B, IN4] for GELU
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<f32>>;    // [T, B, IN4]

fn load_a(task: u32, row: u32, k: u32) -> vec4<f32> {
    return dz[(task * BATCH + row) * OUT4 + k];
}

fn load_b(task: u32, k: u32, column: u32) -> mat4x4<f32> {
    let w = task * STRIDE + OFFSET + 4u * column * OUT4 + k;
    return transpose(
        mat4x4<f32>(theta[w], theta[w + OUT4], theta[w + 2u * OUT4], theta[w + 3u * OUT4])
    );
}

fn start_value(task: u32, column: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

fn store(task: u32, row: u32, column: u32, value: vec4<f32>) {
    let place = (task * BATCH + row) * IN4 + column;
    var before = vec4<f32>(0.0);
    if (ACTIVATION == GELU) {
        before = z[place];
    }
    dx[place] = value * slope(ACTIVATION, h[place], before);
}
