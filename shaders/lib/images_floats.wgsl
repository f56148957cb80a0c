// Images of a batch as numbers in 0..1.
@group(0) @binding(5) var<storage, read_write> batch_x: array<vec4<f32>>;    // [G, BATCH, IN4]

fn write_pixels(place: u32, values: vec4<u32>) {
    batch_x[place] = vec4<f32>(values) / f32(WHITE);
}
