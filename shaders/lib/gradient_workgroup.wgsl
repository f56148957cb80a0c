// G = Aᵀ · B over all output pixels for one tile in workgroup memory: 8 · ROWS row vectors and
// 8 · WIDTH vector columns. An invocation owns ROWS (1, 2 or 4) times WIDTH (1 or 2) blocks of 4×4, together with those of the other SLICES − 1
// groups of 64 invocations: each group sums other blocks of LINE_BLOCK rows of outputs (lib/gradient_*.wgsl
// all add the same blocks in the same order). lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS,
// COLUMNS (vectors), BATCH, OUT_HEIGHT, OUT_WIDTH, and the functions begin_store, store and store_bias.
// Grid: (row tiles, column tiles, batches).

const DEPTH = BATCH * OUT_HEIGHT * OUT_WIDTH;
const PIXEL_BLOCK = LINE_BLOCK * OUT_WIDTH;
const TILE_ROWS = 8u * ROWS;
const COLUMNS_AT_ONCE = 8u * WIDTH;
// What a group has in workgroup memory: tiles [8, TILE_ROWS] of A and [8, COLUMNS_AT_ONCE] of B, or between two blocks
// AT_ONCE of the ROWS · WIDTH · 4 + WIDTH vectors that it sums.
const AT_ONCE = ROWS + WIDTH;
const SUMS = ROWS * WIDTH * 4u + WIDTH;
const HANDOVERS = (SUMS + AT_ONCE - 1u) / AT_ONCE;

var<workgroup> tiles: array<vec4<f32>, SLICES * 64u * AT_ONCE>;

@compute @workgroup_size(64 * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let slice = index / 64u;
    let lane = index % 64u;
    let x = lane % 8u;
    let y = lane / 8u;
    let own_a = slice * 64u * AT_ONCE;
    let own_b = own_a + 64u * ROWS;
    let first_row = group.x * TILE_ROWS;
    let column = group.y * COLUMNS_AT_ONCE + x;
    // An invocation loads row vectors x, x + 8, … of one pixel, and stores y, y + 8, ….
    var cells: array<Cell, ROWS>;
    // The last WIDTH ones are of the bias.
    var totals: array<vec4<f32>, SUMS>;
    for (var r = 0u; r < ROWS; r++) { // unroll
        cells[r] = cell_of(min(first_row + 8u * r + x, ROW_VECTORS - 1u));
    }
    for (var first_block = 0u; first_block < DEPTH; first_block += SLICES * PIXEL_BLOCK) {
        let block = first_block + slice * PIXEL_BLOCK;
        let end = min(block + PIXEL_BLOCK, DEPTH);
        var sums: array<vec4<f32>, SUMS>;
        // As many rounds as the first group has: it has the most.
        for (var done = 0u; done < min(PIXEL_BLOCK, DEPTH - first_block); done += 8u) {
            let first = block + done;
            workgroupBarrier();
            if (first < end) {
                let pixel = min(first + y, end - 1u);
                let line_number = pixel / OUT_WIDTH;
                let image = batch * BATCH + line_number / OUT_HEIGHT;
                for (var r = 0u; r < ROWS; r++) { // unroll
                    let line = line_of(cells[r], image, line_number % OUT_HEIGHT);
                    tiles[own_a + TILE_ROWS * y + 8u * r + x] = load_a(line, cells[r], pixel % OUT_WIDTH);
                }
                for (var c = 0u; c < WIDTH; c++) { // unroll
                    let safe_column = min(column + 8u * c, COLUMNS - 1u);
                    let gradient = dz_at((batch * DEPTH + pixel) * COLUMNS + safe_column);
                    tiles[own_b + COLUMNS_AT_ONCE * y + 8u * c + x] =
                        select(vec4<f32>(0.0), gradient, first + y < end);
                }
            }
            workgroupBarrier();
            if (first < end) {
                for (var k = 0u; k < 8u; k++) { // unroll
                    var a: array<vec4<f32>, ROWS>;
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        a[r] = tiles[own_a + TILE_ROWS * k + 8u * r + y];
                    }
                    for (var c = 0u; c < WIDTH; c++) { // unroll
                        let b = tiles[own_b + COLUMNS_AT_ONCE * k + 8u * c + x];
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
                    for (var s = h * AT_ONCE; s < min(h * AT_ONCE + AT_ONCE, SUMS); s++) { // unroll
                        tiles[((slice - 1u) * AT_ONCE + s - h * AT_ONCE) * 64u + lane] = sums[s];
                    }
                }
                workgroupBarrier();
            }
            if (slice == 0u) {
                for (var s = h * AT_ONCE; s < min(h * AT_ONCE + AT_ONCE, SUMS); s++) { // unroll
                    totals[s] += sums[s];
                    for (var other = 0u; other + 1u < SLICES; other++) {
                        totals[s] += tiles[(other * AT_ONCE + s - h * AT_ONCE) * 64u + lane];
                    }
                }
            }
        }
    }
    if (slice == 0u) {
        begin_store(batch);
        for (var c = 0u; c < WIDTH; c++) { // unroll
            let own = column + 8u * c;
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
