// Gradient of the layer's weights and bias, xᵀ · dz and the sum of dz, and the inner optimiser's step
// on them at once: dense layers and convolutions. It reads dz [G, B, H, W, OUT4] in vectors. Needs lib/run_step.wgsl, lib/inner_step.wgsl,
// lib/update_*.wgsl, lib/row_of.wgsl, lib/cells_*.wgsl and lib/gradient_*.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;    // [T, STRIDE]

var<private> rates: Rates;
var<private> weights: u32;

fn begin_store(batch: u32) {
    let task = inner.first_task + batch;
    rates = rates_of(runs[task / TASKS_PER_RUN], task, inner.index, inner.last == 1u);
    weights = task * STRIDE + OFFSET;
}

fn store(row_vector: u32, column: u32, gradient: mat4x4<f32>) {
    update_rows(weights + 4u * row_vector * OUT4 + column, gradient, rates);
}

fn store_bias(column: u32, gradient: vec4<f32>) {
    update(weights + 4u * ROW_VECTORS * OUT4 + column, gradient, rates);
}
