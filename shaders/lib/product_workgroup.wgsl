// C = A · B, summed over taps, for one tile in workgroup memory: 8 · ROWS rows and 32 · WIDTH columns. An
// invocation owns ROWS (1, 2, 4 or 8) rows of WIDTH (1 or 2) vector columns, together with those of the other
// SLICES − 1 groups of 64 invocations: each group sums other blocks of taps and depth (lib/product_*.wgsl
// all add the same blocks in the same order). lib/rows_*.wgsl says what a row of A is; the kernel gives
// ROW_LIMIT, COLUMNS and DEPTH (vectors), TAP_BLOCK and DEPTH_BLOCK (a block's taps and vectors),
// COLUMN_TILES, and the functions weights_of, load_b, start_value and store.
// Grid: (row tiles, phases · column tiles, batches).

const TILE_ROWS = 8u * ROWS;
const TILE_DEPTH = 4u;   // vectors of A's row, 16 numbers
// Vectors of B's columns, and A's and B's part of a tile; A's rows lie apart by one more than there are, so that
// those that are written at once are in different banks.
const COLUMNS_AT_ONCE = 8u * WIDTH;
const A_STRIDE = TILE_ROWS + 1u;
const TILE_A = TILE_DEPTH * A_STRIDE;
const TILE_B = TILE_DEPTH * 4u * COLUMNS_AT_ONCE;
// Rows of A that an invocation loads a vector of.
const LOADS = (TILE_ROWS * TILE_DEPTH + 63u) / 64u;
const DEPTH_BLOCKS = (DEPTH + DEPTH_BLOCK - 1u) / DEPTH_BLOCK;

var<workgroup> tile_a: array<vec4<f32>, SLICES * TILE_A>;
var<workgroup> tile_b: array<vec4<f32>, SLICES * TILE_B>;
// The sums of the groups but the first: [SLICES − 1, ROWS · WIDTH, 64].
var<workgroup> others: array<vec4<f32>, max((SLICES - 1u) * 64u * ROWS * WIDTH, 1u)>;

