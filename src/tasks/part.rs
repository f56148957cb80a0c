//! Training, validation, test.

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
