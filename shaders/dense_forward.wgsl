// h = activation(x · W + b), with the weights of each task.
// Needs lib/activation.wgsl and lib/product_*.wgsl.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;          // [T, B, IN4]
@group(0) @binding(1) var<storage, read> theta: array<vec4<f32>>;      // [T, STRIDE]
@group(0) @binding(2) var<storage, read_write> h: array<vec4<f32>>;    // [T, B, OUT4]
@group(0) @binding(3) var<storage, read_write> z: array<vec4<f32>>;    // [T, B, OUT4] for GELU

fn load_a(task: u32, row: u32, k: u32) -> vec4<f32> {
    return x[(task * BATCH + row) * IN4 + k];
}

fn load_b(task: u32, k: u32, column: u32) -> mat4x4<f32> {
    let w = task * STRIDE + OFFSET + 4u * k * OUT4 + column;
    return mat4x4<f32>(theta[w], theta[w + OUT4], theta[w + 2u * OUT4], theta[w + 3u * OUT4]);
}

// The bias: the row after the weights.
fn start_value(task: u32, column: u32) -> vec4<f32> {
    return theta[task * STRIDE + OFFSET + 4u * IN4 * OUT4 + column];
}

fn store(task: u32, row: u32, column: u32, value: vec4<f32>) {
    let place = (task * BATCH + row) * OUT4 + column;
    if (ACTIVATION == GELU) {
        z[place] = value;
    }
    h[place] = without_padding(activate(ACTIVATION, value), 4u * column, OUTPUTS);
}
