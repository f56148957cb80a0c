// C = A · B, summed over taps, for one tile: a subgroup of LANES owns ROWS rows and 4 · LANES · WIDTH
// columns. A lane loads one row of A and WIDTH vector columns of B; rows of A reach all lanes by
// shuffles. lib/rows_*.wgsl says what a row of A is; the kernel gives ROW_LIMIT, COLUMNS and DEPTH
// (vectors), TAP_BLOCK and DEPTH_BLOCK (taps and vectors that are summed by themselves), COLUMN_TILES, and the functions weights_of, load_b, start_value and store.
// Grid: (row tiles, phases · column tiles, batches).

const ROW_GROUPS = (ROWS + LANES - 1u) / LANES;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.z;
    let phase = group.y / COLUMN_TILES;
    let first_row = group.x * ROWS;
    let column = group.y % COLUMN_TILES * LANES * WIDTH + lane;
    let weights = weights_of(batch);
    var origins: array<Origin, ROW_GROUPS>;
    for (var g = 0u; g < ROW_GROUPS; g++) { // unroll
        origins[g] = origin_of(batch, phase, min(first_row + g * LANES + lane, ROW_LIMIT - 1u));
    }
    let taps = taps_of(phase);
    var totals: array<vec4<f32>, ROWS * WIDTH>;
    var sums: array<vec4<f32>, ROWS * WIDTH>;
    // The first block begins with the start.
    for (var c = 0u; c < WIDTH; c++) { // unroll
        let start = start_value(weights, min(column + c * LANES, COLUMNS - 1u));
        for (var r = 0u; r < ROWS; r++) { // unroll
            sums[r * WIDTH + c] = start;
        }
    }
    for (var first_tap = 0u; first_tap < max(taps, 1u); first_tap += TAP_BLOCK) {
        for (var first = 0u; first < DEPTH; first += DEPTH_BLOCK) {
            for (var tap = first_tap; tap < min(first_tap + TAP_BLOCK, taps); tap++) {
                let weight_row = tap_row(phase, tap);
                var places = array<Place, ROW_GROUPS>();
                for (var g = 0u; g < ROW_GROUPS; g++) { // unroll
                    places[g] = place_of(origins[g], phase, tap);
                }
                for (var k = first; k < min(first + DEPTH_BLOCK, DEPTH); k++) {
                    var a = array<vec4<f32>, ROW_GROUPS>();
                    for (var g = 0u; g < ROW_GROUPS; g++) { // unroll
                        a[g] = load_a(places[g], k);
                    }
                    var b = array<mat4x4<f32>, WIDTH>();
                    for (var c = 0u; c < WIDTH; c++) { // unroll
                        b[c] = load_b(weights, weight_row, k, min(column + c * LANES, COLUMNS - 1u));
                    }
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        let v = subgroupShuffle(a[r / LANES], r % LANES);
                        for (var c = 0u; c < WIDTH; c++) { // unroll
                            let s = r * WIDTH + c;
                            sums[s] = fma(vec4<f32>(v.w), b[c][3], fma(vec4<f32>(v.z), b[c][2],
                                fma(vec4<f32>(v.y), b[c][1], fma(vec4<f32>(v.x), b[c][0], sums[s]))));
                        }
                    }
                }
            }
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                totals[s] += sums[s];
                sums[s] = vec4<f32>(0.0);
            }
        }
    }
    for (var c = 0u; c < WIDTH; c++) { // unroll
        if (column + c * LANES < COLUMNS) {
            // One text of the store for all rows: drivers take long to compile many.
            for (var r = 0u; r < min(ROWS, ROW_LIMIT - first_row); r++) {
                var total = totals[c];
                for (var s = 1u; s < ROWS; s++) { // unroll
                    if (r == s) {
                        total = totals[s * WIDTH + c];
                    }
                }
                store(batch, phase, first_row + r, column + c * LANES, total);
            }
        }
    }
}
