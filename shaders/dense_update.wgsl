// Gradient of the layer's weights and bias, xᵀ · dz with a one behind the inputs, and the inner
// optimiser's step on them at once. Needs lib/run_step.wgsl, lib/inner_step.wgsl, lib/update_*.wgsl
// and lib/outer_*.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;              // [T, B, IN4]
@group(0) @binding(3) var<storage, read> dz: array<vec4<f32>>;             // [T, B, OUT4]
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;    // [T, STRIDE]

const ROW_VECTORS = IN4 + 1u;   // the last one holds the bias

var<private> rates: Rates;

fn load_a(task: u32, k: u32, row_vector: u32) -> vec4<f32> {
    if (row_vector == IN4) {
        return vec4<f32>(1.0, 0.0, 0.0, 0.0);
    }
    return x[(task * BATCH + k) * IN4 + row_vector];
}

fn load_b(task: u32, k: u32, column: u32) -> vec4<f32> {
    return dz[(task * BATCH + k) * OUT4 + column];
}

fn begin_store(task: u32) {
    rates = rates_of(runs[task / TASKS_PER_RUN], inner.index, inner.last == 1u);
}

fn store(task: u32, row_vector: u32, column: u32, gradient: mat4x4<f32>) {
    let first = task * STRIDE + OFFSET + 4u * row_vector * OUT4 + column;
    update(first, gradient[0], rates);
    if (row_vector < IN4) {
        update(first + OUT4, gradient[1], rates);
        update(first + 2u * OUT4, gradient[2], rates);
        update(first + 3u * OUT4, gradient[3], rates);
    }
}
