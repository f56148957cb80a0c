//! `average-pool`: the mean of each window.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::pool::{self, Kind};
use crate::layers::window::{Extent, Padding, same};
use crate::layers::{Backward, Before, Forward, LayerType, Left, Made, Place};

/// The mean of each window; padding does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AveragePool {
    /// Pixels of the window.
    pub size: Extent,
    /// Default: the size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Extent>,
    /// Default same.
    #[serde(default = "same")]
    pub padding: Padding,
}

impl LayerType for AveragePool {
    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        pool::infer(before, "average-pool", self.size, self.stride, self.padding)
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
        let sized = |size: usize, stride: Option<usize>, padding| Self {
            size: size.into(),
            stride: stride.map(Into::into),
            padding,
        };
        vec![sized(2, Some(1), Padding::All(0)), sized(3, Some(2), Padding::SAME)]
    }
}
