// Backward through a pooling: dx = Σ over the windows that hold the pixel of its share of their
// gradient d, times the derivative of the activation that made x. Grid: (blocks of B · IN_HEIGHT ·
// IN_WIDTH · C4, batches). Needs lib/activation.wgsl, lib/pool_window.wgsl and lib/pool_<kind>.wgsl.

@group(0) @binding(0) var<storage, read> d: array<vec4<f32>>;           // [G, B, OUT_HEIGHT, OUT_WIDTH, C4]
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;           // [G, B, IN_HEIGHT, IN_WIDTH, C4]
@group(0) @binding(2) var<storage, read> z: array<vec4<f32>>;           // as x, for GELU
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;    // as x

// The windows along one side that hold `place`: from the first to behind the last.
fn windows(place: u32, kernel: u32, stride: u32, before: u32, count: u32) -> vec2<u32> {
    let end = place + before;
    return vec2<u32>((max(end + 1u, kernel) - kernel + stride - 1u) / stride,
        min(end / stride + 1u, count));
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = group.x * BLOCK + lane;
    let column = item % C4;
    let pixel = item / C4 % (IN_HEIGHT * IN_WIDTH);
    let example = item / (C4 * IN_HEIGHT * IN_WIDTH);
    if (example >= BATCH) {
        return;
    }
    let image = group.y * BATCH + example;
    let own = vec2<u32>(pixel / IN_WIDTH, pixel % IN_WIDTH);
    let rows = windows(own.x, KERNEL_HEIGHT, STRIDE_Y, BEFORE_Y, OUT_HEIGHT);
    let lines = windows(own.y, KERNEL_WIDTH, STRIDE_X, BEFORE_X, OUT_WIDTH);
    var sum = vec4<f32>(0.0);
    for (var row = rows.x; row < rows.y; row++) {
        for (var line = lines.x; line < lines.y; line++) {
            let out = vec2<u32>(row, line);
            let gradient = d[((image * OUT_HEIGHT + row) * OUT_WIDTH + line) * C4 + column];
            sum = fma(share(image, window_low(out), window_high(out), own, column), gradient, sum);
        }
    }
    let place = pixel_place(image, own, column);
    var before = vec4<f32>(0.0);
    if (ACTIVATION == GELU) {
        before = z[place];
    }
    dx[place] = sum * slope(ACTIVATION, x[place], before);
}
