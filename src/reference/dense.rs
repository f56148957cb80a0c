//! One dense layer: y = activation(W x + b), its gradients, and the activations.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::model::{Activation, Layer};

/// What a layer makes of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseOutput {
    /// Before the activation, `[B, out]`.
    pub z: Vec<f64>,
    /// After the activation, `[B, out]`.
    pub y: Vec<f64>,
}

/// z = x Wᵀ + b and y = activation(z) for `x` `[B, in]`. `parameters` is the whole canonical set.
pub fn dense_forward(layer: &Layer, parameters: &[f64], x: &[f64]) -> DenseOutput {
    let (weight, bias) = weight_and_bias(layer, parameters);
    let mut z = Vec::with_capacity(x.len() / layer.inputs() * layer.outputs());
    for x_row in rows(x, layer.inputs()) {
        let units = weight.chunks_exact(layer.inputs()).zip(bias);
        z.extend(units.map(|(weight_row, bias)| bias + dot(weight_row, x_row)));
    }
    let y = z.iter().map(|&z| activate(layer.activation, z)).collect();
    DenseOutput { z, y }
}

/// dL/dx = dz W, `[B, in]`, from `dz` = dL/dz `[B, out]`.
pub fn dense_backward(layer: &Layer, parameters: &[f64], dz: &[f64]) -> Vec<f64> {
    let (weight, _) = weight_and_bias(layer, parameters);
    let mut dx = vec![0.0; dz.len() / layer.outputs() * layer.inputs()];
    for (dx_row, dz_row) in dx.chunks_exact_mut(layer.inputs()).zip(rows(dz, layer.outputs())) {
        for (weight_row, &dz) in weight.chunks_exact(layer.inputs()).zip(dz_row) {
            add_scaled(dx_row, dz, weight_row);
        }
    }
    dx
}

/// dL/dW = dzᵀ x, `[out, in]`, then dL/db = Σ_batch dz, `[out]`: the layer's canonical tensors one
/// after the other. `x` is the layer's input `[B, in]`, `dz` = dL/dz `[B, out]`.
pub fn dense_gradient(layer: &Layer, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; layer.outputs() * (layer.inputs() + 1)];
    let (weight, bias) = gradient.split_at_mut(layer.outputs() * layer.inputs());
    for (x_row, dz_row) in rows(x, layer.inputs()).zip(rows(dz, layer.outputs())) {
        for (weight_row, &dz) in weight.chunks_exact_mut(layer.inputs()).zip(dz_row) {
            add_scaled(weight_row, dz, x_row);
        }
        add_scaled(bias, 1.0, dz_row);
    }
    gradient
}

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

/// The layer's weight `[out, in]` and bias `[out]`.
fn weight_and_bias<'a>(layer: &Layer, parameters: &'a [f64]) -> (&'a [f64], &'a [f64]) {
    let own = &parameters[layer.canonical_offset..][..layer.outputs() * (layer.inputs() + 1)];
    own.split_at(layer.outputs() * layer.inputs())
}

/// The rows of a `[B, width]` array.
fn rows(values: &[f64], width: usize) -> std::slice::ChunksExact<'_, f64> {
    assert_eq!(values.len() % width, 0, "whole rows of {width}");
    values.chunks_exact(width)
}

/// a · b with eight partial sums, which the compiler keeps in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// target += scale · values.
fn add_scaled(target: &mut [f64], scale: f64, values: &[f64]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += scale * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Op, Shape};

    fn layer(inputs: usize, outputs: usize, activation: Activation) -> Layer {
        Layer {
            name: "dense1".into(),
            op: Op::Dense,
            activation,
            input: Shape::features(inputs),
            output: Shape::features(outputs),
            narrow: false,
            packed_offset: 0,
            canonical_offset: 1,
        }
    }

    #[test]
    fn forward_and_gradients_of_a_layer_worked_by_hand() {
        let layer = layer(2, 2, Activation::Relu);
        // One number of another layer, W = [[1, 2], [3, −4]], b = [0.5, −1].
        let parameters = [9.0, 1.0, 2.0, 3.0, -4.0, 0.5, -1.0];
        let x = [1.0, -1.0, 2.0, 1.0];
        let out = dense_forward(&layer, &parameters, &x);
        assert_eq!(out.z, [-0.5, 6.0, 4.5, 1.0]);
        assert_eq!(out.y, [0.0, 6.0, 4.5, 1.0]);
        let dz = activation_backward(layer.activation, &out.z, &[1.0, 2.0, 3.0, -1.0]);
        assert_eq!(dz, [0.0, 2.0, 3.0, -1.0]);
        assert_eq!(dense_backward(&layer, &parameters, &dz), [6.0, -8.0, 0.0, 10.0]);
        assert_eq!(dense_gradient(&layer, &x, &dz), [6.0, 3.0, 0.0, -3.0, 3.0, 1.0]);
    }

    #[test]
    fn wide_rows_use_every_element() {
        let a: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(dot(&a, &a), (1..=19).map(|i| f64::from(i * i)).sum::<f64>());
    }

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
