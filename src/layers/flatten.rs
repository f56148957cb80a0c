//! `flatten`: an image as one row of numbers, for the dense layer that follows (which flattens by itself). It has no layer of
//! its own: what follows it decides how its numbers are held.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::{Backward, Before, Forward, LayerType, Left, Made, Place};
#[cfg(feature = "onnx")]
use crate::{
    layers::Own,
    onnx::{Graph, Value},
};

/// An image as one row of numbers, for the dense layer that follows (which flattens by itself).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Flatten {}

impl LayerType for Flatten {
    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        before.image = false;
        Ok(None)
    }

    fn forward(&self, _: &Gpu, _: &mut Recording, _: &Place, _: &Forward<'_>) -> Result<()> {
        Ok(())
    }

    fn backward(&self, _: &Gpu, _: &mut Recording, _: &Place, _: &Backward<'_>) -> Result<Left> {
        Ok(Left::InPlace)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, _: &Place, _: &[f64], x: &[f64]) -> Vec<f64> {
        x.to_vec()
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, _: &Place, _: &[f64], _: &[f64], dz: &[f64]) -> Vec<f64> {
        dz.to_vec()
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, _: &Place, graph: &mut Graph, _: &Own<'_>, x: Value) -> Value {
        graph.flattened(&x)
    }

    fn samples() -> Vec<Self> {
        vec![Self {}]
    }
}
