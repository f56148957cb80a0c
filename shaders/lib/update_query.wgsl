// No step, but what meta-SGD learns from: g ⊙ (θ_i − θ) with the gradient g of the query set at the
// adapted parameters θ_i. Since θ_i = θ − σ ⊙ Σ_k g_k, it is the gradient of the query's loss by ln σ,
// where gradients are taken to be constant (first order).
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;   // [T, STRIDE]
@group(0) @binding(6) var<storage, read_write> first: array<vec4<f32>>;    // θ: [R, STRIDE]

struct Rates {
    task: u32,
    run: u32,
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    return Rates(task * STRIDE, task / TASKS_PER_RUN * STRIDE);
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    second[index] = gradient * (before - first[rates.run + index - rates.task]);
    return before;
}
