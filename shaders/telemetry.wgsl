// What a wave of tasks says of each layer, into a run's row of metrics: the root of the mean of ‖g_k‖² over steps and
// tasks; the mean of g_i · g_j over pairs of steps i ≠ j of a task, since ‖Σ g‖² = Σ ‖g‖² + Σ_{i≠j} g_i · g_j (the
// paper's AvgGradInner, Nichol et al. 2018, section 5); and the root of the mean of ‖θ_i − θ‖². Until the last wave
// (LAST) the row holds sums. A workgroup has a layer. Grid: (layers, runs). Needs lib/run_step.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> seen: array<vec4<f32>>;           // [R, TASKS, 2, VECTORS]
@group(0) @binding(2) var<storage, read> adapted: array<vec4<f32>>;        // [R, TASKS, VECTORS]
@group(0) @binding(3) var<storage, read> theta: array<vec4<f32>>;          // [R, VECTORS]
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;        // [SLOTS, R, COLUMNS]

// Per layer, from the host: BEGINS and ENDS (vectors).
var<workgroup> shares: array<vec3<f32>, BLOCK>;

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let layer = group.x;
    let run = group.y;
    var share = vec3<f32>(0.0);
    for (var task = run * TASKS; task < (run + 1u) * TASKS; task++) {
        for (var v = BEGINS[layer] + lane; v < ENDS[layer]; v += BLOCK) {
            let sum = seen[2u * task * VECTORS + v];
            let way = adapted[task * VECTORS + v] - theta[run * VECTORS + v];
            let squares = dot(seen[(2u * task + 1u) * VECTORS + v], vec4<f32>(1.0));
            share += vec3<f32>(squares, dot(sum, sum) - squares, dot(way, way));
        }
    }
    shares[lane] = share;
    for (var half = BLOCK / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            shares[lane] += shares[lane + half];
        }
    }
    workgroupBarrier();
    if (lane > 0u) {
        return;
    }
    let place = (runs[run].slot * RUNS + run) * COLUMNS + FIRST_COLUMN + 3u * layer;
    var sums = shares[0];
    if (FIRST == 0u) {
        sums += vec3<f32>(metrics[place], metrics[place + 1u], metrics[place + 2u]);
    }
    if (LAST == 1u) {
        sums *= runs[run].tasks_inverse;
        let steps = f32(GRADIENTS);
        sums = vec3<f32>(sqrt(sums.x / steps), sums.y / max(steps * (steps - 1.0), 1.0), sqrt(sums.z));
    }
    metrics[place] = sums.x;
    metrics[place + 1u] = sums.y;
    metrics[place + 2u] = sums.z;
}
