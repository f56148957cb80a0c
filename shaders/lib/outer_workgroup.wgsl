// G = Aᵀ · B for one tile in workgroup memory: 8 row vectors and 8 vector columns; an invocation
// owns one 4×4 block. The kernel gives ROW_VECTORS, COLUMNS (vectors), DEPTH, and the functions
// load_a, load_b, begin_store and store. Grid: (row tiles, column tiles, tasks).

var<workgroup> tile_a: array<vec4<f32>, 64>;
var<workgroup> tile_b: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.z;
    let x = lane % 8u;
    let y = lane / 8u;
    let row = group.x * 8u + y;
    let column = group.y * 8u + x;
    var sums = mat4x4<f32>();
    for (var first = 0u; first < DEPTH; first += 8u) {
        workgroupBarrier();
        let k = min(first + y, DEPTH - 1u);
        tile_a[lane] = load_a(task, k, min(group.x * 8u + x, ROW_VECTORS - 1u));
        tile_b[lane] = load_b(task, k, min(column, COLUMNS - 1u));
        workgroupBarrier();
        for (var k = 0u; k < min(8u, DEPTH - first); k++) {
            let v = tile_a[8u * k + y];
            let b = tile_b[8u * k + x];
            sums[0] = fma(vec4<f32>(v.x), b, sums[0]);
            sums[1] = fma(vec4<f32>(v.y), b, sums[1]);
            sums[2] = fma(vec4<f32>(v.z), b, sums[2]);
            sums[3] = fma(vec4<f32>(v.w), b, sums[3]);
        }
    }
    begin_store(task);
    if (row < ROW_VECTORS && column < COLUMNS) {
        store(task, row, column, sums);
    }
}
