// The inner optimiser Adam in TensorFlow's form (Kingma and Ba 2015, the text before §2.1):
// rate_t = rate · √(1 − β2^t) / (1 − β1^t), θ ← θ − rate_t · m / (√v + ε). With β1 = 0, m = g and
// no m is kept. BETA2_REST is 1 − β2. Needs lib/one_minus_exp.wgsl and lib/see_*.wgsl.
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;   // v: [T, STRIDE]
@group(0) @binding(6) var<storage, read_write> first: array<vec4<f32>>;    // m: [T, STRIDE]

// Every sum of a product is a fused one by name, so that no compiler decides which are.
struct Rates {
    rate: f32,
    decay: f32,
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    let t = f32(run.adam_steps + k + 1u);
    let correction = sqrt(one_minus_exp(t * LOG_BETA2));
    var rate = run.inner_rate * correction;
    if (BETA1 > 0.0) {
        rate /= one_minus_exp(t * LOG_BETA1);
    }
    return Rates(rate, select(run.weight_decay, 1.0, last));
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
    return rates.decay * fma(vec4<f32>(-rates.rate), m / (sqrt(v) + EPSILON), before);
}
