//! Listed tasks over images.

use std::path::PathBuf;

use crate::tasks::SplitPart;

/// A list of tasks by the numbers of their images in an image set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episodes {
    /// The file that they are from, for messages.
    pub path: PathBuf,
    /// The part of the split that all their classes are of.
    pub part: SplitPart,
    /// Classes of a task.
    pub way: usize,
    /// Support examples a class.
    pub shots: usize,
    /// Query examples a class.
    pub queries: usize,
    /// `[T, way · shots]`: shot s of label n is at n · shots + s.
    pub support: Vec<u32>,
    /// `[T, way · queries]`: query q of label n is at n · queries + q.
    pub query: Vec<u32>,
}

impl Episodes {
    /// Number of tasks T.
    pub fn len(&self) -> usize {
        self.support.len() / self.way.saturating_mul(self.shots).max(1)
    }

    /// Whether there are no tasks.
    pub fn is_empty(&self) -> bool {
        self.support.is_empty()
    }
}
