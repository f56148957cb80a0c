// The gradient by the parameters of a group-norm, dγ = Σ d x̂ and dβ = Σ d over the examples (and the pixels, where γ has one
// number a channel), and the inner optimiser's step on them. COLUMN_LANES vectors of γ a workgroup, SLICES invocations to
// each. Grid: (blocks of AFFINE, batches). Needs lib/run_step.wgsl, lib/inner_step.wgsl, lib/update_*.wgsl,
// lib/column_sums.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;              // [G, B, PIXELS, C4]
@group(0) @binding(3) var<storage, read> d: array<vec4<f32>>;              // as x
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;    // [T, STRIDE]: γ, β at OFFSET
@group(0) @binding(7) var<storage, read> statistics: array<vec4<f32>>;     // [G, B, GROUPS]: shift, mean − shift, 1/√

@compute @workgroup_size(COLUMN_LANES * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.y;
    let column = group.x * COLUMN_LANES + lane % COLUMN_LANES;
    let slice = lane / COLUMN_LANES;
    let safe_column = min(column, AFFINE - 1u);
    // A row is an example's pixel; with PER_NUMBER a column is a vector of a pixel, and a row an example.
    let rows = select(BATCH * PIXELS, BATCH, PER_NUMBER == 1u);
    let width = select(C4, AFFINE, PER_NUMBER == 1u);
    let row_pixels = select(PIXELS, 1u, PER_NUMBER == 1u);
    let channel = 4u * (safe_column % C4);
    let groups = min((channel + vec4<u32>(0u, 1u, 2u, 3u)) / (CHANNELS / GROUPS), vec4<u32>(GROUPS - 1u));
    var sum = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    for (var row = slice; row < rows; row += SLICES) {
        let place = batch * BATCH * PIXELS * C4 + row * width + safe_column;
        let known = (batch * BATCH + row / row_pixels) * GROUPS;
        let of_groups = mat4x4<f32>(statistics[known + groups.x], statistics[known + groups.y],
            statistics[known + groups.z], statistics[known + groups.w]);
        let columns = transpose(of_groups);
        let gradient = d[place];
        sum += gradient;
        products = fma(gradient, ((x[place] - columns[0]) - columns[1]) * columns[2], products);
    }
    let totals = column_sums(sum, products, lane);
    if (column >= AFFINE || slice > 0u) {
        return;
    }
    let task = inner.first_task + batch;
    let own = task * STRIDE + OFFSET + column;
    let rates = rates_of(runs[task / TASKS_PER_RUN], task, inner.index, inner.last == 1u);
    // In the padding d is zero, and x̂ is not.
    update(own, totals[1], rates);
    update(own + AFFINE, totals[0], rates);
}
