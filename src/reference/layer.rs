//! Any layer: its own operation, then its activation.

use super::activation::activate;
use super::conv::{conv_backward, conv_forward, conv_gradient};
use super::dense::{dense_backward, dense_forward, dense_gradient};
use super::group_norm::{group_norm_backward, group_norm_forward, group_norm_gradient};
use super::norm::{norm_backward, norm_forward, norm_gradient};
use super::pool::{
    average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward,
};
use crate::model::{Layer, Op};

/// What a layer makes of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOutput {
    /// Before the activation, `[B, C, H, W]` of the output.
    pub z: Vec<f64>,
    /// After the activation.
    pub y: Vec<f64>,
}

/// z and y = activation(z) for `x` `[B, C, H, W]` of the input. `parameters` is the whole canonical
/// set.
pub fn layer_forward(layer: &Layer, parameters: &[f64], x: &[f64]) -> LayerOutput {
    assert_eq!(x.len() % layer.inputs(), 0, "whole examples of {}", layer.inputs());
    let z = match layer.op {
        Op::Dense => dense_forward(layer, parameters, x),
        Op::Conv(window) => conv_forward(layer, window, parameters, x),
        Op::BatchNorm { epsilon } => norm_forward(layer, epsilon, parameters, x),
        Op::GroupNorm { .. } => group_norm_forward(layer, parameters, x),
        Op::MaxPool(window) => max_pool_forward(layer, window, x),
        Op::AveragePool(window) => average_pool_forward(layer, window, x),
    };
    let y = z.iter().map(|&z| activate(layer.activation, z)).collect();
    LayerOutput { z, y }
}

/// dL/dx, like the layer's input `x`, from `dz` = dL/dz.
pub fn layer_backward(layer: &Layer, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
    match layer.op {
        Op::Dense => dense_backward(layer, parameters, dz),
        Op::Conv(window) => conv_backward(layer, window, parameters, dz),
        Op::BatchNorm { epsilon } => norm_backward(layer, epsilon, parameters, x, dz),
        Op::GroupNorm { .. } => group_norm_backward(layer, parameters, x, dz),
        Op::MaxPool(window) => max_pool_backward(layer, window, x, dz),
        Op::AveragePool(window) => average_pool_backward(layer, window, dz),
    }
}

/// The gradient by the layer's own parameters, its canonical tensors one after the other (nothing
/// for a pooling), from the layer's input `x` and `dz` = dL/dz.
pub fn layer_gradient(layer: &Layer, x: &[f64], dz: &[f64]) -> Vec<f64> {
    match layer.op {
        Op::Dense => dense_gradient(layer, x, dz),
        Op::Conv(window) => conv_gradient(layer, window, x, dz),
        Op::BatchNorm { epsilon } => norm_gradient(layer, epsilon, x, dz),
        Op::GroupNorm { .. } => group_norm_gradient(layer, x, dz),
        Op::MaxPool(_) | Op::AveragePool(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Model, ModelSpec};
    use crate::reference::activation::activation_backward;

    #[test]
    fn the_activation_comes_after_the_operation() {
        let spec = ModelSpec::builder(&[2]).dense(2, Activation::Relu);
        let model = Model::new(spec.dense(1, Activation::Linear)).unwrap();
        let layer = &model.layers()[0];
        // W = [[1, 2], [3, −4]], b = [0.5, −1].
        let parameters = [1.0, 2.0, 3.0, -4.0, 0.5, -1.0];
        let x = [1.0, -1.0, 2.0, 1.0];
        let out = layer_forward(layer, &parameters, &x);
        assert_eq!(out.z, [-0.5, 6.0, 4.5, 1.0]);
        assert_eq!(out.y, [0.0, 6.0, 4.5, 1.0]);
        let dz = activation_backward(layer.activation, &out.z, &[1.0, 2.0, 3.0, -1.0]);
        assert_eq!(dz, [0.0, 2.0, 3.0, -1.0]);
        assert_eq!(layer_backward(layer, &parameters, &x, &dz), [6.0, -8.0, 0.0, 10.0]);
        assert_eq!(layer_gradient(layer, &x, &dz), [6.0, 3.0, 0.0, -3.0, 3.0, 1.0]);
    }
}
