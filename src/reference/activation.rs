//! The functions after a layer's affine part, and their derivatives.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::model::Activation;

/// dL/dz from `dy` = dL/dy, both `[B, out]`, at the pre-activations `z`.
pub fn activation_backward(activation: Activation, z: &[f64], dy: &[f64]) -> Vec<f64> {
    assert_eq!(z.len(), dy.len(), "one gradient for each pre-activation");
    z.iter().zip(dy).map(|(&z, dy)| dy * slope(activation, z)).collect()
}

/// The activation at `z`.
pub fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Linear => z,
        Activation::Tanh => z.tanh(),
        Activation::Relu => z.max(0.0),
        Activation::Sigmoid => sigmoid(z),
        Activation::Gelu => z * normal_cdf(z),
    }
}

/// The derivative of the activation at `z`; ReLU's is 0 at 0.
pub fn slope(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Linear => 1.0,
        Activation::Tanh => 1.0 - z.tanh().powi(2),
        Activation::Relu if z > 0.0 => 1.0,
        Activation::Relu => 0.0,
        Activation::Sigmoid => sigmoid(z) * sigmoid(-z),
        Activation::Gelu => normal_cdf(z) + z * (-0.5 * z * z).exp() / (2.0 * PI).sqrt(),
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Φ, the normal distribution function.
fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_at_known_points() {
        let at = |activation, z| (activate(activation, z), slope(activation, z));
        assert_eq!(at(Activation::Linear, -2.5), (-2.5, 1.0));
        assert_eq!(at(Activation::Relu, 0.0), (0.0, 0.0));
        assert_eq!(at(Activation::Sigmoid, 0.0), (0.5, 0.25));
        assert_eq!(at(Activation::Tanh, 0.0), (0.0, 1.0));
        assert_eq!(at(Activation::Gelu, 0.0), (0.0, 0.5));
        // Φ(1) = 0.8413447460685429, φ(1) = 0.24197072451914337.
        let (value, derivative) = at(Activation::Gelu, 1.0);
        assert!((value - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((derivative - 1.083_315_470_587_686_3).abs() < 1e-15);
        for z in [-800.0, 800.0] {
            for activation in [Activation::Sigmoid, Activation::Tanh, Activation::Gelu] {
                let (value, derivative) = at(activation, z);
                assert!(value.is_finite() && derivative.is_finite(), "{activation:?} at {z}");
            }
        }
    }
}
