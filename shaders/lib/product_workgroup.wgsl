// C = A · B, summed over taps, for one tile in workgroup memory: 8 · ROWS rows and 4 · ACROSS · WIDTH columns. A group
// is 8 rows of ACROSS (8 or 16) invocations; each owns ROWS (1, 2, 4 or 8) rows, eight apart, of WIDTH (1 or 2) vector
// columns, ACROSS apart, together with those of the other SLICES − 1 groups: each group sums other blocks of taps and depth
// (lib/product_*.wgsl all add the same blocks in the same order). A round multiplies TILE_DEPTH (4 or 8) vectors of A's rows
// that the one before it has loaded, while its own loads are on their way. lib/rows_*.wgsl says what a row of A is;
// the kernel gives ROW_LIMIT, COLUMNS and DEPTH (vectors), TAP_BLOCK and DEPTH_BLOCK (a block's taps and vectors),
// COLUMN_TILES, and the functions weights_of, load_b, start_value and store.
// Grid: (row tiles, phases · column tiles, batches).

const GROUP = 8u * ACROSS;
const TILE_ROWS = 8u * ROWS;
// Vectors of B's columns, and A's and B's part of a tile; A's vectors lie apart by two more than there are rows, so
// that those that are written at once are in different banks; those that are read at once are neighbours.
const COLUMNS_AT_ONCE = ACROSS * WIDTH;
const A_STRIDE = TILE_ROWS + 2u;
const TILE_A = TILE_DEPTH * A_STRIDE;
const TILE_B = TILE_DEPTH * 4u * COLUMNS_AT_ONCE;
// Vectors of A that an invocation loads, of rows so many apart, and blocks of four vectors of B.
const A_LOADS = (TILE_ROWS * TILE_DEPTH + GROUP - 1u) / GROUP;
const ROWS_APART = GROUP / TILE_DEPTH;
const B_LOADS = (TILE_DEPTH * COLUMNS_AT_ONCE + GROUP - 1u) / GROUP;
const WHOLE_ROUNDS = DEPTH % TILE_DEPTH == 0u && DEPTH_BLOCK % TILE_DEPTH == 0u;
const DEPTH_BLOCKS = (DEPTH + DEPTH_BLOCK - 1u) / DEPTH_BLOCK;

// Tiles of all groups: A [SLICES, TILE_DEPTH, A_STRIDE], then B [SLICES, 4 · TILE_DEPTH, COLUMNS_AT_ONCE]. Between two
// blocks they give their place to the sums of the groups but the first: [SLICES − 1, ROWS · WIDTH, GROUP].
var<workgroup> tiles: array<vec4<f32>, max(SLICES * (TILE_A + TILE_B), (SLICES - 1u) * GROUP * ROWS * WIDTH)>;

// An invocation's part of the tiles that are loaded next.
struct Loaded {
    a: array<vec4<f32>, A_LOADS>,
    b: array<mat4x4<f32>, B_LOADS>,
}

// Where an invocation loads: vector lane % TILE_DEPTH of rows ROWS_APART apart, and blocks of B.
struct Loader {
    origins: array<Origin, A_LOADS>,
    lane: u32,
    first_column: u32,
    weights: u32,
}

// Loads TILE_DEPTH vectors of a tap's rows, from `first` on, and what they are multiplied by.
fn load(loader: ptr<function, Loader>, phase: u32, tap: u32, first: u32, loaded: ptr<function, Loaded>) {
    for (var i = 0u; i < A_LOADS; i++) { // unroll
        let place = place_of((*loader).origins[i], phase, tap);
        (*loaded).a[i] = load_a(place, min(first + (*loader).lane % TILE_DEPTH, DEPTH - 1u));
    }
    for (var i = 0u; i < B_LOADS; i++) { // unroll
        let b = (*loader).lane + GROUP * i;
        if (b < TILE_DEPTH * COLUMNS_AT_ONCE) {
            let column = min((*loader).first_column + b % COLUMNS_AT_ONCE, COLUMNS - 1u);
            let k = min(first + b / COLUMNS_AT_ONCE, DEPTH - 1u);
            (*loaded).b[i] = load_b((*loader).weights, tap_row(phase, tap), k, column);
        }
    }
}

