// The inner optimiser RMSprop in PyTorch's form: v ← RHO v + (1 − RHO) g², θ ← θ − rate · g / (√v + ε); then the weight
// decay of the step that follows. RHO_REST is 1 − RHO. Needs lib/see_*.wgsl.
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;   // v: [T, STRIDE]

struct Rates {
    rate: f32,
    decay: f32,
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    return Rates(run.inner_rate, select(run.weight_decay, 1.0, last));
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    see(index, gradient);
    let v = fma(vec4<f32>(RHO), second[index], RHO_REST * gradient * gradient);
    second[index] = v;
    return rates.decay * fma(vec4<f32>(-rates.rate), gradient / (sqrt(v) + EPSILON), before);
}
