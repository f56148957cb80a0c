// The inner optimiser SGD with momentum in PyTorch's form: u ← MOMENTUM u + g, θ ← θ − rate · u, or with
// NESTEROV θ ← θ − rate · (g + MOMENTUM u); then the weight decay of the step that follows. With MOMENTUM = 0, u = g and
// no u is kept. Needs lib/see_*.wgsl.
@group(0) @binding(6) var<storage, read_write> first: array<vec4<f32>>;    // u: [T, STRIDE]

struct Rates {
    rate: f32,
    decay: f32,
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    return Rates(run.inner_rate, select(run.weight_decay, 1.0, last));
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    see(index, gradient);
    var way = gradient;
    if (MOMENTUM > 0.0) {
        let u = fma(vec4<f32>(MOMENTUM), first[index], gradient);
        first[index] = u;
        way = u;
        if (NESTEROV == 1u) {
            way = fma(vec4<f32>(MOMENTUM), u, gradient);
        }
    }
    return rates.decay * fma(vec4<f32>(-rates.rate), way, before);
}
