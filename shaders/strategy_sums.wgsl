// What a wave of tasks adds to the statistics that a strategy learns from: the tasks' own ones and, with
// WAYS, ½ (θ_i − θ)². FIRST: the wave that begins the sums. Grid: (blocks of VECTORS, runs).
// Needs lib/guard.wgsl.

@group(0) @binding(0) var<storage, read> statistics: array<vec4<f32>>;     // [R, TASKS, PLANES, VECTORS]
@group(0) @binding(1) var<storage, read> adapted: array<vec4<f32>>;        // [R, TASKS, VECTORS]
@group(0) @binding(2) var<storage, read> theta: array<vec4<f32>>;          // [R, VECTORS]
@group(0) @binding(3) var<storage, read> losses: array<f32>;               // [R, TASKS, STEPS]
@group(0) @binding(4) var<storage, read_write> sums: array<vec4<f32>>;     // [R, 2, VECTORS]
@group(0) @binding(5) var<storage, read_write> left_out: array<u32>;       // [R]: tasks that do not count

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let run = group.y;
    let place = 2u * run * VECTORS + vector;
    let start = theta[run * VECTORS + vector];
    var sum = select(sums[place], vec4<f32>(0.0), FIRST == 1u);
    var ways = select(sums[place + VECTORS], vec4<f32>(0.0), FIRST == 1u);
    var others = 0u;
    for (var task = 0u; task < TASKS; task++) {
        if (!counts(run, task)) {
            others++;
            continue;
        }
        let own = run * TASKS + task;
        sum += statistics[own * PLANES * VECTORS + vector];
        if (WAYS == 1u) {
            let way = adapted[own * VECTORS + vector] - start;
            ways = fma(0.5 * way, way, ways);
        }
    }
    sums[place] = sum;
    sums[place + VECTORS] = ways;
    if (vector == 0u) {
        left_out[run] = others + select(left_out[run], 0u, FIRST == 1u);
    }
}
