// Images of a batch as bytes, four to a word.
@group(0) @binding(5) var<storage, read_write> batch_x: array<u32>;          // [G, BATCH, IN4]

fn write_pixels(place: u32, values: vec4<u32>) {
    let bytes = values * (255u / WHITE);
    batch_x[place] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}