@compute @workgroup_size(64 * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let phase = group.y / COLUMN_TILES;
    let first_row = group.x * TILE_ROWS;
    let slice = index / 64u;
    let lane = index % 64u;
    let x = lane % 8u;
    let y = lane / 8u;
    let own_a = slice * TILE_A;
    let own_b = slice * TILE_B;
    let column = group.y % COLUMN_TILES * COLUMNS_AT_ONCE + x;
    let weights = weights_of(batch);
    // An invocation loads vector lane % 4 of rows lane / 4, lane / 4 + 16, …, and rows 4 · (y % 4) and so on of B's
    // vector column x, or x + 8 for the upper half of a group.
    let load_row = lane / TILE_DEPTH;
    let load_k = lane % TILE_DEPTH;
    var origins: array<Origin, LOADS>;
    for (var i = 0u; i < LOADS; i++) { // unroll
        origins[i] = origin_of(batch, phase, min(first_row + load_row + 16u * i, ROW_LIMIT - 1u));
    }
    let load_x = x + y / TILE_DEPTH * 8u;
    let load_column = min(column - x + load_x, COLUMNS - 1u);
    let load_y = y % TILE_DEPTH;
    let taps = taps_of(phase);
    let blocks = (taps + TAP_BLOCK - 1u) / TAP_BLOCK * DEPTH_BLOCKS;
    var totals: array<vec4<f32>, ROWS * WIDTH>;
    for (var first_block = 0u; first_block < max(blocks, 1u); first_block += SLICES) {
        let block = first_block + slice;
        var sums: array<vec4<f32>, ROWS * WIDTH>;
        // The first block begins with the start.
        if (block == 0u) {
            for (var c = 0u; c < WIDTH; c++) { // unroll
                let start = start_value(weights, min(column + 8u * c, COLUMNS - 1u));
                for (var r = 0u; r < ROWS; r++) { // unroll
                    sums[r * WIDTH + c] = start;
                }
            }
        }
        let first_tap_of_block = block / DEPTH_BLOCKS * TAP_BLOCK;
        let first_of_block = block % DEPTH_BLOCKS * DEPTH_BLOCK;
        // As many rounds as the first group has: it has the most.
        let rounds = min(taps - min(first_block / DEPTH_BLOCKS * TAP_BLOCK, taps), TAP_BLOCK);
        for (var t = 0u; t < rounds; t++) {
            let tap = first_tap_of_block + t;
            let depth = select(0u, min(first_of_block + DEPTH_BLOCK, DEPTH), tap < taps);
            let weight_row = tap_row(phase, tap);
            var places: array<Place, LOADS>;
            for (var i = 0u; i < LOADS; i++) { // unroll
                places[i] = place_of(origins[i], phase, tap);
            }
            for (var done = 0u; done < DEPTH_BLOCK; done += TILE_DEPTH) {
                let first = first_of_block + done;
                workgroupBarrier();
                if (first < depth) {
                    for (var i = 0u; i < LOADS; i++) { // unroll
                        let row = load_row + 16u * i;
                        if (row < TILE_ROWS) {
                            tile_a[own_a + load_k * A_STRIDE + row] =
                                load_a(places[i], min(first + load_k, DEPTH - 1u));
                        }
                    }
                    if (load_x < COLUMNS_AT_ONCE) {
                        let k = min(first + load_y, DEPTH - 1u);
                        let b = load_b(weights, weight_row, k, load_column);
                        let at = own_b + 4u * load_y * COLUMNS_AT_ONCE + load_x;
                        tile_b[at] = b[0];
                        tile_b[at + COLUMNS_AT_ONCE] = b[1];
                        tile_b[at + 2u * COLUMNS_AT_ONCE] = b[2];
                        tile_b[at + 3u * COLUMNS_AT_ONCE] = b[3];
                    }
                }
                workgroupBarrier();
                for (var k = 0u; k < min(TILE_DEPTH, max(depth, first) - first); k++) {
                    var a: array<vec4<f32>, ROWS>;
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        a[r] = tile_a[own_a + k * A_STRIDE + y * ROWS + r];
                    }
                    for (var c = 0u; c < WIDTH; c++) { // unroll
                        let at = own_b + 4u * k * COLUMNS_AT_ONCE + 8u * c + x;
                        let b0 = tile_b[at];
                        let b1 = tile_b[at + COLUMNS_AT_ONCE];
                        let b2 = tile_b[at + 2u * COLUMNS_AT_ONCE];
                        let b3 = tile_b[at + 3u * COLUMNS_AT_ONCE];
                        for (var r = 0u; r < ROWS; r++) { // unroll
                            let v = a[r];
                            let s = r * WIDTH + c;
                            sums[s] = fma(vec4<f32>(v.w), b3, fma(vec4<f32>(v.z), b2,
                                fma(vec4<f32>(v.y), b1, fma(vec4<f32>(v.x), b0, sums[s]))));
                        }
                    }
                }
            }
        }
        if (slice > 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                others[((slice - 1u) * ROWS * WIDTH + s) * 64u + lane] = sums[s];
            }
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice == 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                totals[s] += sums[s];
                for (var other = 0u; other + 1u < SLICES; other++) {
                    totals[s] += others[(other * ROWS * WIDTH + s) * 64u + lane];
                }
            }
        }
    }
    if (slice == 0u) {
        for (var c = 0u; c < WIDTH; c++) { // unroll
            for (var r = 0u; r < ROWS; r++) { // unroll
                let row = first_row + y * ROWS + r;
                if (row < ROW_LIMIT && column + 8u * c < COLUMNS) {
                    store(batch, phase, row, column + 8u * c, totals[r * WIDTH + c]);
                }
            }
        }
    }
}