@compute @workgroup_size(GROUP * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let phase = group.y / COLUMN_TILES;
    let first_row = group.x * TILE_ROWS;
    let slice = index / GROUP;
    let lane = index % GROUP;
    let x = lane % ACROSS;
    let y = lane / ACROSS;
    let own_a = slice * TILE_A;
    let own_b = SLICES * TILE_A + slice * TILE_B;
    let first_column = group.y % COLUMN_TILES * COLUMNS_AT_ONCE;
    let column = first_column + x;
    let weights = weights_of(batch);
    let load_row = lane / TILE_DEPTH;
    var loader: Loader;
    for (var i = 0u; i < A_LOADS; i++) { // unroll
        loader.origins[i] = origin_of(batch, phase, min(first_row + load_row + ROWS_APART * i, ROW_LIMIT - 1u));
    }
    loader.lane = lane;
    loader.first_column = first_column;
    loader.weights = weights;
    let taps = taps_of(phase);
    let blocks = (taps + TAP_BLOCK - 1u) / TAP_BLOCK * DEPTH_BLOCKS;
    var totals: array<vec4<f32>, ROWS * WIDTH>;
    var loaded: Loaded;
    for (var first_block = 0u; first_block < max(blocks, 1u); first_block += SLICES) {
        let block = first_block + slice;
        var sums = array<vec4<f32>, ROWS * WIDTH>();
        // The first block begins with the start.
        if (block == 0u) {
            for (var c = 0u; c < WIDTH; c++) { // unroll
                let start = start_value(weights, min(column + ACROSS * c, COLUMNS - 1u));
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
                    for (var i = 0u; i < A_LOADS; i++) { // unroll
                        let row = load_row + ROWS_APART * i;
                        if (row < TILE_ROWS) {
                            tiles[own_a + lane % TILE_DEPTH * A_STRIDE + row] = loaded.a[i];
                        }
                    }
                    for (var i = 0u; i < B_LOADS; i++) { // unroll
                        let b = lane + GROUP * i;
                        if (b < TILE_DEPTH * COLUMNS_AT_ONCE) {
                            let at = own_b + 4u * (b / COLUMNS_AT_ONCE) * COLUMNS_AT_ONCE + b % COLUMNS_AT_ONCE;
                            tiles[at] = loaded.b[i][0];
                            tiles[at + COLUMNS_AT_ONCE] = loaded.b[i][1];
                            tiles[at + 2u * COLUMNS_AT_ONCE] = loaded.b[i][2];
                            tiles[at + 3u * COLUMNS_AT_ONCE] = loaded.b[i][3];
                        }
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
                        var a = array<vec4<f32>, ROWS>();
                        for (var r = 0u; r < ROWS; r++) { // unroll
                            a[r] = tiles[own_a + k * A_STRIDE + 8u * r + y];
                        }
                        for (var c = 0u; c < WIDTH; c++) { // unroll
                            let at = own_b + 4u * k * COLUMNS_AT_ONCE + ACROSS * c + x;
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
                tiles[((slice - 1u) * ROWS * WIDTH + s) * GROUP + lane] = sums[s];
            }
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice == 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                totals[s] += sums[s];
                for (var other = 0u; other + 1u < SLICES; other++) {
                    totals[s] += tiles[(other * ROWS * WIDTH + s) * GROUP + lane];
                }
            }
        }
    }
    if (slice == 0u) {
        for (var c = 0u; c < WIDTH; c++) { // unroll
            for (var r = 0u; r < ROWS; r++) { // unroll
                let row = first_row + 8u * r + y;
                if (row < ROW_LIMIT && column + ACROSS * c < COLUMNS) {
                    store(batch, phase, row, column + ACROSS * c, totals[r * WIDTH + c]);
                }
            }
        }
    }
}
