// One minibatch (or, with ORDERED_ROWS = 0, all queries) of every task from an image set in device
// memory. An image's number holds its rotation in the two high bits. Pixels become [C, H, W] rows
// of numbers in 0..1. Grid: (blocks of B · IN4, tasks).

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read> order: array<u32>;                  // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> images: array<u32>;                 // [T, EXAMPLES]
@group(0) @binding(3) var<storage, read> words: array<u32>;                  // [images, WORDS]
@group(0) @binding(4) var<storage, read_write> batch_x: array<vec4<f32>>;    // [T, B, IN4]
@group(0) @binding(5) var<storage, read_write> batch_y: array<u32>;          // [T, B]

const PIXELS = CHANNELS * HEIGHT * WIDTH;

// Where pixel `index` of the turned image lies in the stored one (numpy's rot90, k = rotation).
fn turned(index: u32, rotation: u32) -> u32 {
    let plane = index / (HEIGHT * WIDTH);
    let i = index / WIDTH % HEIGHT;
    let j = index % WIDTH;
    var stored = vec2<u32>(i, j);
    switch rotation {
        case 1u: { stored = vec2<u32>(j, WIDTH - 1u - i); }
        case 2u: { stored = vec2<u32>(HEIGHT - 1u - i, WIDTH - 1u - j); }
        case 3u: { stored = vec2<u32>(HEIGHT - 1u - j, i); }
        default: {}
    }
    return (plane * HEIGHT + stored.x) * WIDTH + stored.y;
}

fn pixel(image: u32, index: u32) -> f32 {
    if (index >= PIXELS) {
        return 0.0;
    }
    let place = turned(index, image >> 30u);
    let word = words[(image & 0x3FFFFFFFu) * WORDS + place * BITS / 32u];
    let shift = place * BITS % 32u;
    return f32((word >> shift) & ((1u << BITS) - 1u)) / f32((1u << BITS) - 1u);
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = group.x * BLOCK + lane;
    let row = item / IN4;
    let column = item % IN4;
    if (row >= BATCH) {
        return;
    }
    let task = group.y;
    var example = row;
    if (ORDERED_ROWS == 1u) {
        example = order[task * ORDER_STRIDE + inner.order_start + row];
    }
    let image = images[task * EXAMPLES + example];
    let first = 4u * column;
    batch_x[(task * BATCH + row) * IN4 + column] = vec4<f32>(
        pixel(image, first), pixel(image, first + 1u),
        pixel(image, first + 2u), pixel(image, first + 3u),
    );
    if (column == 0u) {
        batch_y[task * BATCH + row] = example / PER_CLASS;
    }
}
