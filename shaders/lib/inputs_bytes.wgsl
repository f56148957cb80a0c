// Rows of a dense layer as bytes that stand for 0..1, four to a word. It reads rows in words.

// The parts of 1/255: a number of four bits, and what is left. A byte times the first is exact, so that the sum is the byte / 255 as it
// is rounded, without a division.
const FIRST_PART = 0.00390625;
const SECOND_PART = 0.000015318627450980392;

fn input_vector(place: u32) -> vec4<f32> {
    let bytes = (vec4<u32>(rows_at(place)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
    return vec4<f32>(bytes) * FIRST_PART + vec4<f32>(bytes) * SECOND_PART;
}
