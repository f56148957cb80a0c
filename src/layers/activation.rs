//! The function of each number behind a layer's operation.

use serde::{Deserialize, Serialize};

#[cfg(feature = "onnx")]
use crate::onnx::{Graph, Value};

/// Activations and their derivatives in WGSL.
pub(crate) const ACTIVATION: &str = shader!("lib/activation.wgsl");

/// The function after a layer's affine part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The identity: what the last layer has.
    #[default]
    Linear,
    /// tanh z.
    Tanh,
    /// max(z, 0), with derivative 0 at 0.
    Relu,
    /// 1 / (1 + e^−z).
    Sigmoid,
    /// z · Φ(z) with the exact normal distribution function Φ (PyTorch's default form).
    Gelu,
}

impl Activation {
    /// Its number in `shaders/lib/activation.wgsl`.
    pub(crate) fn kind(self) -> usize {
        match self {
            Self::Linear => 0,
            Self::Tanh => 1,
            Self::Relu => 2,
            Self::Sigmoid => 3,
            Self::Gelu => 4,
        }
    }

    /// Adds it to `graph`, of the value `x`.
    #[cfg(feature = "onnx")]
    pub(crate) fn onnx(self, graph: &mut Graph, x: Value) -> Value {
        match self {
            Self::Linear => x,
            Self::Tanh => graph.add("Tanh", &x, &[]),
            Self::Relu => graph.add("Relu", &x, &[]),
            Self::Sigmoid => graph.add("Sigmoid", &x, &[]),
            Self::Gelu => {
                // x · (1 + erf(x / √2)) / 2
                let [root, one, half] =
                    [std::f32::consts::SQRT_2, 1.0, 0.5].map(|value| graph.number(value));
                let scaled = graph.add("Div", &x, &[&root]);
                let erf = graph.add("Erf", &scaled, &[]);
                let share = graph.add("Add", &erf, &[&one]);
                let share = graph.add("Mul", &share, &[&half]);
                graph.combine("Mul", &x, &share)
            }
        }
    }
}
