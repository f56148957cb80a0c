// Rows of a dense layer as numbers. It reads rows in vectors.

fn input_vector(place: u32) -> vec4<f32> {
    return rows_at(place);
}
