// G = Aᵀ · B over all output pixels for one tile: a subgroup of LANES owns ROW_BLOCK row vectors (at
// most LANES) and LANES vector columns. Both factors are loaded as vectors; A's reach all lanes by
// shuffles. lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS, COLUMNS (vectors), BATCH,
// OUT_HEIGHT, OUT_WIDTH (a multiple of X_BLOCK), and the functions begin_store, store and store_bias.
// Grid: (row tiles, column tiles, batches).

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.z;
    let first = group.x * ROW_BLOCK;
    let column = group.y * LANES + lane;
    let cell = cell_of(min(first + lane, ROW_VECTORS - 1u));
    var sums: array<mat4x4<f32>, ROW_BLOCK>;
    for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
        sums[r] = mat4x4<f32>();
    }
    var bias = vec4<f32>(0.0);
    var place = batch * BATCH * OUT_HEIGHT * OUT_WIDTH * COLUMNS + min(column, COLUMNS - 1u);
    for (var image = batch * BATCH; image < (batch + 1u) * BATCH; image++) {
        for (var y = 0u; y < OUT_HEIGHT; y++) {
            let line = line_of(cell, image, y);
            for (var x = 0u; x < OUT_WIDTH; x += X_BLOCK) {
                for (var i = 0u; i < X_BLOCK; i++) { // unroll
                    let a = load_a(line, cell, x + i);
                    let b = dz[place];
                    place += COLUMNS;
                    bias += b;
                    for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
                        let v = subgroupShuffle(a, r);
                        sums[r][0] = fma(vec4<f32>(v.x), b, sums[r][0]);
                        sums[r][1] = fma(vec4<f32>(v.y), b, sums[r][1]);
                        sums[r][2] = fma(vec4<f32>(v.z), b, sums[r][2]);
                        sums[r][3] = fma(vec4<f32>(v.w), b, sums[r][3]);
                    }
                }
            }
        }
    }
    begin_store(batch);
    for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
        if (first + r < ROW_VECTORS && column < COLUMNS) {
            store(first + r, column, sums[r]);
        }
    }
    if (first == 0u && column < COLUMNS) {
        store_bias(column, bias);
    }
}
