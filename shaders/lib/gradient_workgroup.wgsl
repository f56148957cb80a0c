// G = Aᵀ · B over all output pixels for one tile in workgroup memory: 8 · ROWS row vectors and 8 vector
// columns; an invocation owns ROWS (1, 2 or 4) blocks of 4×4. lib/cells_*.wgsl says what A is; the
// kernel gives ROW_VECTORS, COLUMNS (vectors), BATCH, OUT_HEIGHT, OUT_WIDTH, and the functions
// begin_store, store and store_bias. Grid: (row tiles, column tiles, batches).

const DEPTH = BATCH * OUT_HEIGHT * OUT_WIDTH;
const TILE_ROWS = 8u * ROWS;

var<workgroup> tile_a: array<vec4<f32>, 8u * TILE_ROWS>;   // [pixel, row vector]
var<workgroup> tile_b: array<vec4<f32>, 64>;               // [pixel, column]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.z;
    let x = lane % 8u;
    let y = lane / 8u;
    let first_row = group.x * TILE_ROWS;
    let column = group.y * 8u + x;
    // An invocation loads row vectors x, x + 8, … of one pixel, and stores those of y · ROWS and so on.
    var cells: array<Cell, ROWS>;
    var sums: array<mat4x4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { // unroll
        cells[r] = cell_of(min(first_row + 8u * r + x, ROW_VECTORS - 1u));
        sums[r] = mat4x4<f32>();
    }
    var bias = vec4<f32>(0.0);
    for (var first = 0u; first < DEPTH; first += 8u) {
        workgroupBarrier();
        let pixel = min(first + y, DEPTH - 1u);
        let line_number = pixel / OUT_WIDTH;
        let image = batch * BATCH + line_number / OUT_HEIGHT;
        for (var r = 0u; r < ROWS; r++) { // unroll
            let line = line_of(cells[r], image, line_number % OUT_HEIGHT);
            tile_a[TILE_ROWS * y + 8u * r + x] = load_a(line, cells[r], pixel % OUT_WIDTH);
        }
        let gradient = dz[(batch * DEPTH + pixel) * COLUMNS + min(column, COLUMNS - 1u)];
        tile_b[lane] = select(vec4<f32>(0.0), gradient, first + y < DEPTH);
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) { // unroll
            let b = tile_b[8u * k + x];
            bias += b;
            for (var r = 0u; r < ROWS; r++) { // unroll
                let v = tile_a[TILE_ROWS * k + y * ROWS + r];
                sums[r][0] = fma(vec4<f32>(v.x), b, sums[r][0]);
                sums[r][1] = fma(vec4<f32>(v.y), b, sums[r][1]);
                sums[r][2] = fma(vec4<f32>(v.z), b, sums[r][2]);
                sums[r][3] = fma(vec4<f32>(v.w), b, sums[r][3]);
            }
        }
    }
    begin_store(batch);
    for (var r = 0u; r < ROWS; r++) { // unroll
        let row = first_row + y * ROWS + r;
        if (row < ROW_VECTORS && column < COLUMNS) {
            store(row, column, sums[r]);
        }
    }
    if (first_row == 0u && y == 0u && column < COLUMNS) {
        store_bias(column, bias);
    }
}
