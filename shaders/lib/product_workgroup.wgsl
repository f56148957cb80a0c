// C = A · B, summed over taps, for one tile in workgroup memory: 8 · ROWS rows and 32 · WIDTH columns. An
// invocation owns ROWS (1, 2, 4 or 8) rows, eight apart, of WIDTH (1 or 2) vector columns, together with those of the other
// SLICES − 1 groups of 64 invocations: each group sums other blocks of taps and depth (lib/product_*.wgsl
// all add the same blocks in the same order). A round multiplies what the one before it has loaded, while its own
// loads are on their way. lib/rows_*.wgsl says what a row of A is; the kernel gives
// ROW_LIMIT, COLUMNS and DEPTH (vectors), TAP_BLOCK and DEPTH_BLOCK (a block's taps and vectors),
// COLUMN_TILES, and the functions weights_of, load_b, start_value and store.
// Grid: (row tiles, phases · column tiles, batches).

const TILE_ROWS = 8u * ROWS;
const TILE_DEPTH = 4u;   // vectors of A's row, 16 numbers
// Vectors of B's columns, and A's and B's part of a tile; A's vectors lie apart by two more than there are rows, so
// that those that are written at once are in different banks; those that are read at once are neighbours.
const COLUMNS_AT_ONCE = 8u * WIDTH;
const A_STRIDE = TILE_ROWS + 2u;
const TILE_A = TILE_DEPTH * A_STRIDE;
const TILE_B = TILE_DEPTH * 4u * COLUMNS_AT_ONCE;
// Rows of A that an invocation loads a vector of.
const LOADS = (TILE_ROWS * TILE_DEPTH + 63u) / 64u;
const WHOLE_ROUNDS = DEPTH % TILE_DEPTH == 0u && DEPTH_BLOCK % TILE_DEPTH == 0u;
const DEPTH_BLOCKS = (DEPTH + DEPTH_BLOCK - 1u) / DEPTH_BLOCK;

// Tiles of all groups: A [SLICES, TILE_DEPTH, A_STRIDE], then B [SLICES, 4 · TILE_DEPTH, COLUMNS_AT_ONCE]. Between two
// blocks they give their place to the sums of the groups but the first: [SLICES − 1, ROWS · WIDTH, 64].
var<workgroup> tiles: array<vec4<f32>, max(SLICES * (TILE_A + TILE_B), (SLICES - 1u) * 64u * ROWS * WIDTH)>;

// An invocation's part of the tiles that are loaded next.
struct Loaded {
    a: array<vec4<f32>, LOADS>,
    b: mat4x4<f32>,
}

// Where an invocation loads: vector k of rows from row on, 16 apart, and four rows b_k of B's vector column.
struct Loader {
    origins: array<Origin, LOADS>,
    k: u32,
    b_k: u32,
    column: u32,
    loads_b: bool,
    weights: u32,
}

