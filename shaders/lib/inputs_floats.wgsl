// Rows of a dense layer as numbers.
@group(0) @binding(2) var<storage, read> rows: array<vec4<f32>>;

fn input_vector(place: u32) -> vec4<f32> {
    return rows[place];
}
