// The inner optimiser's step on a vector of `theta`. Needs lib/update_*.wgsl.
fn update(index: u32, gradient: vec4<f32>, rates: Rates) {
    theta[index] = updated(index, theta[index], gradient, rates);
}
