// Row i of four, chosen between registers: an index that is no constant would put all of them into memory.
fn row_of(rows: mat4x4<f32>, i: u32) -> vec4<f32> {
    return select(select(rows[0], rows[1], i == 1u), select(rows[2], rows[3], i == 3u), i > 1u);
}
