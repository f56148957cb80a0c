// Batches of images from a set in device memory: minibatches of the support set, queries, or the
// support set with one query each. An image's number holds its rotation in the two high bits. Pixels
// are laid out as IMAGE_ROWS says. An invocation writes VECTORS vectors of a row. Grid: (blocks of BATCH · IN4, batches).
// It reads words [images, WORDS]. Needs lib/inner_step.wgsl, lib/batch_row.wgsl and lib/images_*.wgsl.

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read> order: array<u32>;                  // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> support: array<u32>;                // [T, SUPPORT]
@group(0) @binding(3) var<storage, read> queries: array<u32>;                // [T, QUERIES]
@group(0) @binding(6) var<storage, read_write> batch_y: array<u32>;          // [G, BATCH]

const PIXELS = CHANNELS * HEIGHT * WIDTH;
const WHITE = (1u << BITS) - 1u;
const PIXEL_VECTORS = (CHANNELS + 3u) / 4u;

// Where the pixel of row `i` and column `j` of the turned image lies in a stored plane (numpy's rot90, k = rotation).
fn turned(i: u32, j: u32, rotation: u32) -> u32 {
    let across = select(j, i, (rotation & 1u) == 1u);
    let down = select(i, j, (rotation & 1u) == 1u);
    let x = select(across, WIDTH - 1u - across, rotation == 1u || rotation == 2u);
    let y = select(down, HEIGHT - 1u - down, rotation >= 2u);
    return y * WIDTH + x;
}

// Pixel `place` ([C, H, W]) of a stored image, 0..WHITE; zero behind the last.
fn pixel(image: u32, place: u32) -> u32 {
    let safe = min(place, PIXELS - 1u);
    let word = words_at((image & 0x3FFFFFFFu) * WORDS + safe * BITS / 32u);
    let shift = safe * BITS % 32u;
    return select(0u, (word >> shift) & WHITE, place < PIXELS);
}

// Where the pixel lies that component `i` of vector `column` of a row holds: in a row of numbers it is number
// 4 · column + i, in an image [H, W, C] the channel follows the place. PIXELS or more if there is none.
fn place_of(image: u32, column: u32, i: u32) -> u32 {
    let number = 4u * column + i;
    let plane = select(column % PIXEL_VECTORS * 4u + i, number / (HEIGHT * WIDTH), IMAGE_ROWS == 0u);
    let at = select(column / PIXEL_VECTORS, number % (HEIGHT * WIDTH), IMAGE_ROWS == 0u);
    return plane * HEIGHT * WIDTH + turned(at / WIDTH, at % WIDTH, image >> 30u);
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * BLOCK + lane) * VECTORS;
    let row = first / IN4;
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
    for (var i = 0u; i < VECTORS; i++) {
        let column = first % IN4 + i;
        let pixels = vec4<u32>(
            pixel(image, place_of(image, column, 0u)), pixel(image, place_of(image, column, 1u)),
            pixel(image, place_of(image, column, 2u)), pixel(image, place_of(image, column, 3u)),
        );
        write_pixels(group.y * BATCH * IN4 + first + i, pixels);
    }
    if (first % IN4 == 0u) {
        batch_y[group.y * BATCH + row] = source.label;
    }
}
