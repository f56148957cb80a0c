// C = A · B, summed over taps, for one tile in workgroup memory: 8 · ROWS rows and 32 columns; an
// invocation owns ROWS (1, 2, 4 or 8) rows of one vector column. lib/rows_*.wgsl says what a row of A
// is; the kernel gives ROW_LIMIT, COLUMNS and DEPTH (vectors), COLUMN_TILES, and the functions
// weights_of, load_b, start_value and store. Grid: (row tiles, phases · column tiles, batches).

const TILE_ROWS = 8u * ROWS;
const TILE_DEPTH = 4u;   // vectors of A's row, 16 numbers

var<workgroup> tile_a: array<vec4<f32>, TILE_DEPTH * TILE_ROWS>;
var<workgroup> tile_b: array<vec4<f32>, TILE_DEPTH * 32u>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.z;
    let phase = group.y / COLUMN_TILES;
    let first_row = group.x * TILE_ROWS;
    let x = lane % 8u;
    let y = lane / 8u;
    let column = group.y % COLUMN_TILES * 8u + x;
    let safe_column = min(column, COLUMNS - 1u);
    let weights = weights_of(batch);
    let start = start_value(weights, safe_column);
    // An invocation loads vectors of one row of A.
    let own_row = min(first_row + lane % TILE_ROWS, ROW_LIMIT - 1u);
    let origin = origin_of(batch, phase, own_row);
    var sums: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { // unroll
        sums[r] = start;
    }
    for (var tap = 0u; tap < taps_of(phase); tap++) {
        let weight_row = tap_row(phase, tap);
        let place = place_of(origin, phase, tap);
        for (var first = 0u; first < DEPTH; first += TILE_DEPTH) {
            workgroupBarrier();
            for (var i = lane; i < TILE_DEPTH * TILE_ROWS; i += 64u) {
                tile_a[i] = load_a(place, min(first + i / TILE_ROWS, DEPTH - 1u));
            }
            if (y < TILE_DEPTH) {
                let k = min(first + y, DEPTH - 1u);
                let b = load_b(weights, weight_row, k, safe_column);
                tile_b[(4u * y) * 8u + x] = b[0];
                tile_b[(4u * y + 1u) * 8u + x] = b[1];
                tile_b[(4u * y + 2u) * 8u + x] = b[2];
                tile_b[(4u * y + 3u) * 8u + x] = b[3];
            }
            workgroupBarrier();
            for (var k = 0u; k < min(TILE_DEPTH, DEPTH - first); k++) {
                let b0 = tile_b[(4u * k) * 8u + x];
                let b1 = tile_b[(4u * k + 1u) * 8u + x];
                let b2 = tile_b[(4u * k + 2u) * 8u + x];
                let b3 = tile_b[(4u * k + 3u) * 8u + x];
                for (var r = 0u; r < ROWS; r++) { // unroll
                    let v = tile_a[k * TILE_ROWS + y * ROWS + r];
                    sums[r] = fma(vec4<f32>(v.w), b3, fma(vec4<f32>(v.z), b2,
                        fma(vec4<f32>(v.y), b1, fma(vec4<f32>(v.x), b0, sums[r]))));
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) { // unroll
        let row = first_row + y * ROWS + r;
        if (row < ROW_LIMIT && column < COLUMNS) {
            store(batch, phase, row, column, sums[r]);
        }
    }
}
