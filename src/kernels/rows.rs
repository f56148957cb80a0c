//! `shaders/lib/rows_*.wgsl`: which rows of a batch count.

use crate::gpu::Source;
use crate::kernels::RUN_STEP;

/// What the rows of a batch are, where it need not be full: the settings of the run say how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Support examples of a task.
    Support,
    /// Examples of a minibatch.
    Minibatch,
    /// Queries of a task.
    Queries,
}

impl Rows {
    /// Adds the library: for a batch that is full, or for one of which `some` rows count. A loss is the mean of
    /// `numbers`, a batch has `stride` rows.
    pub(super) fn library(
        some: Option<Self>,
        source: Source,
        stride: usize,
        numbers: usize,
    ) -> Source {
        let Some(rows) = some else {
            return source.library(shader!("lib/rows_all.wgsl")).constant("LOSS_NUMBERS", numbers);
        };
        source
            .library(shader!("lib/rows_some.wgsl"))
            .constant("ROW_STRIDE", stride)
            .constant("COUNTED", rows as usize)
    }

    /// The same for a kernel that has no settings of the run; they are its binding 5.
    pub(super) fn library_behind(
        some: Option<Self>,
        source: Source,
        stride: usize,
        numbers: usize,
    ) -> Source {
        let source = Self::library(some, source, stride, numbers);
        match some {
            Some(_) => source.library(RUN_STEP).library(shader!("lib/runs_behind.wgsl")),
            None => source,
        }
    }
}
