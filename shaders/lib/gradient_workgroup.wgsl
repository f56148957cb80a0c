// G = Aᵀ · B over all output pixels for one tile in workgroup memory: 8 · ROWS row vectors and ACROSS · WIDTH vector
// columns. A group is 8 rows of ACROSS (8 or 16) invocations; each owns ROWS (1, 2 or 4) times WIDTH (1 or 2) blocks of 4×4,
// together with those of the other SLICES − 1 groups: each group sums other blocks of LINE_BLOCK rows of outputs
// (lib/gradient_*.wgsl all add the same blocks in the same order), AT_ONCE (8 or 16) pixels a round.
// lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS,
// COLUMNS (vectors), BATCH, OUT_HEIGHT, OUT_WIDTH, and the functions begin_store, store and store_bias.
// Grid: (row tiles, column tiles, batches).

const GROUP = 8u * ACROSS;
const DEPTH = BATCH * OUT_HEIGHT * OUT_WIDTH;
const PIXEL_BLOCK = LINE_BLOCK * OUT_WIDTH;
const TILE_ROWS = 8u * ROWS;
const COLUMNS_AT_ONCE = ACROSS * WIDTH;
// Vectors that an invocation loads: of one row vector and of one column, and pixels so many apart.
const A_LOADS = AT_ONCE * TILE_ROWS / GROUP;
const B_LOADS = AT_ONCE * COLUMNS_AT_ONCE / GROUP;
const A_APART = GROUP / TILE_ROWS;
const B_APART = GROUP / COLUMNS_AT_ONCE;
// What a group has in workgroup memory: tiles [AT_ONCE, TILE_ROWS] of A and [AT_ONCE, COLUMNS_AT_ONCE] of B, or between two
// blocks HANDED of the ROWS · WIDTH · 4 + WIDTH vectors that an invocation sums.
const HANDED = A_LOADS + B_LOADS;
const SUMS = ROWS * WIDTH * 4u + WIDTH;
const HANDOVERS = (SUMS + HANDED - 1u) / HANDED;

var<workgroup> tiles: array<vec4<f32>, SLICES * GROUP * HANDED>;

@compute @workgroup_size(GROUP * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let slice = index / GROUP;
    let lane = index % GROUP;
    let x = lane % ACROSS;
    let y = lane / ACROSS;
    let own_a = slice * GROUP * HANDED;
    let own_b = own_a + AT_ONCE * TILE_ROWS;
    let first_row = group.x * TILE_ROWS;
    let first_column = group.y * COLUMNS_AT_ONCE;
    let cell = cell_of(min(first_row + lane % TILE_ROWS, ROW_VECTORS - 1u));
    let load_column = min(first_column + lane % COLUMNS_AT_ONCE, COLUMNS - 1u);
    // The last WIDTH ones are of the bias.
    var totals: array<vec4<f32>, SUMS>;
    for (var first_block = 0u; first_block < DEPTH; first_block += SLICES * PIXEL_BLOCK) {
        let block = first_block + slice * PIXEL_BLOCK;
        let end = min(block + PIXEL_BLOCK, DEPTH);
        var sums = array<vec4<f32>, SUMS>();
        // As many rounds as the first group has: it has the most.
        let pixels = min(PIXEL_BLOCK, DEPTH - first_block);
        for (var done = 0u; done < pixels; done += AT_ONCE) {
            let first = block + done;
            workgroupBarrier();
            if (first < end) {
                for (var i = 0u; i < A_LOADS; i++) { // unroll
                    let pixel = min(first + lane / TILE_ROWS + A_APART * i, end - 1u);
                    let line_number = pixel / OUT_WIDTH;
                    let image = batch * BATCH + line_number / OUT_HEIGHT;
                    let line = line_of(cell, image, line_number % OUT_HEIGHT);
                    tiles[own_a + lane + GROUP * i] = load_a(line, cell, pixel % OUT_WIDTH);
                }
                for (var i = 0u; i < B_LOADS; i++) { // unroll
                    let pixel = first + lane / COLUMNS_AT_ONCE + B_APART * i;
                    let gradient = dz_at((batch * DEPTH + min(pixel, end - 1u)) * COLUMNS + load_column);
                    tiles[own_b + lane + GROUP * i] = select(vec4<f32>(0.0), gradient, pixel < end);
                }
            }
            workgroupBarrier();
            if (first < end) {
                for (var k = 0u; k < AT_ONCE; k++) { // unroll
                    var a = array<vec4<f32>, ROWS>();
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        a[r] = tiles[own_a + TILE_ROWS * k + 8u * r + y];
                    }
                    for (var c = 0u; c < WIDTH; c++) { // unroll
                        let b = tiles[own_b + COLUMNS_AT_ONCE * k + ACROSS * c + x];
                        sums[4u * ROWS * WIDTH + c] += b;
                        for (var r = 0u; r < ROWS; r++) { // unroll
                            let v = a[r];
                            let s = 4u * (r * WIDTH + c);
                            sums[s] = fma(vec4<f32>(v.x), b, sums[s]);
                            sums[s + 1u] = fma(vec4<f32>(v.y), b, sums[s + 1u]);
                            sums[s + 2u] = fma(vec4<f32>(v.z), b, sums[s + 2u]);
                            sums[s + 3u] = fma(vec4<f32>(v.w), b, sums[s + 3u]);
                        }
                    }
                }
            }
        }
        for (var h = 0u; h < HANDOVERS; h++) { // unroll
            if (SLICES > 1u) {
                workgroupBarrier();
                if (slice > 0u) {
                    for (var s = h * HANDED; s < min(h * HANDED + HANDED, SUMS); s++) { // unroll
                        tiles[((slice - 1u) * HANDED + s - h * HANDED) * GROUP + lane] = sums[s];
                    }
                }
                workgroupBarrier();
            }
            if (slice == 0u) {
                for (var s = h * HANDED; s < min(h * HANDED + HANDED, SUMS); s++) { // unroll
                    totals[s] += sums[s];
                    for (var other = 0u; other + 1u < SLICES; other++) {
                        totals[s] += tiles[(other * HANDED + s - h * HANDED) * GROUP + lane];
                    }
                }
            }
        }
    }
    if (slice == 0u) {
        begin_store(batch);
        for (var c = 0u; c < WIDTH; c++) { // unroll
            let own = first_column + x + ACROSS * c;
            for (var r = 0u; r < ROWS; r++) { // unroll
                let row = first_row + 8u * r + y;
                if (row < ROW_VECTORS && own < COLUMNS) {
                    let s = 4u * (r * WIDTH + c);
                    let block = mat4x4<f32>(totals[s], totals[s + 1u], totals[s + 2u], totals[s + 3u]);
                    store(row, own, block);
                }
            }
            if (first_row == 0u && y == 0u && own < COLUMNS) {
                store_bias(own, totals[4u * ROWS * WIDTH + c]);
            }
        }
    }
}
