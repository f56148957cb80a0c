// The direction of a learned strategy: μ ← γ μ + (1 − γ) Δ, θ ← θ + ε μ.
fn outer_step(run: RunStep, place: u32, value: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    let mean = MOMENTUM * first[place] + MOMENTUM_REST * delta;
    first[place] = mean;
    return fma(vec4<f32>(run.outer_rate), mean, value);
}
