// Batches of images from a set in device memory: minibatches of the support set, queries, or the
// support set with one query each. An image's number holds its rotation in the two high bits. Pixels
// are laid out as IMAGE_ROWS says. Grid: (blocks of BATCH · IN4, batches).
// Needs lib/inner_step.wgsl, lib/batch_row.wgsl and lib/images_*.wgsl.

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read> order: array<u32>;                  // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> support: array<u32>;                // [T, SUPPORT]
@group(0) @binding(3) var<storage, read> queries: array<u32>;                // [T, QUERIES]
@group(0) @binding(4) var<storage, read> words: array<u32>;                  // [images, WORDS]
@group(0) @binding(6) var<storage, read_write> batch_y: array<u32>;          // [G, BATCH]

const PIXELS = CHANNELS * HEIGHT * WIDTH;
const WHITE = (1u << BITS) - 1u;

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

// Pixel `index` ([C, H, W]) of an image, 0..WHITE; zero behind the last.
fn pixel(image: u32, index: u32) -> u32 {
    if (index >= PIXELS) {
        return 0u;
    }
    let place = turned(index, image >> 30u);
    let word = words[(image & 0x3FFFFFFFu) * WORDS + place * BITS / 32u];
    let shift = place * BITS % 32u;
    return (word >> shift) & WHITE;
}

// The number of the pixel that component `i` of vector `column` of a row holds: in a row of numbers
// it is 4 · column + i, in an image [H, W, C] the channel follows the place.
fn index_of(column: u32, i: u32) -> u32 {
    if (IMAGE_ROWS == 0u) {
        return 4u * column + i;
    }
    let vectors = (CHANNELS + 3u) / 4u;
    let channel = column % vectors * 4u + i;
    return select(PIXELS, channel * HEIGHT * WIDTH + column / vectors, channel < CHANNELS);
}

// Pixels 4 · column, … of a stored image: they lie in one word. Zeros behind the last.
fn four_pixels(image: u32, column: u32) -> vec4<u32> {
    let word = words[image * WORDS + 4u * column * BITS / 32u];
    let shifts = 4u * column * BITS % 32u + BITS * vec4<u32>(0u, 1u, 2u, 3u);
    let inside = 4u * column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(PIXELS);
    return select(vec4<u32>(), (vec4<u32>(word) >> shifts) & vec4<u32>(WHITE), inside);
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = group.x * BLOCK + lane;
    let column = item % IN4;
    let row = item / IN4;
    if (row >= BATCH) {
        return;
    }
    let source = batch_row(group.y, row);
    var image = 0u;
    if (source.is_query) {
        image = queries[source.place];
    } else {
        image = support[source.place];
    }
    var pixels: vec4<u32>;
    if (IMAGE_ROWS == 0u && image >> 30u == 0u) {
        pixels = four_pixels(image, column);
    } else {
        pixels = vec4<u32>(
            pixel(image, index_of(column, 0u)), pixel(image, index_of(column, 1u)),
            pixel(image, index_of(column, 2u)), pixel(image, index_of(column, 3u)),
        );
    }
    write_pixels((group.y * BATCH + row) * IN4 + column, pixels);
    if (column == 0u) {
        batch_y[group.y * BATCH + row] = source.label;
    }
}
