//! Every type of layer worked by hand.

use super::*;
use crate::layers::{AveragePool, BatchNorm, GroupNorm, LayerNorm, LayerSpec, MaxPool};
use crate::model::{Activation, Extent, Model, ModelSpec, Padding};
use crate::reference::activation::activation_backward;

/// z of a layer.
fn forward(layer: &Layer, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    layer_forward(layer, parameters, x).z
}

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

#[test]
fn forward_and_gradients_of_a_layer_worked_by_hand() {
    let linear = Activation::Linear;
    let model = Model::new(ModelSpec::builder(&[1]).dense(2, linear).dense(2, linear)).unwrap();
    let layer = &model.layers()[1];
    // The first layer's four numbers, then W = [[1, 2], [3, −4]], b = [0.5, −1].
    let parameters = [9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 3.0, -4.0, 0.5, -1.0];
    let x = [1.0, -1.0, 2.0, 1.0];
    assert_eq!(forward(layer, &parameters, &x), [-0.5, 6.0, 4.5, 1.0]);
    let dz = [0.0, 2.0, 3.0, -1.0];
    assert_eq!(layer_backward(layer, &parameters, &x, &dz), [6.0, -8.0, 0.0, 10.0]);
    assert_eq!(layer_gradient(layer, &x, &dz), [6.0, 3.0, 0.0, -3.0, 3.0, 1.0]);
}

fn convolution(input: [usize; 3], filters: usize, kernel: Extent, padding: Padding) -> Layer {
    let stride = if padding == Padding::SAME { 2 } else { 1 };
    let spec = ModelSpec::builder(&input).conv2d(filters, kernel, stride, padding);
    Model::new(spec.dense(1, Activation::Linear)).unwrap().layers()[0].clone()
}

#[test]
fn stride_two_with_padding_behind_worked_by_hand() {
    let layer = convolution([1, 4, 4], 1, 3.into(), Padding::SAME);
    assert_eq!((layer.window.before, layer.output.height), ([0, 0], 2));
    // The filter [1 0 0; 0 0 2; 0 3 0] with bias 0.5 on the image 1, 2, …, 16.
    let parameters = [1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.5];
    let x: Vec<f64> = (1..=16).map(f64::from).collect();
    assert_eq!(forward(&layer, &parameters, &x), [45.5, 39.5, 39.5, 11.5]);
    let dz = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(
        layer_backward(&layer, &parameters, &x, &dz),
        [1., 0., 2., 0., 0., 0., 2., 0., 3., 3., 4., 6., 0., 0., 6., 0.]
    );
    assert_eq!(
        layer_gradient(&layer, &x, &dz),
        [78.0, 88.0, 36.0, 118.0, 128.0, 52.0, 31.0, 34.0, 11.0, 10.0]
    );
}

#[test]
fn channels_filters_and_a_padded_side_worked_by_hand() {
    let layer = convolution([2, 1, 2], 2, [1, 2].into(), Padding::Sides([0, 0, 1, 0]));
    // A row a filter: two taps of channel 0, two of channel 1. Then the biases.
    let parameters = [1.0, 2.0, 3.0, 4.0, /* */ -1.0, 0.0, 0.0, 1.0, /* */ 10.0, 20.0];
    let x: Vec<f64> = (1..=8).map(f64::from).collect();
    assert_eq!(
        forward(&layer, &parameters, &x),
        [24.0, 40.0, 23.0, 23.0, /* */ 48.0, 80.0, 27.0, 23.0]
    );
    let dz = [1.0, 0.0, 0.0, 1.0, /* */ 0.0, 2.0, 1.0, 0.0];
    assert_eq!(
        layer_backward(&layer, &parameters, &x, &dz),
        [1.0, 0.0, 4.0, 1.0, /* */ 2.0, 4.0, 7.0, 8.0]
    );
    assert_eq!(
        layer_gradient(&layer, &x, &dz),
        [10.0, 13.0, 14.0, 19.0, /* */ 1.0, 7.0, 3.0, 11.0, /* */ 3.0, 2.0]
    );
}

const EPSILON: f32 = 4.0;

fn close(got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() < 1e-14, "{got} instead of {wanted}");
    }
}

#[test]
fn a_batch_norm_worked_by_hand() {
    let norm = BatchNorm { epsilon: EPSILON, ..BatchNorm::new(Activation::Linear) };
    let spec = ModelSpec::builder(&[2, 1, 2]).layer(norm).dense(1, Activation::Linear);
    let model = Model::new(spec).unwrap();
    let layer = &model.layers()[0];
    let parameters = [3.0, -2.0, 0.5, 1.0];
    // Channel 0 is 1, 3 and 5, 7: mean 4, variance 5, √(5 + 4) = 3. Channel 1 is constant.
    let x = [1.0, 3.0, 2.0, 2.0, /* */ 5.0, 7.0, 2.0, 2.0];
    close(&forward(layer, &parameters, &x), &[-2.5, -0.5, 1.0, 1.0, /* */ 1.5, 3.5, 1.0, 1.0]);
    let dz = [1.0, 0.0, 1.0, 2.0, /* */ 0.0, 2.0, 3.0, 4.0];
    close(
        &layer_backward(layer, &parameters, &x, &dz),
        &[0.5, -2.0 / 3.0, 1.5, 0.5, /* */ -5.0 / 6.0, 1.0, -0.5, -1.5],
    );
    close(&layer_gradient(layer, &x, &dz), &[1.0, 0.0, 3.0, 10.0]);
}

