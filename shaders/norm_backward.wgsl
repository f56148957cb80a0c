// Backward through a batch-norm, in place: from d, the gradient by its outputs before their
// activation, to the gradient by its inputs before theirs, and the inner optimiser's step on γ and β:
// x̂ = (x − mean) / √(variance + ε), dγ = Σ d x̂, dβ = Σ d,
// dx = γ / √(variance + ε) · (d − dβ / N − x̂ dγ / N) (Ioffe and Szegedy 2015, section 3).
// It reads x [G, ROWS, C4] in vectors. An invocation keeps up to HELD rows. Grid: (blocks of C4, batches). Needs lib/run_step.wgsl, lib/inner_step.wgsl, lib/update_*.wgsl,
// lib/activation.wgsl, lib/column_sums.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(3) var<storage, read_write> d: array<vec4<f32>>;        // [G, ROWS, C4]
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;    // [T, STRIDE]: γ, β at OFFSET
@group(0) @binding(7) var<storage, read> statistics: array<vec4<f32>>;     // [G, 2, C4]: mean − first row, 1/√
@group(0) @binding(8) var<storage, read> z: array<vec4<f32>>;              // as x, for GELU

// On through the activation of the inputs.
fn finish(place: u32, value: vec4<f32>, gradient: vec4<f32>) {
    var before = vec4<f32>(0.0);
    if (ACTIVATION == GELU) {
        before = z[place];
    }
    d[place] = gradient * slope(ACTIVATION, value, before);
}

@compute @workgroup_size(COLUMN_LANES * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.y;
    let column = group.x * COLUMN_LANES + lane % COLUMN_LANES;
    let slice = lane / COLUMN_LANES;
    let safe_column = min(column, C4 - 1u);
    let first = batch * ROWS * C4 + safe_column;
    let shift = x_at(first);
    let distance = statistics[2u * batch * C4 + safe_column];
    let inverse = statistics[(2u * batch + 1u) * C4 + safe_column];
    var sum = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    // All on their way at once.
    var gradients: array<vec4<f32>, max(HELD, 1u)>;
    var values: array<vec4<f32>, max(HELD, 1u)>;
    for (var i = 0u; i < HELD; i++) { // unroll
        let place = first + min(slice + i * SLICES, ROWS - 1u) * C4;
        gradients[i] = d[place];
        values[i] = x_at(place);
    }
    for (var i = 0u; i < HELD; i++) { // unroll
        if (slice + i * SLICES < ROWS) {
            sum += gradients[i];
            products = fma(gradients[i], ((values[i] - shift) - distance) * inverse, products);
        }
    }
    for (var row = slice + HELD * SLICES; row < ROWS; row += SLICES) {
        let place = first + row * C4;
        let gradient = d[place];
        sum += gradient;
        products = fma(gradient, ((x_at(place) - shift) - distance) * inverse, products);
    }
    let task = inner.first_task + batch;
    let own = task * STRIDE + OFFSET + safe_column;
    let scale = theta[own] * inverse;
    storageBarrier();   // every slice has read γ before one of them changes it
    let totals = column_sums(sum, products, lane);
    if (column >= C4) {
        return;
    }
    if (NEEDS_INPUT_GRADIENT == 1u) {
        let mean_sum = totals[0] / f32(ROWS);
        let mean_product = totals[1] / f32(ROWS);
        for (var i = 0u; i < HELD; i++) { // unroll
            if (slice + i * SLICES < ROWS) {
                let normal = ((values[i] - shift) - distance) * inverse;
                let centred = gradients[i] - mean_sum - normal * mean_product;
                finish(first + (slice + i * SLICES) * C4, values[i], scale * centred);
            }
        }
        for (var row = slice + HELD * SLICES; row < ROWS; row += SLICES) {
            let place = first + row * C4;
            let value = x_at(place);
            let normal = ((value - shift) - distance) * inverse;
            finish(place, value, scale * (d[place] - mean_sum - normal * mean_product));
        }
    }
    if (slice == 0u) {
        let rates = rates_of(runs[task / TASKS_PER_RUN], task, inner.index, inner.last == 1u);
        update(own, totals[1], rates);
        update(own + C4, totals[0], rates);
    }
}
