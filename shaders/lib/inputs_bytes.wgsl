// Rows of a dense layer as bytes that stand for 0..1, four to a word. It reads rows in words.

// 1 / 255 as it is rounded: a product is rounded alike everywhere, a division on some devices only, and takes longer.
const BYTE = 0.003921569;

fn input_vector(place: u32) -> vec4<f32> {
    let bytes = (vec4<u32>(rows_at(place)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
    return vec4<f32>(bytes) * BYTE;
}
