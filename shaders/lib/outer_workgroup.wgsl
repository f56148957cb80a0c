// G = Aᵀ · B over all output pixels for one tile in workgroup memory: 8 row vectors and 8 vector
// columns; an invocation owns one 4×4 block. lib/cells_*.wgsl says what A is; the kernel gives
// ROW_VECTORS, COLUMNS (vectors), BATCH, OUT_HEIGHT, OUT_WIDTH, and the functions begin_store, store
// and store_bias. Grid: (row tiles, column tiles, batches).

const DEPTH = BATCH * OUT_HEIGHT * OUT_WIDTH;

var<workgroup> tile_a: array<vec4<f32>, 64>;
var<workgroup> tile_b: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.z;
    let x = lane % 8u;
    let y = lane / 8u;
    let row = group.x * 8u + y;
    let column = group.y * 8u + x;
    let cell = cell_of(min(group.x * 8u + x, ROW_VECTORS - 1u));
    var sums = mat4x4<f32>();
    var bias = vec4<f32>(0.0);
    for (var first = 0u; first < DEPTH; first += 8u) {
        workgroupBarrier();
        let pixel = min(first + y, DEPTH - 1u);
        let line_number = pixel / OUT_WIDTH;
        let image = batch * BATCH + line_number / OUT_HEIGHT;
        let line = line_of(cell, image, line_number % OUT_HEIGHT);
        tile_a[lane] = load_a(line, cell, pixel % OUT_WIDTH);
        let gradient = dz[(batch * DEPTH + pixel) * COLUMNS + min(column, COLUMNS - 1u)];
        tile_b[lane] = select(vec4<f32>(0.0), gradient, first + y < DEPTH);
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) { // unroll
            let v = tile_a[8u * k + y];
            let b = tile_b[8u * k + x];
            bias += b;
            sums[0] = fma(vec4<f32>(v.x), b, sums[0]);
            sums[1] = fma(vec4<f32>(v.y), b, sums[1]);
            sums[2] = fma(vec4<f32>(v.z), b, sums[2]);
            sums[3] = fma(vec4<f32>(v.w), b, sums[3]);
        }
    }
    begin_store(batch);
    if (row < ROW_VECTORS && column < COLUMNS) {
        store(row, column, sums);
    }
    if (row == 0u && column < COLUMNS) {
        store_bias(column, bias);
    }
}
