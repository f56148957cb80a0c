// G = Aᵀ · B over all output pixels for one tile: a subgroup of LANES owns ROW_BLOCK row vectors and
// LANES · WIDTH vector columns. Both factors are loaded as vectors, PIXELS pixels at once, in their order; A's reach all
// lanes by shuffles. lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS, COLUMNS (vectors), BATCH, OUT_HEIGHT,
// OUT_WIDTH, LINE_BLOCK (rows of outputs that are summed by themselves), and the functions begin_store, store and store_bias.
// Grid: (row tiles, column tiles, batches).

const LINES = BATCH * OUT_HEIGHT;
// Row vectors that a lane loads.
const ROW_GROUPS = (ROW_BLOCK + LANES - 1u) / LANES;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.z;
    let first = group.x * ROW_BLOCK;
    let column = group.y * LANES * WIDTH + lane;
    var cells: array<Cell, ROW_GROUPS>;
    for (var g = 0u; g < ROW_GROUPS; g++) { // unroll
        cells[g] = cell_of(min(first + g * LANES + lane, ROW_VECTORS - 1u));
    }
    var totals: array<mat4x4<f32>, ROW_BLOCK * WIDTH>;
    var sums: array<mat4x4<f32>, ROW_BLOCK * WIDTH>;
    var bias_totals: array<vec4<f32>, WIDTH>;
    var bias: array<vec4<f32>, WIDTH>;
    var places: array<u32, WIDTH>;
    for (var c = 0u; c < WIDTH; c++) { // unroll
        places[c] = batch * LINES * OUT_WIDTH * COLUMNS + min(column + c * LANES, COLUMNS - 1u);
    }
    for (var first_line = 0u; first_line < LINES; first_line += LINE_BLOCK) {
        let last = min(first_line + LINE_BLOCK, LINES) * OUT_WIDTH;
        for (var pixel = first_line * OUT_WIDTH; pixel < last; pixel += PIXELS) {
            var a = array<vec4<f32>, PIXELS * ROW_GROUPS>();
            var b = array<vec4<f32>, PIXELS * WIDTH>();
            for (var i = 0u; i < PIXELS; i++) { // unroll
                // Behind the last one it counts as zeros.
                let inside = f32(pixel + i < last);
                let place = min(pixel + i, last - 1u);
                let line = place / OUT_WIDTH;
                for (var g = 0u; g < ROW_GROUPS; g++) { // unroll
                    let its = line_of(cells[g], batch * BATCH + line / OUT_HEIGHT, line % OUT_HEIGHT);
                    a[i * ROW_GROUPS + g] = inside * load_a(its, cells[g], place % OUT_WIDTH);
                }
                for (var c = 0u; c < WIDTH; c++) { // unroll
                    b[i * WIDTH + c] = dz_at(places[c] + place * COLUMNS);
                    bias[c] += inside * b[i * WIDTH + c];
                }
            }
            for (var r = 0u; r < ROW_BLOCK; r++) { // unroll
                for (var i = 0u; i < PIXELS; i++) { // unroll
                    let v = subgroupShuffle(a[i * ROW_GROUPS + r / LANES], r % LANES);
                    for (var c = 0u; c < WIDTH; c++) { // unroll
                        let s = r * WIDTH + c;
                        let d = b[i * WIDTH + c];
                        sums[s][0] = fma(vec4<f32>(v.x), d, sums[s][0]);
                        sums[s][1] = fma(vec4<f32>(v.y), d, sums[s][1]);
                        sums[s][2] = fma(vec4<f32>(v.z), d, sums[s][2]);
                        sums[s][3] = fma(vec4<f32>(v.w), d, sums[s][3]);
                    }
                }
            }
        }
        for (var s = 0u; s < ROW_BLOCK * WIDTH; s++) { // unroll
            totals[s] += sums[s];
            sums[s] = mat4x4<f32>();
        }
        for (var c = 0u; c < WIDTH; c++) { // unroll
            bias_totals[c] += bias[c];
            bias[c] = vec4<f32>(0.0);
        }
    }
    begin_store(batch);
    for (var c = 0u; c < WIDTH; c++) { // unroll
        if (column + c * LANES < COLUMNS) {
            // One text of the store for all rows: drivers take ten times as long to compile eight.
            for (var r = 0u; r < min(ROW_BLOCK, ROW_VECTORS - first); r++) {
                var total = totals[c];
                for (var s = 1u; s < ROW_BLOCK; s++) { // unroll
                    if (r == s) {
                        total = totals[s * WIDTH + c];
                    }
                }
                store(first + r, column + c * LANES, total);
            }
        }
        if (first == 0u && column + c * LANES < COLUMNS) {
            store_bias(column + c * LANES, bias_totals[c]);
        }
    }
}
