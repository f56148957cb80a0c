// G = Aᵀ · B over all output pixels for one tile in workgroup memory: 8 · ROWS row vectors and 8 vector
// columns. An invocation owns ROWS (1, 2 or 4) blocks of 4×4, together with those of the other SLICES − 1
// groups of 64 invocations: each group sums other blocks of LINE_BLOCK rows of outputs (lib/gradient_*.wgsl
// all add the same blocks in the same order). lib/cells_*.wgsl says what A is; the kernel gives ROW_VECTORS,
// COLUMNS (vectors), BATCH, OUT_HEIGHT, OUT_WIDTH, and the functions begin_store, store and store_bias.
// Grid: (row tiles, column tiles, batches).

const DEPTH = BATCH * OUT_HEIGHT * OUT_WIDTH;
const PIXEL_BLOCK = LINE_BLOCK * OUT_WIDTH;
const TILE_ROWS = 8u * ROWS;
const TILE_A = 8u * TILE_ROWS;

var<workgroup> tile_a: array<vec4<f32>, SLICES * TILE_A>;   // [slice, pixel, row vector]
var<workgroup> tile_b: array<vec4<f32>, SLICES * 64u>;      // [slice, pixel, column]
// The sums of the groups but the first: [SLICES − 1, ROWS · 4, 64], and of the bias: [SLICES − 1, 64].
var<workgroup> others: array<vec4<f32>, max((SLICES - 1u) * 64u * 4u * ROWS, 1u)>;
var<workgroup> other_biases: array<vec4<f32>, max((SLICES - 1u) * 64u, 1u)>;

@compute @workgroup_size(64 * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let batch = group.z;
    let slice = index / 64u;
    let lane = index % 64u;
    let x = lane % 8u;
    let y = lane / 8u;
    let own_a = slice * TILE_A;
    let own_b = slice * 64u;
    let first_row = group.x * TILE_ROWS;
    let column = group.y * 8u + x;
    // An invocation loads row vectors x, x + 8, … of one pixel, and stores those of y · ROWS and so on.
    var cells: array<Cell, ROWS>;
    var totals: array<mat4x4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { // unroll
        cells[r] = cell_of(min(first_row + 8u * r + x, ROW_VECTORS - 1u));
    }
    var bias_total = vec4<f32>(0.0);
    for (var first_block = 0u; first_block < DEPTH; first_block += SLICES * PIXEL_BLOCK) {
        let block = first_block + slice * PIXEL_BLOCK;
        let end = min(block + PIXEL_BLOCK, DEPTH);
        var sums: array<mat4x4<f32>, ROWS>;
        for (var r = 0u; r < ROWS; r++) { // unroll
            sums[r] = mat4x4<f32>();
        }
        var bias = vec4<f32>(0.0);
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
                let gradient = dz[(batch * DEPTH + pixel) * COLUMNS + min(column, COLUMNS - 1u)];
                tile_b[own_b + lane] = select(vec4<f32>(0.0), gradient, first + y < end);
            }
            workgroupBarrier();
            if (first < end) {
                for (var k = 0u; k < 8u; k++) { // unroll
                    let b = tile_b[own_b + 8u * k + x];
                    bias += b;
                    for (var r = 0u; r < ROWS; r++) { // unroll
                        let v = tile_a[own_a + TILE_ROWS * k + y * ROWS + r];
                        sums[r][0] = fma(vec4<f32>(v.x), b, sums[r][0]);
                        sums[r][1] = fma(vec4<f32>(v.y), b, sums[r][1]);
                        sums[r][2] = fma(vec4<f32>(v.z), b, sums[r][2]);
                        sums[r][3] = fma(vec4<f32>(v.w), b, sums[r][3]);
                    }
                }
            }
        }
        if (slice > 0u) {
            for (var r = 0u; r < ROWS; r++) { // unroll
                for (var i = 0u; i < 4u; i++) { // unroll
                    others[(((slice - 1u) * ROWS + r) * 4u + i) * 64u + lane] = sums[r][i];
                }
            }
            other_biases[(slice - 1u) * 64u + lane] = bias;
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        if (slice == 0u) {
            for (var r = 0u; r < ROWS; r++) { // unroll
                totals[r] += sums[r];
                for (var s = 0u; s + 1u < SLICES; s++) {
                    let at = (s * ROWS + r) * 4u * 64u + lane;
                    totals[r] += mat4x4<f32>(
                        others[at], others[at + 64u], others[at + 128u], others[at + 192u]
                    );
                }
            }
            bias_total += bias;
            for (var s = 0u; s + 1u < SLICES; s++) {
                bias_total += other_biases[s * 64u + lane];
            }
        }
    }
    if (slice == 0u) {
        begin_store(batch);
        for (var r = 0u; r < ROWS; r++) { // unroll
            let row = first_row + y * ROWS + r;
            if (row < ROW_VECTORS && column < COLUMNS) {
                store(row, column, totals[r]);
            }
        }
        if (first_row == 0u && y == 0u && column < COLUMNS) {
            store_bias(column, bias_total);
        }
    }
}
