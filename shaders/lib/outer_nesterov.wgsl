// SGD with Nesterov's momentum on the pseudo-gradient −Δ (PyTorch's form): u ← μ u − Δ, θ ← θ − ε (μ u − Δ).
fn outer_step(run: RunStep, place: u32, value: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    let u = fma(vec4<f32>(MOMENTUM), first[place], -delta);
    first[place] = u;
    return fma(vec4<f32>(-run.outer_rate), fma(vec4<f32>(MOMENTUM), u, -delta), value);
}
