//! `average-pool`: the mean of each window.

use serde::{Deserialize, Serialize};

use crate::layers::pool::{self, Kind, Pooling};
use crate::layers::window::{Extent, Padding, same};
use crate::layers::{Before, Made};

/// The mean of each window; padding does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
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

impl AveragePool {
    /// Of windows beside each other, with the padding `same`.
    pub fn new(size: impl Into<Extent>) -> Self {
        Self { size: size.into(), stride: None, padding: same() }
    }
}

impl Pooling for AveragePool {
    const KIND: Kind = Kind::Average;

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        pool::infer(before, "average-pool", self.size, self.stride, self.padding)
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
