// The statistics of all entries of a run's memory, in the place of the sums over its tasks: the mean over the
// entries, times the tasks. Grid: (blocks of VECTORS, runs). Needs lib/run_step.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> entries: array<vec4<f32>>;        // [R, CAPACITY, VECTORS]
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;     // [R, 2, VECTORS] of strategy_sums

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vector = group.x * BLOCK + lane;
    if (vector >= VECTORS) {
        return;
    }
    let run = group.y;
    var sum = vec4<f32>(0.0);
    for (var entry = 0u; entry < runs[run].entries; entry++) {
        sum += entries[(run * CAPACITY + entry) * VECTORS + vector];
    }
    sums[2u * run * VECTORS + vector] = sum * (runs[run].entries_inverse / runs[run].tasks_inverse);
}
