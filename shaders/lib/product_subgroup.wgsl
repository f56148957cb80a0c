// C = A · B for one tile: a subgroup of LANES owns ROWS rows and 4 · LANES columns. A lane loads
// one row of A and one vector column of B; rows of A reach all lanes by shuffles. The kernel
// gives ROW_LIMIT, COLUMNS (vectors), DEPTH (vectors), and the functions load_a, load_b, start_value
// and store. Grid: (row tiles, column tiles, tasks).

const ROW_GROUPS = (ROWS + LANES - 1u) / LANES;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.z;
    let first_row = group.x * ROWS;
    let column = group.y * LANES + lane;
    let safe_column = min(column, COLUMNS - 1u);
    let start = start_value(task, safe_column);
    var sums: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { // unroll
        sums[r] = start;
    }
    for (var k = 0u; k < DEPTH; k++) {
        var a: array<vec4<f32>, ROW_GROUPS>;
        for (var g = 0u; g < ROW_GROUPS; g++) { // unroll
            a[g] = load_a(task, min(first_row + g * LANES + lane, ROW_LIMIT - 1u), k);
        }
        let b = load_b(task, k, safe_column);
        for (var r = 0u; r < ROWS; r++) { // unroll
            let v = subgroupShuffle(a[r / LANES], r % LANES);
            sums[r] = fma(vec4<f32>(v.w), b[3], fma(vec4<f32>(v.z), b[2],
                fma(vec4<f32>(v.y), b[1], fma(vec4<f32>(v.x), b[0], sums[r]))));
        }
    }
    for (var r = 0u; r < ROWS; r++) { // unroll
        if (first_row + r < ROW_LIMIT && column < COLUMNS) {
            store(task, first_row + r, column, sums[r]);
        }
    }
}
