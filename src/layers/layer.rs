//! A checked layer: its type and its place in the network.

use std::ops::Deref;

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::activation::Activation;
use crate::layers::pass::{Backward, Forward, Left};
use crate::layers::place::Place;
use crate::layers::{Before, LayerSpec, Made};
#[cfg(feature = "onnx")]
use crate::{
    layers::{Own, TensorInfo},
    onnx::{Graph, Value},
};

/// A layer with its place in the network and in both parameter layouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    spec: LayerSpec,
    place: Place,
}

impl Deref for Layer {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Layer {
    pub(crate) fn new(spec: LayerSpec, place: Place) -> Self {
        Self { spec, place }
    }

    /// As its user described it.
    pub fn spec(&self) -> &LayerSpec {
        &self.spec
    }

    /// Gives it the activation of the layer behind it.
    pub(crate) fn set_activation(&mut self, activation: Activation) {
        self.place.activation = activation;
    }

    /// Says how kernels hold its inputs.
    pub(crate) fn set_bytes(&mut self, bytes: bool) {
        self.place.bytes = bytes;
    }

    /// Whether it is a dense layer.
    pub fn is_dense(&self) -> bool {
        matches!(self.spec, LayerSpec::Dense(_))
    }

    /// Whether its parameters are kept as they start.
    pub fn is_frozen(&self) -> bool {
        self.spec.kind().frozen()
    }

    /// Whether it has parameters that training changes.
    pub fn is_trained(&self) -> bool {
        self.parameter_count() > 0 && !self.is_frozen()
    }

    /// Whether what it makes of an example depends on the other examples of the batch.
    pub fn couples_examples(&self) -> bool {
        self.spec.kind().couples_examples()
    }

    /// Floats that it keeps of a batch of `examples` for the way back, beside its outputs.
    pub fn statistics(&self, examples: usize) -> usize {
        self.spec.kind().statistics(self, examples)
    }

    /// Records its forward pass.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_forward(&self, gpu: &Gpu, out: &mut Recording, pass: &Forward<'_>) -> Result<()> {
        self.spec.kind().forward(gpu, out, self, pass)
    }

    /// Records its backward pass with the inner step on its parameters, and says where it leaves the gradient by its inputs.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        self.spec.kind().backward(gpu, out, self, pass)
    }
}

#[cfg(feature = "onnx")]
impl Layer {
    /// Adds it to `graph`: what it makes of the value `x` with its part of `parameters`, the whole canonical set.
    /// `statistics` are mean and variance of each channel, where those of the batch at hand are not to be taken.
    pub(crate) fn onnx(
        &self,
        graph: &mut Graph,
        parameters: &[f32],
        statistics: Option<&[Vec<f32>; 2]>,
        x: Value,
    ) -> Value {
        let numbers = |info: TensorInfo| {
            let own = &parameters[info.offset..][..info.elements()];
            (info, own)
        };
        let tensors = self.tensors().into_iter().map(numbers).collect();
        let z = self.spec.kind().onnx(self, graph, &Own { tensors, statistics }, x);
        self.activation.onnx(graph, z)
    }
}

#[cfg(feature = "reference")]
impl Layer {
    /// The float64 twin of the forward pass: z `[B, C, H, W]`, before the activation, for `x` `[B, C, H, W]`. `parameters` is
    /// the whole canonical set.
    pub fn twin_forward(&self, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        self.spec.kind().twin_forward(self, parameters, x)
    }

    /// dL/dx, like the layer's input `x`, from `dz` = dL/dz.
    pub fn twin_backward(&self, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
        self.spec.kind().twin_backward(self, parameters, x, dz)
    }

    /// The gradient by the layer's own parameters, its canonical tensors one after the other.
    pub fn twin_gradient(&self, x: &[f64], dz: &[f64]) -> Vec<f64> {
        self.spec.kind().twin_gradient(self, x, dz)
    }
}

impl LayerSpec {
    /// The activation that it is, if it is nothing else: the layer before it can do that.
    pub(crate) fn joins(&self) -> Option<Activation> {
        self.kind().joins()
    }

    /// Checks it behind `before` and says what it makes; nothing if it has no layer of its own.
    ///
    /// # Errors
    /// A sentence that names what does not fit, and what would.
    pub(crate) fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        self.kind().infer(before)
    }
}
