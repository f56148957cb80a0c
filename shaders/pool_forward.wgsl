// Pooling and the activation behind it: h = activation(pool(x)). Grid: (blocks of B · OUT_HEIGHT ·
// OUT_WIDTH · C4, batches). Needs lib/activation.wgsl, lib/pool_window.wgsl and lib/pool_<kind>.wgsl.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;          // [G, B, IN_HEIGHT, IN_WIDTH, C4]
@group(0) @binding(1) var<storage, read_write> h: array<vec4<f32>>;    // [G, B, OUT_HEIGHT, OUT_WIDTH, C4]
@group(0) @binding(2) var<storage, read_write> z: array<vec4<f32>>;    // as h, if KEEP_Z

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = group.x * BLOCK + lane;
    let column = item % C4;
    let pixel = item / C4 % (OUT_HEIGHT * OUT_WIDTH);
    let example = item / (C4 * OUT_HEIGHT * OUT_WIDTH);
    if (example >= BATCH) {
        return;
    }
    let image = group.y * BATCH + example;
    let out = vec2<u32>(pixel / OUT_WIDTH, pixel % OUT_WIDTH);
    let low = window_low(out);
    let high = window_high(out);
    var sum = vec4<f32>(START);
    for (var row = low.x; row < high.x; row++) {
        for (var line = low.y; line < high.y; line++) {
            sum = gather(sum, x[pixel_place(image, vec2<u32>(row, line), column)]);
        }
    }
    let size = high - low;
    let value = finish(sum, size.x * size.y);
    let place = group.y * BATCH * OUT_HEIGHT * OUT_WIDTH * C4 + item;
    if (KEEP_Z == 1u) {
        z[place] = value;
    }
    h[place] = without_padding(activate(ACTIVATION, value), 4u * column, CHANNELS);
}
