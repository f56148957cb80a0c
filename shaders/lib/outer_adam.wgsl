// Adam on the pseudo-gradient −Δ, in TensorFlow's form. Needs lib/one_minus_exp.wgsl.
fn outer_step(run: RunStep, place: u32, value: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    let t = f32(run.outer_steps);
    let m = BETA1 * first[place] - BETA1_REST * delta;
    let v = BETA2 * second[place] + BETA2_REST * delta * delta;
    first[place] = m;
    second[place] = v;
    var rate = run.outer_rate * sqrt(one_minus_exp(t * LOG_BETA2));
    if (BETA1 > 0.0) {
        rate /= one_minus_exp(t * LOG_BETA1);
    }
    return value - rate * m / (sqrt(v) + EPSILON);
}
