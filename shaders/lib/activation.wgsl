// Activations of four units, and their derivatives. The kinds are those of `Activation::kind` in
// src/layers/activation.rs.
const LINEAR = 0u;
const TANH = 1u;
const RELU = 2u;
const SIGMOID = 3u;
const GELU = 4u;

// erfc to a relative error of 1.2e-7 (the Chebyshev fit of Numerical Recipes §6.2).
fn erfc4(x: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.5 * abs(x));
    let inner = -0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587
        + t * (-0.82215223 + t * 0.17087277))));
    let outer = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * inner)));
    let positive = t * exp(outer - x * x);
    return select(2.0 - positive, positive, x >= vec4<f32>(0.0));
}

// The standard normal distribution function.
fn normal_cdf4(z: vec4<f32>) -> vec4<f32> {
    return 0.5 * erfc4(-0.70710678118 * z);
}

fn activate(kind: u32, z: vec4<f32>) -> vec4<f32> {
    switch kind {
        case TANH: { return sign(z) * (1.0 - 2.0 / (exp(2.0 * abs(z)) + 1.0)); }
        case RELU: { return max(z, vec4<f32>(0.0)); }
        case SIGMOID: { return 1.0 / (1.0 + exp(-z)); }
        case GELU: { return z * normal_cdf4(z); }
        default: { return z; }
    }
}

// The derivative, from the activated value h and, for GELU alone, from z.
fn slope(kind: u32, h: vec4<f32>, z: vec4<f32>) -> vec4<f32> {
    switch kind {
        case TANH: { return 1.0 - h * h; }
        case RELU: { return select(vec4<f32>(0.0), vec4<f32>(1.0), h > vec4<f32>(0.0)); }
        case SIGMOID: { return h * (1.0 - h); }
        case GELU: { return normal_cdf4(z) + z * 0.3989422804 * exp(-0.5 * z * z); }
        default: { return vec4<f32>(1.0); }
    }
}

// Zero in the padding: units from `units` on, where `first` is the number of v.x.
fn without_padding(v: vec4<f32>, first: u32, units: u32) -> vec4<f32> {
    let numbers = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
    return select(vec4<f32>(0.0), v, numbers < vec4<u32>(units));
}
