//! A dense layer's product z = W x + b and its gradients. A convolution is the same on patches
//! ([`super::conv`]).

use super::add_scaled;
use crate::model::Layer;

/// z = x Wᵀ + b, `[N, out]`, for rows `x` `[N, in]`: the examples of a batch, or the patches of a
/// convolution. `parameters` is the whole canonical set.
pub fn dense_forward(layer: &Layer, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let [inputs, outputs] = sizes(layer);
    let (weight, bias) = weight_and_bias(layer, parameters);
    let mut z = Vec::with_capacity(x.len() / inputs * outputs);
    for x_row in rows(x, inputs) {
        let units = weight.chunks_exact(inputs).zip(bias);
        z.extend(units.map(|(weight_row, bias)| bias + dot(weight_row, x_row)));
    }
    z
}

/// dL/dx = dz W, `[N, in]`, from `dz` = dL/dz `[N, out]`.
pub fn dense_backward(layer: &Layer, parameters: &[f64], dz: &[f64]) -> Vec<f64> {
    let [inputs, outputs] = sizes(layer);
    let (weight, _) = weight_and_bias(layer, parameters);
    let mut dx = vec![0.0; dz.len() / outputs * inputs];
    for (dx_row, dz_row) in dx.chunks_exact_mut(inputs).zip(rows(dz, outputs)) {
        for (weight_row, &dz) in weight.chunks_exact(inputs).zip(dz_row) {
            add_scaled(dx_row, dz, weight_row);
        }
    }
    dx
}

/// dL/dW = dzᵀ x, `[out, in]`, then dL/db = Σ dz over the rows, `[out]`: the layer's canonical
/// tensors one after the other. `x` are the rows `[N, in]` that the layer saw, `dz` = dL/dz
/// `[N, out]`.
pub fn dense_gradient(layer: &Layer, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let [inputs, outputs] = sizes(layer);
    let mut gradient = vec![0.0; outputs * (inputs + 1)];
    let (weight, bias) = gradient.split_at_mut(outputs * inputs);
    for (x_row, dz_row) in rows(x, inputs).zip(rows(dz, outputs)) {
        for (weight_row, &dz) in weight.chunks_exact_mut(inputs).zip(dz_row) {
            add_scaled(weight_row, dz, x_row);
        }
        add_scaled(bias, 1.0, dz_row);
    }
    gradient
}

/// Inputs and outputs of the layer's matrix.
fn sizes(layer: &Layer) -> [usize; 2] {
    let weights = layer.weights().expect("a layer with weights");
    [weights.inputs(), weights.outputs]
}

/// The layer's weight `[out, in]` and bias `[out]`.
fn weight_and_bias<'a>(layer: &Layer, parameters: &'a [f64]) -> (&'a [f64], &'a [f64]) {
    let [inputs, outputs] = sizes(layer);
    parameters[layer.canonical_offset..][..outputs * (inputs + 1)].split_at(outputs * inputs)
}

/// The rows of a `[N, width]` array.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Model, ModelSpec};

    #[test]
    fn forward_and_gradients_of_a_layer_worked_by_hand() {
        let linear = Activation::Linear;
        let model = Model::new(ModelSpec::builder(&[1]).dense(2, linear).dense(2, linear)).unwrap();
        let layer = &model.layers()[1];
        // The first layer's four numbers, then W = [[1, 2], [3, −4]], b = [0.5, −1].
        let parameters = [9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 3.0, -4.0, 0.5, -1.0];
        let x = [1.0, -1.0, 2.0, 1.0];
        assert_eq!(dense_forward(layer, &parameters, &x), [-0.5, 6.0, 4.5, 1.0]);
        let dz = [0.0, 2.0, 3.0, -1.0];
        assert_eq!(dense_backward(layer, &parameters, &dz), [6.0, -8.0, 0.0, 10.0]);
        assert_eq!(dense_gradient(layer, &x, &dz), [6.0, 3.0, 0.0, -3.0, 3.0, 1.0]);
    }

    #[test]
    fn wide_rows_use_every_element() {
        let a: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(dot(&a, &a), (1..=19).map(|i| f64::from(i * i)).sum::<f64>());
    }
}
