//! `layer-norm` (Ba, Kiros and Hinton 2016): a group-norm of one group whose scale and shift have a number for each number of
//! an example.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::activation::Activation;
use crate::layers::group_norm::{self, Groups, small_epsilon};
use crate::layers::parameters::Parameters;
use crate::layers::window::Window;
use crate::layers::{
    Backward, Before, Forward, LayerType, Left, Made, Place, check_norm, is_false,
};
#[cfg(feature = "onnx")]
use crate::{
    layers::{Own, Shape},
    onnx::{Attribute, Graph, Value},
};

/// γ ⊙ (x − mean) / √(variance + ε) + β with the mean and the (biased) variance of all numbers of an example; γ and β
/// have the example's shape (`torch.nn.LayerNorm` of all but the batch's axis).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LayerNorm {
    /// Default 1e-5.
    #[serde(default = "small_epsilon")]
    pub epsilon: f32,
    /// Default linear.
    #[serde(default)]
    pub activation: Activation,
    /// Kept as it starts: neither inner nor outer steps change it. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub frozen: bool,
}

impl LayerNorm {
    /// With ε = 1e-5.
    pub fn new(activation: Activation) -> Self {
        Self { epsilon: small_epsilon(), activation, frozen: false }
    }

    fn groups(&self) -> Groups {
        Groups { count: 1, epsilon: self.epsilon, per_number: true }
    }
}

impl LayerType for LayerNorm {
    fn frozen(&self) -> bool {
        self.frozen
    }

    fn freeze(&mut self) {
        self.frozen = true;
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        check_norm(before, "layer-norm", self.epsilon)?;
        Ok(Some(Made {
            name: Some("norm"),
            output: before.shape,
            window: Window::POINT,
            parameters: Parameters::Affine(before.shape),
            activation: self.activation,
        }))
    }

    fn statistics(&self, _: &Place, examples: usize) -> usize {
        self.groups().statistics(examples)
    }

    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()> {
        group_norm::group_norm_forward(gpu, out, place, self.groups(), pass)
    }

    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        group_norm::group_norm_backward(gpu, out, place, self.groups(), pass)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        group_norm::twin_forward(place, self.groups(), parameters, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
        group_norm::twin_backward(place, self.groups(), parameters, x, dz)
    }

    #[cfg(feature = "reference")]
    fn twin_gradient(&self, place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        group_norm::twin_gradient(place, self.groups(), x, dz)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, place: &Place, graph: &mut Graph, own: &Own<'_>, x: Value) -> Value {
        let Shape { channels, height, width } = place.output;
        let names = own.tensors.iter().map(|(it, values)| {
            let shape = if x.image { vec![channels, height, width] } else { it.shape.clone() };
            graph.floats(&it.name, &shape, values)
        });
        let names: Vec<String> = names.collect();
        let settings = [("axis", Attribute::Int(1)), ("epsilon", Attribute::Float(self.epsilon))];
        graph.add_with("LayerNormalization", &x, &[&names[0], &names[1]], settings)
    }

    fn samples() -> Vec<Self> {
        vec![
            Self { epsilon: 0.1, activation: Activation::Tanh, frozen: false },
            Self::new(Activation::Gelu),
        ]
    }
}
