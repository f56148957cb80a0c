// G = Aᵀ · B over all output pixels for few row vectors (a first convolution's): nothing goes around in workgroup memory
// but sums. ROW_VECTORS · TILE_COLUMNS invocations own a block of 4×4 each, together with those of the other SLICES − 1
// groups: each group sums other blocks of LINE_BLOCK rows of outputs (lib/gradient_*.wgsl all add the same blocks in the
// same order). lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS, COLUMNS (vectors), BATCH, OUT_HEIGHT,
// OUT_WIDTH, and the functions begin_store, store and store_bias. Grid: (1, column tiles, batches).

const LINES = BATCH * OUT_HEIGHT;
const LANES = ROW_VECTORS * TILE_COLUMNS;
// Four rows of the block, and the bias.
const SUMS = 5u;

var<workgroup> block_sums: array<vec4<f32>, SLICES * SUMS * LANES>;

@compute @workgroup_size(LANES * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let slice = index / LANES;
    let lane = index % LANES;
    let row = lane / TILE_COLUMNS;
    let column = group.y * TILE_COLUMNS + lane % TILE_COLUMNS;
    let safe_column = min(column, COLUMNS - 1u);
    let cell = cell_of(row);
    // What the first SUMS · LANES invocations have of the whole sums, one vector each or several.
    var totals: array<vec4<f32>, (SUMS + SLICES - 1u) / SLICES>;
    for (var first_block = 0u; first_block < LINES; first_block += SLICES * LINE_BLOCK) {
        let block = first_block + slice * LINE_BLOCK;
        var sums = mat4x4<f32>();
        var bias = vec4<f32>();
        for (var l = block; l < min(block + LINE_BLOCK, LINES); l++) {
            let line = line_of(cell, batch * BATCH + l / OUT_HEIGHT, l % OUT_HEIGHT);
            let first = (batch * LINES + l) * OUT_WIDTH * COLUMNS + safe_column;
            for (var x = 0u; x < OUT_WIDTH; x++) {
                let a = load_a(line, cell, x);
                let b = dz_at(first + x * COLUMNS);
                bias += b;
                sums[0] = fma(vec4<f32>(a.x), b, sums[0]);
                sums[1] = fma(vec4<f32>(a.y), b, sums[1]);
                sums[2] = fma(vec4<f32>(a.z), b, sums[2]);
                sums[3] = fma(vec4<f32>(a.w), b, sums[3]);
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) { // unroll
            block_sums[(slice * SUMS + i) * LANES + lane] = sums[i];
        }
        block_sums[(slice * SUMS + 4u) * LANES + lane] = bias;
        workgroupBarrier();
        for (var i = index; i < SUMS * LANES; i += LANES * SLICES) {
            for (var s = 0u; s < SLICES; s++) {
                totals[i / (LANES * SLICES)] += block_sums[s * SUMS * LANES + i];
            }
        }
    }
    workgroupBarrier();
    for (var i = index; i < SUMS * LANES; i += LANES * SLICES) {
        block_sums[i] = totals[i / (LANES * SLICES)];
    }
    workgroupBarrier();
    if (slice == 0u && column < COLUMNS) {
        begin_store(batch);
        store(row, column, mat4x4<f32>(block_sums[lane], block_sums[LANES + lane],
            block_sums[2u * LANES + lane], block_sums[3u * LANES + lane]));
        if (row == 0u) {
            store_bias(column, block_sums[4u * LANES + lane]);
        }
    }
}
