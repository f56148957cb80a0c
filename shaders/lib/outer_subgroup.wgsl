// G = Aᵀ · B for one tile: a subgroup of LANES owns 4 · LANES rows (LANES vectors) and LANES vector
// columns. Both factors are loaded as vectors; A's reach all lanes by shuffles. The kernel gives
// ROW_VECTORS, COLUMNS (vectors), DEPTH, and the functions load_a, load_b and store.
// Grid: (row tiles, column tiles, tasks).

const ROW_BLOCK = min(LANES, ROW_VECTORS);

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.z;
    let first = group.x * ROW_BLOCK;
    let column = group.y * LANES + lane;
    let safe_column = min(column, COLUMNS - 1u);
    let safe_row = min(first + lane, ROW_VECTORS - 1u);
    var sums: array<mat4x4<f32>, ROW_BLOCK>;
    for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
        sums[r] = mat4x4<f32>();
    }
    for (var k = 0u; k < DEPTH; k++) {
        let a = load_a(task, k, safe_row);
        let b = load_b(task, k, safe_column);
        for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
            let v = subgroupShuffle(a, r);
            sums[r][0] = fma(vec4<f32>(v.x), b, sums[r][0]);
            sums[r][1] = fma(vec4<f32>(v.y), b, sums[r][1]);
            sums[r][2] = fma(vec4<f32>(v.z), b, sums[r][2]);
            sums[r][3] = fma(vec4<f32>(v.w), b, sums[r][3]);
        }
    }
    begin_store(task);
    for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
        if (first + r < ROW_VECTORS && column < COLUMNS) {
            store(task, first + r, column, sums[r]);
        }
    }
}
