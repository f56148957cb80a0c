//! `activation`: a function of each number; the layer before it does it, where that has none.

use serde::{Deserialize, Serialize};

use crate::layers::activation::Activation;
use crate::layers::parameters::Parameters;
use crate::layers::pool::{Kind, Pooling};
use crate::layers::window::Window;
use crate::layers::{Before, Made};

/// A function of each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Function {
    /// Which one.
    pub function: Activation,
}

impl Function {
    /// Of `function` alone.
    pub fn new(function: Activation) -> Self {
        Self { function }
    }
}

impl Pooling for Function {
    const KIND: Kind = Kind::Average;

    fn joins(&self) -> Option<Activation> {
        Some(self.function)
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        Ok(Some(Made {
            name: None,
            output: before.shape,
            // The mean of a window of one pixel is that pixel.
            window: Window::POINT,
            parameters: Parameters::None,
            activation: self.function,
        }))
    }

    fn samples() -> Vec<Self> {
        vec![Self { function: Activation::Gelu }, Self { function: Activation::Relu }]
    }
}
