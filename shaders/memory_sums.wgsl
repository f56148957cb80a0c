// The statistics of all entries of a run's memory, in the place of the sums over its tasks: the mean over the
// entries, times the tasks. Grid: (blocks of ACROSS vectors, runs). Needs lib/run_step.wgsl and an `ordered_sum`.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> entries: array<vec4<f32>>;        // [R, CAPACITY, VECTORS]
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;     // [R, 2, VECTORS] of strategy_sums

fn addend(run: u32, index: u32, vector: u32, start: vec4<f32>, of_losses: bool) -> vec4<f32> {
    return entries[(run * CAPACITY + index) * VECTORS + vector];
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let run = group.y;
    let vector = group.x * ACROSS + lane % ACROSS;
    let zero = vec4<f32>(0.0);
    let sum = ordered_sum(run, min(vector, VECTORS - 1u), lane, runs[run].entries, zero, zero, false);
    if (lane < ACROSS && vector < VECTORS) {
        sums[2u * run * VECTORS + vector] = sum * (runs[run].entries_inverse / runs[run].tasks_inverse);
    }
}
