// The inner optimiser AdamW in PyTorch's form (Loshchilov and Hutter 2019): θ ← (1 − rate · DECAY) θ, then
// θ ← θ − rate · m̂ / (√v̂ + ε) with m̂ = m / (1 − β1^t), v̂ = v / (1 − β2^t); then the weight decay of the step that
// follows. With β1 = 0, m = g and no m is kept. BETA2_REST is 1 − β2. Needs lib/one_minus_exp.wgsl and lib/see_*.wgsl.
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;   // v: [T, STRIDE]
@group(0) @binding(6) var<storage, read_write> first: array<vec4<f32>>;    // m: [T, STRIDE]

struct Rates {
    rate: f32,          // of m, with its correction
    root: f32,          // 1 / √(1 − β2^t)
    decoupled: f32,     // 1 − rate · DECAY
    decay: f32,
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    let t = f32(run.adam_steps + k + 1u);
    var rate = run.inner_rate;
    if (BETA1 > 0.0) {
        rate /= one_minus_exp(t * LOG_BETA1);
    }
    let root = 1.0 / sqrt(one_minus_exp(t * LOG_BETA2));
    return Rates(rate, root, 1.0 - run.inner_rate * DECAY, select(run.weight_decay, 1.0, last));
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    see(index, gradient);
    let v = fma(vec4<f32>(BETA2), second[index], BETA2_REST * gradient * gradient);
    second[index] = v;
    var m = gradient;
    if (BETA1 > 0.0) {
        m = fma(vec4<f32>(BETA1), first[index], BETA1_REST * gradient);
        first[index] = m;
    }
    let way = m / fma(sqrt(v), vec4<f32>(rates.root), vec4<f32>(EPSILON));
    return rates.decay * fma(vec4<f32>(-rates.rate), way, rates.decoupled * before);
}
