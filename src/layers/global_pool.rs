//! `global-pool`: the mean of each channel over the whole image, as features.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::pool::{self, Kind};
use crate::layers::window::{Extent, Padding};
use crate::layers::{Backward, Before, Forward, LayerType, Left, Made, Place};

/// The mean of each channel over the whole image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalPool {}

impl LayerType for GlobalPool {
    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        let size = Extent::Sides([before.shape.height, before.shape.width]);
        let made = pool::infer(before, "global-pool", size, None, Padding::VALID)?;
        before.image = false;
        Ok(made)
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
        vec![Self {}]
    }
}
