// C = A · B, summed over taps, for one tile in workgroup memory: 8 · ROWS rows and 32 columns. An
// invocation owns ROWS (1, 2, 4 or 8) rows of one vector column, together with those of the other
// SLICES − 1 groups of 64 invocations: each group sums other blocks of taps and depth (lib/product_*.wgsl
// all add the same blocks in the same order). lib/rows_*.wgsl says what a row of A is; the kernel gives
// ROW_LIMIT, COLUMNS and DEPTH (vectors), TAP_BLOCK and DEPTH_BLOCK (a block's taps and vectors),
// COLUMN_TILES, and the functions weights_of, load_b, start_value and store.
// Grid: (row tiles, phases · column tiles, batches).

const TILE_ROWS = 8u * ROWS;
const TILE_DEPTH = 4u;   // vectors of A's row, 16 numbers
const TILE_A = TILE_DEPTH * TILE_ROWS;
const TILE_B = TILE_DEPTH * 32u;
const DEPTH_BLOCKS = (DEPTH + DEPTH_BLOCK - 1u) / DEPTH_BLOCK;

var<workgroup> tile_a: array<vec4<f32>, SLICES * TILE_A>;
var<workgroup> tile_b: array<vec4<f32>, SLICES * TILE_B>;
// The sums of the groups but the first: [SLICES − 1, ROWS, 64].
var<workgroup> others: array<vec4<f32>, max((SLICES - 1u) * 64u * ROWS, 1u)>;

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
    let column = group.y % COLUMN_TILES * 8u + x;
    let safe_column = min(column, COLUMNS - 1u);
    let weights = weights_of(batch);
    // An invocation loads vectors of one row of A.
    let own_row = min(first_row + lane % TILE_ROWS, ROW_LIMIT - 1u);
    let origin = origin_of(batch, phase, own_row);
    let taps = taps_of(phase);
    let blocks = (taps + TAP_BLOCK - 1u) / TAP_BLOCK * DEPTH_BLOCKS;
    var totals: array<vec4<f32>, ROWS>;
    for (var first_block = 0u; first_block < max(blocks, 1u); first_block += SLICES) {
        let block = first_block + slice;
        // The first block begins with the start.
        var start = vec4<f32>(0.0);
        if (block == 0u) {
            start = start_value(weights, safe_column);
        }
        var sums: array<vec4<f32>, ROWS>;
        for (var r = 0u; r < ROWS; r++) { // unroll
            sums[r] = start;
        }
        let first_tap_of_block = block / DEPTH_BLOCKS * TAP_BLOCK;
        let first_of_block = block % DEPTH_BLOCKS * DEPTH_BLOCK;
        // As many rounds as the first group has: it has the most.
        let rounds = min(taps - min(first_block / DEPTH_BLOCKS * TAP_BLOCK, taps), TAP_BLOCK);
        for (var t = 0u; t < rounds; t++) {
            let tap = first_tap_of_block + t;
            let depth = select(0u, min(first_of_block + DEPTH_BLOCK, DEPTH), tap < taps);
            let weight_row = tap_row(phase, tap);
            let place = place_of(origin, phase, tap);
            for (var done = 0u; done < DEPTH_BLOCK; done += TILE_DEPTH) {
                let first = first_of_block + done;
                workgroupBarrier();
                if (first < depth) {
                    for (var i = lane; i < TILE_A; i += 64u) {
                        tile_a[own_a + i] = load_a(place, min(first + i / TILE_ROWS, DEPTH - 1u));
                    }
                    if (y < TILE_DEPTH) {
                        let k = min(first + y, DEPTH - 1u);
                        let b = load_b(weights, weight_row, k, safe_column);
                        tile_b[own_b + (4u * y) * 8u + x] = b[0];
                        tile_b[own_b + (4u * y + 1u) * 8u + x] = b[1];
                        tile_b[own_b + (4u * y + 2u) * 8u + x] = b[2];
                        tile_b[own_b + (4u * y + 3u) * 8u + x] = b[3];
                    }
                }
                workgroupBarrier();
                for (var k = 0u; k < min(TILE_DEPTH, max(depth, first) - first); k++) {
                    let b0 = tile_b[own_b + (4u * k) * 8u + x];
                    let b1 = tile_b[own_b + (4u * k + 1u) * 8u + x];
                    let b2 = tile_b[own_b + (4u * k + 2u) * 8u + x];
                    let b3 = tile_b[own_b + (4u * k + 3u) * 8u + x];
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        let v = tile_a[own_a + k * TILE_ROWS + y * ROWS + r];
                        sums[r] = fma(vec4<f32>(v.w), b3, fma(vec4<f32>(v.z), b2,
                            fma(vec4<f32>(v.y), b1, fma(vec4<f32>(v.x), b0, sums[r]))));
                    }
                }
            }
        }
        if (slice > 0u) {
            for (var r = 0u; r < ROWS; r++) { // unroll
                others[((slice - 1u) * ROWS + r) * 64u + lane] = sums[r];
            }
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice == 0u) {
            for (var r = 0u; r < ROWS; r++) { // unroll
                totals[r] += sums[r];
                for (var s = 1u; s < SLICES; s++) {
                    totals[r] += others[((s - 1u) * ROWS + r) * 64u + lane];
                }
            }
        }
    }
    if (slice == 0u) {
        for (var r = 0u; r < ROWS; r++) { // unroll
            let row = first_row + y * ROWS + r;
            if (row < ROW_LIMIT && column < COLUMNS) {
                store(batch, phase, row, column, totals[r]);
            }
        }
    }
}
