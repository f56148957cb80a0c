//! `activation`: a function of each number; the layer before it does it, where that has none.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::activation::Activation;
use crate::layers::parameters::Parameters;
use crate::layers::pool::{self, Kind};
use crate::layers::window::Window;
use crate::layers::{Backward, Before, Forward, LayerType, Left, Made, Place};

/// A function of each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Which one.
    pub function: Activation,
}

impl LayerType for Function {
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

    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()> {
        pool::pool_forward(gpu, out, place, Kind::Average, pass)
    }

    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        pool::pool_backward(gpu, out, place, Kind::Average, pass)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, _: &[f64], x: &[f64]) -> Vec<f64> {
        pool::twin_forward(place, Kind::Average, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, _: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
        pool::twin_backward(place, Kind::Average, x, dz)
    }

    fn samples() -> Vec<Self> {
        vec![Self { function: Activation::Gelu }, Self { function: Activation::Relu }]
    }
}
