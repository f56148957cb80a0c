//! The whole network: predictions, loss, accuracy, and the gradient by back-propagation.

use super::activation::activation_backward;
use super::layer::{layer_backward, layer_forward, layer_gradient};
use super::losses::{loss_cross_entropy, loss_mse};
use super::storage::store;
use crate::model::{Loss, Model};

/// What the network should say.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// For mean squared error, `[B, out]`.
    Values(&'a [f64]),
    /// For cross-entropy, `[B]`, each below the number of outputs.
    Labels(&'a [u32]),
}

/// The predictions `[B, out]` (logits for a classifier) for `x` `[B, in]` (an image is `[C, H, W]`).
pub fn forward(model: &Model, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let mut values = x.to_vec();
    for layer in model.layers() {
        values = layer_forward(layer, parameters, &values).y;
        store(&mut values);
    }
    values
}

/// Mean and (biased) variance of each channel over the batch `x` `[B, in]`, for each batch-norm of the network, input first.
pub fn statistics(model: &Model, parameters: &[f64], x: &[f64]) -> Vec<[Vec<f64>; 2]> {
    let mut values = x.to_vec();
    let mut all = Vec::new();
    for layer in model.layers() {
        if layer.couples_examples() {
            all.push(moments(&values, layer.input.channels, layer.input.pixels()));
        }
        values = layer_forward(layer, parameters, &values).y;
    }
    all
}

/// Mean and variance of each channel of `values` `[B, channels, pixels]`.
fn moments(values: &[f64], channels: usize, pixels: usize) -> [Vec<f64>; 2] {
    let count = (values.len() / channels) as f64;
    let sums = |of: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0; channels];
        for (place, plane) in values.chunks_exact(pixels).enumerate() {
            let channel = place % channels;
            sums[channel] += plane.iter().map(|value| of(channel, *value)).sum::<f64>() / count;
        }
        sums
    };
    let mean = sums(&|_, value| value);
    let variance = sums(&|channel, value| (value - mean[channel]).powi(2));
    [mean, variance]
}

/// The loss of `outputs` `[B, out]`.
///
/// # Panics
/// If the kind of `targets` is not that of the model's loss.
pub fn loss(model: &Model, outputs: &[f64], targets: Targets) -> f64 {
    loss_and_output_gradient(model, outputs, targets).0
}

/// The share of rows of `outputs` `[B, classes]` whose largest logit is at its label; of equal
/// logits the first counts.
pub fn accuracy(outputs: &[f64], labels: &[u32]) -> f64 {
    let classes = outputs.len() / labels.len();
    let right = outputs.chunks_exact(classes).zip(labels).filter(|(row, label)| {
        let first_largest =
            (1..classes).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        first_largest == **label as usize
    });
    right.count() as f64 / labels.len() as f64
}

/// The loss on the batch `x` `[B, in]` and its gradient by the parameters, in canonical order.
///
/// # Panics
/// If the kind of `targets` is not that of the model's loss.
pub fn loss_and_gradient(
    model: &Model,
    parameters: &[f64],
    x: &[f64],
    targets: Targets,
) -> (f64, Vec<f64>) {
    let mut trace = Vec::with_capacity(model.layers().len());
    let mut values = x.to_vec();
    for layer in model.layers() {
        let mut out = layer_forward(layer, parameters, &values);
        store(&mut out.z);
        store(&mut out.y);
        trace.push((layer, values, out.z));
        values = out.y;
    }
    let (loss, mut dy) = loss_and_output_gradient(model, &values, targets);
    store(&mut dy);
    let mut gradient = vec![0.0; model.parameter_count()];
    for (index, (layer, x, z)) in trace.iter().enumerate().rev() {
        let mut dz = activation_backward(layer.activation, z, &dy);
        store(&mut dz);
        let own = layer_gradient(layer, x, &dz);
        gradient[layer.canonical_offset..][..own.len()].copy_from_slice(&own);
        if index > 0 {
            dy = layer_backward(layer, parameters, x, &dz);
            store(&mut dy);
        }
    }
    store(&mut gradient);
    (loss, gradient)
}

fn loss_and_output_gradient(model: &Model, outputs: &[f64], targets: Targets) -> (f64, Vec<f64>) {
    match (model.loss(), targets) {
        (Loss::Mse, Targets::Values(values)) => loss_mse(outputs, values),
        (Loss::CrossEntropy, Targets::Labels(labels)) => {
            assert_eq!(outputs.len(), labels.len() * model.outputs(), "one label for each row");
            loss_cross_entropy(outputs, labels)
        }
        (loss, targets) => panic!("{targets:?} do not fit the loss {loss:?}"),
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
