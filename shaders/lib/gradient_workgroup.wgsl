// G = Aᵀ · B over all output pixels for one tile in workgroup memory: 8 · ROWS row vectors and
// 8 · WIDTH vector columns. An invocation owns ROWS (1, 2 or 4) times WIDTH (1 or 2) blocks of 4×4, together with those of the other SLICES − 1
// groups of 64 invocations: each group sums other blocks of LINE_BLOCK rows of outputs (lib/gradient_*.wgsl
// all add the same blocks in the same order). lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS,
// COLUMNS (vectors), BATCH, OUT_HEIGHT, OUT_WIDTH, and the functions begin_store, store and store_bias.
// Grid: (row tiles, column tiles, batches).

const DEPTH = BATCH * OUT_HEIGHT * OUT_WIDTH;
const PIXEL_BLOCK = LINE_BLOCK * OUT_WIDTH;
const TILE_ROWS = 8u * ROWS;
const TILE_A = 8u * TILE_ROWS;
const COLUMNS_AT_ONCE = 8u * WIDTH;
const TILE_B = 8u * COLUMNS_AT_ONCE;

var<workgroup> tile_a: array<vec4<f32>, SLICES * TILE_A>;   // [slice, pixel, row vector]
var<workgroup> tile_b: array<vec4<f32>, SLICES * TILE_B>;   // [slice, pixel, column]
// The sums of the groups but the first: [SLICES − 1, ROWS · WIDTH · 4, 64], and of the bias: [SLICES − 1, WIDTH, 64].
var<workgroup> others: array<vec4<f32>, max((SLICES - 1u) * 64u * 4u * ROWS * WIDTH, 1u)>;
var<workgroup> other_biases: array<vec4<f32>, max((SLICES - 1u) * 64u * WIDTH, 1u)>;

@compute @workgroup_size(64 * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let slice = index / 64u;
    let lane = index % 64u;
    let x = lane % 8u;
    let y = lane / 8u;
    let own_a = slice * TILE_A;
    let own_b = slice * TILE_B;
    let first_row = group.x * TILE_ROWS;
    let column = group.y * COLUMNS_AT_ONCE + x;
    // An invocation loads row vectors x, x + 8, … of one pixel, and stores those of y · ROWS and so on.
    var cells: array<Cell, ROWS>;
    var totals: array<mat4x4<f32>, ROWS * WIDTH>;
    var bias_totals: array<vec4<f32>, WIDTH>;
    for (var r = 0u; r < ROWS; r++) { // unroll
        cells[r] = cell_of(min(first_row + 8u * r + x, ROW_VECTORS - 1u));
    }
    for (var first_block = 0u; first_block < DEPTH; first_block += SLICES * PIXEL_BLOCK) {
        let block = first_block + slice * PIXEL_BLOCK;
        let end = min(block + PIXEL_BLOCK, DEPTH);
        var sums: array<mat4x4<f32>, ROWS * WIDTH>;
        var bias: array<vec4<f32>, WIDTH>;
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
                    tile_a[own_a + TILE_ROWS * y + 8u * r + x] =
                        load_a(line, cells[r], pixel % OUT_WIDTH);
                }
                for (var c = 0u; c < WIDTH; c++) { // unroll
                    let safe_column = min(column + 8u * c, COLUMNS - 1u);
                    let gradient = dz_at((batch * DEPTH + pixel) * COLUMNS + safe_column);
                    tile_b[own_b + COLUMNS_AT_ONCE * y + 8u * c + x] =
                        select(vec4<f32>(0.0), gradient, first + y < end);
                }
            }
            workgroupBarrier();
            if (first < end) {
                for (var k = 0u; k < 8u; k++) { // unroll
                    var a: array<vec4<f32>, ROWS>;
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        a[r] = tile_a[own_a + TILE_ROWS * k + y * ROWS + r];
                    }
                    for (var c = 0u; c < WIDTH; c++) { // unroll
                        let b = tile_b[own_b + COLUMNS_AT_ONCE * k + 8u * c + x];
                        bias[c] += b;
                        for (var r = 0u; r < ROWS; r++) { // unroll
                            let v = a[r];
                            let s = r * WIDTH + c;
                            sums[s][0] = fma(vec4<f32>(v.x), b, sums[s][0]);
                            sums[s][1] = fma(vec4<f32>(v.y), b, sums[s][1]);
                            sums[s][2] = fma(vec4<f32>(v.z), b, sums[s][2]);
                            sums[s][3] = fma(vec4<f32>(v.w), b, sums[s][3]);
                        }
                    }
                }
            }
        }
        if (slice > 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                for (var i = 0u; i < 4u; i++) { // unroll
                    others[(((slice - 1u) * ROWS * WIDTH + s) * 4u + i) * 64u + lane] = sums[s][i];
                }
            }
            for (var c = 0u; c < WIDTH; c++) { // unroll
                other_biases[((slice - 1u) * WIDTH + c) * 64u + lane] = bias[c];
            }
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice == 0u) {
            for (var s = 0u; s < ROWS * WIDTH; s++) { // unroll
                totals[s] += sums[s];
                for (var other = 0u; other + 1u < SLICES; other++) {
                    let at = (other * ROWS * WIDTH + s) * 4u * 64u + lane;
                    totals[s] += mat4x4<f32>(
                        others[at], others[at + 64u], others[at + 128u], others[at + 192u]
                    );
                }
            }
            for (var c = 0u; c < WIDTH; c++) { // unroll
                bias_totals[c] += bias[c];
                for (var other = 0u; other + 1u < SLICES; other++) {
                    bias_totals[c] += other_biases[(other * WIDTH + c) * 64u + lane];
                }
            }
        }
    }
    if (slice == 0u) {
        begin_store(batch);
        for (var c = 0u; c < WIDTH; c++) { // unroll
            let own = column + 8u * c;
            for (var r = 0u; r < ROWS; r++) { // unroll
                let row = first_row + y * ROWS + r;
                if (row < ROW_VECTORS && own < COLUMNS) {
                    store(row, own, totals[r * WIDTH + c]);
                }
            }
            if (first_row == 0u && y == 0u && own < COLUMNS) {
                store_bias(own, bias_totals[c]);
            }
        }
    }
}
