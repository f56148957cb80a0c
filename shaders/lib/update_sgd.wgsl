// The inner optimiser SGD: θ ← θ − rate · g, then the weight decay of the step that follows.
// Needs lib/see_*.wgsl.
struct Rates {
    rate: f32,
    decay: f32,
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    return Rates(run.inner_rate, select(run.weight_decay, 1.0, last));
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    see(index, gradient);
    return rates.decay * fma(vec4<f32>(-rates.rate), gradient, before);
}
