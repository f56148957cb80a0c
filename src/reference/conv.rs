//! A convolution with zero padding: the dense product of the patches that its window sees.

use super::dense::{dense_backward, dense_forward, dense_gradient};
use super::window::sources;
use crate::model::{Layer, Window};

/// z = W ⋆ x + b, `[B, C', H', W']`, for `x` `[B, C, H, W]`: the cross-correlation of
/// `torch.nn.Conv2d`. `parameters` is the whole canonical set.
pub fn conv_forward(layer: &Layer, window: Window, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let z = dense_forward(layer, parameters, &patches(layer, window, x));
    transposed(&z, [layer.output.pixels(), layer.output.channels])
}

/// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C', H', W']`.
pub fn conv_backward(layer: &Layer, window: Window, parameters: &[f64], dz: &[f64]) -> Vec<f64> {
    let dz = transposed(dz, [layer.output.channels, layer.output.pixels()]);
    images(layer, window, &dense_backward(layer, parameters, &dz))
}

/// dL/dW `[C', C, kernel height, kernel width]`, then dL/db `[C']`: the layer's canonical tensors
/// one after the other. `x` is the layer's input `[B, C, H, W]`, `dz` = dL/dz `[B, C', H', W']`.
pub fn conv_gradient(layer: &Layer, window: Window, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let dz = transposed(dz, [layer.output.channels, layer.output.pixels()]);
    dense_gradient(layer, &patches(layer, window, x), &dz)
}

/// What the window sees at each output pixel, in the order of a filter's weights:
/// `[B·H'·W', C·taps]` from `x` `[B, C, H, W]`.
fn patches(layer: &Layer, window: Window, x: &[f64]) -> Vec<f64> {
    let sources = sources(layer, window);
    let examples = x.len() / layer.inputs();
    let mut patches = Vec::with_capacity(examples * sources.len() * layer.input.channels);
    for example in x.chunks_exact(layer.inputs()) {
        for seen in sources.chunks_exact(window.taps()) {
            for plane in example.chunks_exact(layer.input.pixels()) {
                patches.extend(seen.iter().map(|pixel| pixel.map_or(0.0, |pixel| plane[pixel])));
            }
        }
    }
    patches
}

/// The transpose of [`patches`]: every number of `patches` is added where it was seen.
fn images(layer: &Layer, window: Window, patches: &[f64]) -> Vec<f64> {
    let sources = sources(layer, window);
    let per_example = sources.len() * layer.input.channels;
    let mut x = vec![0.0; patches.len() / per_example * layer.inputs()];
    let mut patch = patches.chunks_exact(window.taps());
    for example in x.chunks_exact_mut(layer.inputs()) {
        for seen in sources.chunks_exact(window.taps()) {
            for (plane, values) in example.chunks_exact_mut(layer.input.pixels()).zip(&mut patch) {
                for (pixel, value) in seen.iter().zip(values) {
                    pixel.iter().for_each(|pixel| plane[*pixel] += value);
                }
            }
        }
    }
    x
}

/// Each matrix `[rows, columns]` of `values` as `[columns, rows]`.
fn transposed(values: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    values
        .chunks_exact(rows * columns)
        .flat_map(|matrix| (0..rows * columns).map(move |i| matrix[i % rows * columns + i / rows]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Extent, Model, ModelSpec, Op, Padding};

    fn layer(input: [usize; 3], filters: usize, kernel: Extent, padding: Padding) -> Layer {
        let stride = if padding == Padding::SAME { 2 } else { 1 };
        let spec = ModelSpec::builder(&input).conv2d(filters, kernel, stride, padding);
        Model::new(spec.dense(1, Activation::Linear)).unwrap().layers()[0].clone()
    }

    fn window(layer: &Layer) -> Window {
        let Op::Conv(window) = layer.op else { panic!("{layer:?} is no convolution") };
        window
    }

    #[test]
    fn stride_two_with_padding_behind_worked_by_hand() {
        let layer = layer([1, 4, 4], 1, 3.into(), Padding::SAME);
        let window = window(&layer);
        assert_eq!((window.before, layer.output.height), ([0, 0], 2));
        // The filter [1 0 0; 0 0 2; 0 3 0] with bias 0.5 on the image 1, 2, …, 16.
        let parameters = [1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.5];
        let x: Vec<f64> = (1..=16).map(f64::from).collect();
        assert_eq!(conv_forward(&layer, window, &parameters, &x), [45.5, 39.5, 39.5, 11.5]);
        let dz = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            conv_backward(&layer, window, &parameters, &dz),
            [1., 0., 2., 0., 0., 0., 2., 0., 3., 3., 4., 6., 0., 0., 6., 0.]
        );
        assert_eq!(
            conv_gradient(&layer, window, &x, &dz),
            [78.0, 88.0, 36.0, 118.0, 128.0, 52.0, 31.0, 34.0, 11.0, 10.0]
        );
    }

    #[test]
    fn channels_filters_and_a_padded_side_worked_by_hand() {
        let layer = layer([2, 1, 2], 2, [1, 2].into(), Padding::Sides([0, 0, 1, 0]));
        let window = window(&layer);
        // A row a filter: two taps of channel 0, two of channel 1. Then the biases.
        let parameters =
            [1.0, 2.0, 3.0, 4.0, /* */ -1.0, 0.0, 0.0, 1.0, /* */ 10.0, 20.0];
        let x: Vec<f64> = (1..=8).map(f64::from).collect();
        assert_eq!(
            conv_forward(&layer, window, &parameters, &x),
            [24.0, 40.0, 23.0, 23.0, /* */ 48.0, 80.0, 27.0, 23.0]
        );
        let dz = [1.0, 0.0, 0.0, 1.0, /* */ 0.0, 2.0, 1.0, 0.0];
        assert_eq!(
            conv_backward(&layer, window, &parameters, &dz),
            [1.0, 0.0, 4.0, 1.0, /* */ 2.0, 4.0, 7.0, 8.0]
        );
        assert_eq!(
            conv_gradient(&layer, window, &x, &dz),
            [10.0, 13.0, 14.0, 19.0, /* */ 1.0, 7.0, 3.0, 11.0, /* */ 3.0, 2.0]
        );
    }
}
