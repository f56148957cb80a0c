//! Any layer: its own operation, then its activation.

use super::activation::activate;
use crate::model::Layer;

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
    let z = layer.twin_forward(parameters, x);
    let y = z.iter().map(|&z| activate(layer.activation, z)).collect();
    LayerOutput { z, y }
}

/// dL/dx, like the layer's input `x`, from `dz` = dL/dz.
pub fn layer_backward(layer: &Layer, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
    layer.twin_backward(parameters, x, dz)
}

/// The gradient by the layer's own parameters, its canonical tensors one after the other (nothing
/// for a pooling), from the layer's input `x` and `dz` = dL/dz.
pub fn layer_gradient(layer: &Layer, x: &[f64], dz: &[f64]) -> Vec<f64> {
    layer.twin_gradient(x, dz)
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