/// Channels 0 and 1 are a group: 1, 3, 5, 7 (mean 4, variance 5, √(5 + 4) = 3). Channels 2 and 3 are constant.
#[test]
fn a_group_norm_worked_by_hand() {
    let norm = GroupNorm { epsilon: 4.0, ..GroupNorm::new(2, Activation::Linear) };
    let spec = ModelSpec::builder(&[4, 1, 2]).layer(norm).dense(1, Activation::Linear);
    let model = Model::new(spec).unwrap();
    let layer = &model.layers()[0];
    assert_eq!(layer.parameter_count(), 8);
    let parameters = [3.0, -6.0, 1.0, 1.0, 0.5, 1.0, 2.0, 0.0];
    let x = [1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0];
    close(&forward(layer, &parameters, &x), &[-2.5, -0.5, -1.0, -5.0, 2.0, 2.0, 0.0, 0.0]);
    let dz = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0];
    // g = 3, 0, 0, 0: mean 3/4, along −3/4; and 1, 0, 0, 3 with mean 1 over √4.
    let dx = [0.5, -1.0 / 3.0, -1.0 / 6.0, 0.0, 0.0, -0.5, -0.5, 1.0];
    close(&layer_backward(layer, &parameters, &x, &dz), &dx);
    let gradient = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 3.0];
    close(&layer_gradient(layer, &x, &dz), &gradient);
}

/// The whole example is one group, and each of its numbers has a γ.
#[test]
fn a_layer_norm_worked_by_hand() {
    let norm = LayerNorm { epsilon: 4.0, ..LayerNorm::new(Activation::Linear) };
    let spec = ModelSpec::builder(&[2, 1, 2]).layer(norm).dense(1, Activation::Linear);
    let model = Model::new(spec).unwrap();
    let layer = &model.layers()[0];
    assert_eq!(model.tensors()[0].shape, [2, 1, 2]);
    let parameters = [3.0, -3.0, 6.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    let x = [1.0, 3.0, 5.0, 7.0];
    close(&forward(layer, &parameters, &x), &[-3.0, 1.0, 3.0, 2.0]);
    let gradient = [-2.0, 0.0, 1.0 / 3.0, 1.0, 2.0, 0.0, 1.0, 1.0];
    close(&layer_gradient(layer, &x, &[2.0, 0.0, 1.0, 1.0]), &gradient);
}

/// A pooling; of the mean if `average`.
fn pooling(
    input: [usize; 3],
    size: Extent,
    stride: Extent,
    padding: Padding,
    average: bool,
) -> Layer {
    let stride = Some(stride);
    let pool: LayerSpec = match average {
        true => AveragePool { size, stride, padding }.into(),
        false => MaxPool { size, stride, padding }.into(),
    };
    let spec = ModelSpec::builder(&input).layer(pool).dense(1, Activation::Linear);
    Model::new(spec).unwrap().layers()[0].clone()
}

#[test]
fn overlapping_windows_add_up_and_of_equal_numbers_the_first_wins() {
    let layer = pooling([2, 3, 3], 2.into(), 1.into(), Padding::VALID, false);
    let x = [
        [5.0, 1.0, 2.0, /* */ 5.0, 5.0, 3.0, /* */ 0.0, 4.0, 9.0],
        [1.0, 1.0, 2.0, /* */ 5.0, 7.0, 3.0, /* */ 0.0, 4.0, 9.0],
    ]
    .concat();
    assert_eq!(forward(&layer, &[], &x), [5.0, 5.0, 5.0, 9.0, /* */ 7.0, 7.0, 7.0, 9.0]);
    let dz = [1.0, 2.0, 4.0, 8.0].repeat(2);
    let dx = [
        [1.0, 0.0, 0.0, /* */ 4.0, 2.0, 0.0, /* */ 0.0, 0.0, 8.0],
        [0.0, 0.0, 0.0, /* */ 0.0, 7.0, 0.0, /* */ 0.0, 0.0, 8.0],
    ]
    .concat();
    assert_eq!(layer_backward(&layer, &[], &x, &dz), dx);
}

#[test]
fn padding_is_below_every_number() {
    let layer = pooling([1, 1, 3], [1, 2].into(), [1, 2].into(), Padding::SAME, false);
    let x = [-1.0, -2.0, -3.0];
    assert_eq!(forward(&layer, &[], &x), [-1.0, -3.0]);
    assert_eq!(layer_backward(&layer, &[], &x, &[1.0, 2.0]), [1.0, 0.0, 2.0]);
}

#[test]
fn means_at_the_border_are_over_the_image_alone() {
    let layer = pooling([1, 3, 3], 2.into(), 2.into(), Padding::SAME, true);
    let x: Vec<f64> = (1..=9).map(f64::from).collect();
    assert_eq!(forward(&layer, &[], &x), [3.0, 4.5, 7.5, 9.0]);
    assert_eq!(
        layer_backward(&layer, &[], &x, &[4.0, 2.0, 6.0, 5.0]),
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 5.0]
    );
}
