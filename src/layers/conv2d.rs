//! `conv2d`: a convolution with bias, the cross-correlation of `torch.nn.Conv2d`. Its kernels are those of all products,
//! [`crate::layers::matrix`].

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::activation::Activation;
use crate::layers::matrix::{matrix_backward, matrix_forward};
use crate::layers::parameters::{Parameters, Reads, Weights};
use crate::layers::shape::Shape;
use crate::layers::window::{Extent, Padding, above_zero, same, window};
use crate::layers::{Backward, Before, Forward, LayerType, Left, Made, Place, is_false};
#[cfg(feature = "onnx")]
use crate::{
    layers::Own,
    onnx::{Graph, Value},
};

fn one() -> Extent {
    Extent::Square(1)
}

/// A convolution with bias, W of shape `[filters, C, kernel height, kernel width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Conv2d {
    /// Channels of the output.
    pub filters: usize,
    /// Pixels of the kernel.
    pub kernel: Extent,
    /// Default 1.
    #[serde(default = "one")]
    pub stride: Extent,
    /// Default same.
    #[serde(default = "same")]
    pub padding: Padding,
    /// Default linear.
    #[serde(default)]
    pub activation: Activation,
    /// Kept as it starts: neither inner nor outer steps change it. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub frozen: bool,
}

impl Conv2d {
    /// With stride 1, as many pixels as before, and no activation.
    pub fn new(filters: usize, kernel: impl Into<Extent>) -> Self {
        Self {
            filters,
            kernel: kernel.into(),
            stride: one(),
            padding: same(),
            activation: Activation::Linear,
            frozen: false,
        }
    }
}

impl LayerType for Conv2d {
    fn frozen(&self) -> bool {
        self.frozen
    }

    fn freeze(&mut self) {
        self.frozen = true;
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        above_zero("filters", &[self.filters])?;
        let (window, output) = window(before, "conv2d", self.kernel, self.stride, self.padding)?;
        let (channels, taps) = (before.shape.channels, window.taps());
        let (reads, channels, taps) = match before.first && channels < 4 {
            true => (Reads::NarrowWindow, channels * taps, 1),
            false => (Reads::Window, channels, taps),
        };
        Ok(Some(Made {
            name: Some("conv"),
            output: Shape { channels: self.filters, ..output },
            window,
            parameters: Parameters::Weights(Weights {
                reads,
                channels,
                taps,
                outputs: self.filters,
            }),
            activation: self.activation,
        }))
    }

    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()> {
        matrix_forward(gpu, out, place, pass)
    }

    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        matrix_backward(gpu, out, place, pass)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        twin::conv_forward(place, parameters, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, parameters: &[f64], _: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::conv_backward(place, parameters, dz)
    }

    #[cfg(feature = "reference")]
    fn twin_gradient(&self, place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::conv_gradient(place, x, dz)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, place: &Place, graph: &mut Graph, own: &Own<'_>, x: Value) -> Value {
        let names =
            own.tensors.iter().map(|(it, values)| graph.floats(&it.name, &it.shape, values));
        let names: Vec<String> = names.collect();
        graph.add_with("Conv", &x, &[&names[0], &names[1]], place.onnx_window())
    }

    fn samples() -> Vec<Self> {
        let sized = |filters, kernel: usize, stride: usize, padding, activation| Self {
            filters,
            kernel: kernel.into(),
            stride: stride.into(),
            padding,
            activation,
            frozen: false,
        };
        vec![
            sized(1, 1, 1, Padding::All(0), Activation::Tanh),
            sized(6, 3, 2, Padding::SAME, Activation::Gelu),
        ]
    }
}

/// In float64: the dense product of the patches that the window sees, with zeros around the image.
#[cfg(feature = "reference")]
mod twin {
    use crate::layers::dense::twin::{dense_backward, dense_forward, dense_gradient};
    use crate::layers::place::Place;
    use crate::layers::window::sources;

    /// z = W ⋆ x + b, `[B, C', H', W']`, for `x` `[B, C, H, W]`: the cross-correlation of
    /// `torch.nn.Conv2d`. `parameters` is the whole canonical set.
    pub fn conv_forward(place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        let z = dense_forward(place, parameters, &patches(place, x));
        transposed(&z, [place.output.pixels(), place.output.channels])
    }

    /// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C', H', W']`.
    pub fn conv_backward(place: &Place, parameters: &[f64], dz: &[f64]) -> Vec<f64> {
        let dz = transposed(dz, [place.output.channels, place.output.pixels()]);
        images(place, &dense_backward(place, parameters, &dz))
    }

    /// dL/dW `[C', C, kernel height, kernel width]`, then dL/db `[C']`: the layer's canonical tensors
    /// one after the other. `x` is the layer's input `[B, C, H, W]`, `dz` = dL/dz `[B, C', H', W']`.
    pub fn conv_gradient(place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        let dz = transposed(dz, [place.output.channels, place.output.pixels()]);
        dense_gradient(place, &patches(place, x), &dz)
    }

    /// What the window sees at each output pixel, in the order of a filter's weights:
    /// `[B·H'·W', C·taps]` from `x` `[B, C, H, W]`.
    fn patches(place: &Place, x: &[f64]) -> Vec<f64> {
        let sources = sources([place.input, place.output], place.window);
        let examples = x.len() / place.inputs();
        let mut patches = Vec::with_capacity(examples * sources.len() * place.input.channels);
        for example in x.chunks_exact(place.inputs()) {
            for seen in sources.chunks_exact(place.window.taps()) {
                for plane in example.chunks_exact(place.input.pixels()) {
                    patches
                        .extend(seen.iter().map(|pixel| pixel.map_or(0.0, |pixel| plane[pixel])));
                }
            }
        }
        patches
    }

    /// The transpose of [`patches`]: every number of `patches` is added where it was seen.
    fn images(place: &Place, patches: &[f64]) -> Vec<f64> {
        let sources = sources([place.input, place.output], place.window);
        let per_example = sources.len() * place.input.channels;
        let mut x = vec![0.0; patches.len() / per_example * place.inputs()];
        let mut patch = patches.chunks_exact(place.window.taps());
        for example in x.chunks_exact_mut(place.inputs()) {
            for seen in sources.chunks_exact(place.window.taps()) {
                for (plane, values) in
                    example.chunks_exact_mut(place.input.pixels()).zip(&mut patch)
                {
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
            .flat_map(|matrix| {
                (0..rows * columns).map(move |i| matrix[i % rows * columns + i / rows])
            })
            .collect()
    }
}
