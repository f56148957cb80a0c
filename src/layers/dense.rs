//! `dense`: y = activation(W x + b). Its kernels are those of all products, [`crate::layers::matrix`].

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::activation::Activation;
use crate::layers::matrix::{matrix_backward, matrix_forward};
use crate::layers::parameters::{Parameters, Reads, Weights};
use crate::layers::shape::Shape;
use crate::layers::window::{Window, above_zero};
use crate::layers::{Backward, Before, Forward, LayerType, Left, Made, Place, is_false};
#[cfg(feature = "onnx")]
use crate::{
    layers::Own,
    onnx::{Attribute, Graph, Value},
};

/// y = activation(W x + b), W of shape `[units, inputs]`. An image is flattened in the order
/// (C, H, W), as PyTorch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Dense {
    /// Numbers that it makes of an example.
    pub units: usize,
    /// Default linear.
    #[serde(default)]
    pub activation: Activation,
    /// Kept as it starts: neither inner nor outer steps change it. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub frozen: bool,
}

impl Dense {
    /// With `units` outputs.
    pub fn new(units: usize, activation: Activation) -> Self {
        Self { units, activation, frozen: false }
    }
}

impl LayerType for Dense {
    fn frozen(&self) -> bool {
        self.frozen
    }

    fn freeze(&mut self) {
        self.frozen = true;
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        above_zero("units", &[self.units])?;
        before.image = false;
        let (channels, taps) = (before.shape.channels, before.shape.pixels());
        let weights = Weights { reads: Reads::All, channels, taps, outputs: self.units };
        Ok(Some(Made {
            name: Some("dense"),
            output: Shape::features(self.units),
            window: Window::POINT,
            parameters: Parameters::Weights(weights),
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
        twin::dense_forward(place, parameters, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, parameters: &[f64], _: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::dense_backward(place, parameters, dz)
    }

    #[cfg(feature = "reference")]
    fn twin_gradient(&self, place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::dense_gradient(place, x, dz)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, _: &Place, graph: &mut Graph, own: &Own<'_>, x: Value) -> Value {
        let x = if x.image { graph.flattened(&x) } else { x };
        let names =
            own.tensors.iter().map(|(it, values)| graph.floats(&it.name, &it.shape, values));
        let names: Vec<String> = names.collect();
        graph.add_with("Gemm", &x, &[&names[0], &names[1]], [("transB", Attribute::Int(1))])
    }

    fn samples() -> Vec<Self> {
        vec![
            Self { units: 1, activation: Activation::Sigmoid, frozen: false },
            Self { units: 6, activation: Activation::Tanh, frozen: false },
        ]
    }
}

/// In float64. A convolution is the same on the patches that its window sees.
#[cfg(feature = "reference")]
pub(super) mod twin {
    use crate::float64::add_scaled;
    use crate::layers::place::Place;

    /// z = x Wᵀ + b, `[N, out]`, for rows `x` `[N, in]`: the examples of a batch, or the patches of a
    /// convolution. `parameters` is the whole canonical set.
    pub fn dense_forward(place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        let [inputs, outputs] = sizes(place);
        let (weight, bias) = weight_and_bias(place, parameters);
        let mut z = Vec::with_capacity(x.len() / inputs * outputs);
        for x_row in rows(x, inputs) {
            let units = weight.chunks_exact(inputs).zip(bias);
            z.extend(units.map(|(weight_row, bias)| bias + dot(weight_row, x_row)));
        }
        z
    }

    /// dL/dx = dz W, `[N, in]`, from `dz` = dL/dz `[N, out]`.
    pub fn dense_backward(place: &Place, parameters: &[f64], dz: &[f64]) -> Vec<f64> {
        let [inputs, outputs] = sizes(place);
        let (weight, _) = weight_and_bias(place, parameters);
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
    pub fn dense_gradient(place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        let [inputs, outputs] = sizes(place);
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
    fn sizes(place: &Place) -> [usize; 2] {
        let weights = place.weights().expect("a layer with weights");
        [weights.inputs(), weights.outputs]
    }

    /// The layer's weight `[out, in]` and bias `[out]`.
    fn weight_and_bias<'a>(place: &Place, parameters: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        let [inputs, outputs] = sizes(place);
        parameters[place.canonical_offset..][..outputs * (inputs + 1)].split_at(outputs * inputs)
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

        #[test]
        fn wide_rows_use_every_element() {
            let a: Vec<f64> = (1..=19).map(f64::from).collect();
            assert_eq!(dot(&a, &a), (1..=19).map(|i| f64::from(i * i)).sum::<f64>());
        }
    }
}
