//! `global-pool`: the mean of each channel over the whole image, as features.

use serde::{Deserialize, Serialize};

use crate::layers::pool::{self, Kind, Pooling};
use crate::layers::window::{Extent, Padding};
use crate::layers::{Before, Made};

/// The mean of each channel over the whole image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GlobalPool {}

impl Pooling for GlobalPool {
    const KIND: Kind = Kind::Average;

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        let size = Extent::Sides([before.shape.height, before.shape.width]);
        let made = pool::infer(before, "global-pool", size, None, Padding::VALID)?;
        before.image = false;
        Ok(made)
    }

    fn samples() -> Vec<Self> {
        vec![Self {}]
    }
}