fn load(loader: ptr<function, Loader>, phase: u32, tap: u32, first: u32, loaded: ptr<function, Loaded>) {
    for (var i = 0u; i < LOADS; i++) { // unroll
        let place = place_of((*loader).origins[i], phase, tap);
        (*loaded).a[i] = load_a(place, min(first + (*loader).k, DEPTH - 1u));
    }
    if ((*loader).loads_b) {
        let k = min(first + (*loader).b_k, DEPTH - 1u);
        (*loaded).b = load_b((*loader).weights, tap_row(phase, tap), k, (*loader).column);
    }
}

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
    let own_b = SLICES * TILE_A + slice * TILE_B;
    let column = group.y % COLUMN_TILES * COLUMNS_AT_ONCE + x;
    let weights = weights_of(batch);
    // An invocation loads vector lane % 4 of rows lane / 4, lane / 4 + 16, …, and rows 4 · (y % 4) and so on of B's
    // vector column x, or x + 8 for the upper half of a group.
    let load_row = lane / TILE_DEPTH;
    let load_x = x + y / TILE_DEPTH * 8u;
    var loader: Loader;
    for (var i = 0u; i < LOADS; i++) { // unroll
        loader.origins[i] = origin_of(batch, phase, min(first_row + load_row + 16u * i, ROW_LIMIT - 1u));
    }
    loader.k = lane % TILE_DEPTH;
    loader.b_k = y % TILE_DEPTH;
    loader.column = min(column - x + load_x, COLUMNS - 1u);
    loader.loads_b = load_x < COLUMNS_AT_ONCE;
    loader.weights = weights;
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
        let first_tap = block / DEPTH_BLOCKS * TAP_BLOCK;
        let first_of_block = block % DEPTH_BLOCKS * DEPTH_BLOCK;
        let end = min(first_of_block + DEPTH_BLOCK, DEPTH);
        // As many rounds as the first group has: it has the most.
        let rounds = min(taps - min(first_block / DEPTH_BLOCKS * TAP_BLOCK, taps), TAP_BLOCK);
        var loaded: Loaded;
        if (first_tap < taps) {
            load(&loader, phase, first_tap, first_of_block, &loaded);
        }
        for (var t = 0u; t < rounds; t++) {
            let tap = first_tap + t;
            let depth = select(0u, end, tap < taps);
            for (var done = 0u; done < DEPTH_BLOCK; done += TILE_DEPTH) {
                let first = first_of_block + done;
                workgroupBarrier();
                if (first < depth) {
                    for (var i = 0u; i < LOADS; i++) { // unroll
                        let row = load_row + 16u * i;
                        if (row < TILE_ROWS) {
                            tiles[own_a + loader.k * A_STRIDE + row] = loaded.a[i];
                        }
                    }
                    if (loader.loads_b) {
                        let at = own_b + 4u * loader.b_k * COLUMNS_AT_ONCE + load_x;
                        tiles[at] = loaded.b[0];
                        tiles[at + COLUMNS_AT_ONCE] = loaded.b[1];
                        tiles[at + 2u * COLUMNS_AT_ONCE] = loaded.b[2];
                        tiles[at + 3u * COLUMNS_AT_ONCE] = loaded.b[3];
                    }
                }
                workgroupBarrier();
                let within = done + TILE_DEPTH < DEPTH_BLOCK;
                let next_tap = select(tap + 1u, tap, within);
                let next = select(first_of_block, first + TILE_DEPTH, within);
                if (next_tap < min(first_tap + rounds, taps) && next < end) {
                    load(&loader, phase, next_tap, next, &loaded);
                }
                if (first < depth) {
                    // A number, where all rounds are whole ones, so that compilers unroll the loop.
                    let vectors = select(min(TILE_DEPTH, depth - first), TILE_DEPTH, WHOLE_ROUNDS);
                    for (var k = 0u; k < vectors; k++) {
                        var a: array<vec4<f32>, ROWS>;
                        for (var r = 0u; r < ROWS; r++) { // unroll
                            a[r] = tiles[own_a + k * A_STRIDE + 8u * r + y];
                        }
                        for (var c = 0u; c < WIDTH; c++) { // unroll
                            let at = own_b + 4u * k * COLUMNS_AT_ONCE + 8u * c + x;
                            let b0 = tiles[at];
                            let b1 = tiles[at + COLUMNS_AT_ONCE];
                            let b2 = tiles[at + 2u * COLUMNS_AT_ONCE];
                            let b3 = tiles[at + 3u * COLUMNS_AT_ONCE];
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
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice > 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                tiles[((slice - 1u) * ROWS * WIDTH + s) * 64u + lane] = sums[s];
            }
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice == 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                totals[s] += sums[s];
                for (var other = 0u; other + 1u < SLICES; other++) {
                    totals[s] += tiles[(other * ROWS * WIDTH + s) * 64u + lane];
                }
            }
        }
    }
    if (slice == 0u) {
        for (var c = 0u; c < WIDTH; c++) { // unroll
            for (var r = 0u; r < ROWS; r++) { // unroll
                let row = first_row + 8u * r + y;
                if (row < ROW_LIMIT && column + 8u * c < COLUMNS) {
                    store(batch, phase, row, column + 8u * c, totals[r * WIDTH + c]);
                }
            }
        }
    }
}
