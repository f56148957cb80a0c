//! Training, validation, test.

use serde::{Deserialize, Serialize};

/// A part of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPart {
    /// What tasks are trained on.
    Train,
    /// What they are validated on during training.
    Val,
    /// What they are evaluated on.
    Test,
}

/// Which classes test tasks are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestClasses {
    /// Others than those of training.
    #[default]
    Own,
    /// They may be those of training: in examples of their own, or, where there is no test part, in the same ones.
    Train,
}

impl TestClasses {
    pub(super) fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

impl SplitPart {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}
