// θ ← θ + ε Δ: the outer step of the Reptile paper.
fn outer_step(run: RunStep, place: u32, value: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(run.outer_rate), delta, value);
}
