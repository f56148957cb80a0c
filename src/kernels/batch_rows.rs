//! `shaders/lib/batch_row.wgsl`: which examples of a task make a batch.

use crate::gpu::Source;
use crate::kernels::INNER_STEP;

/// Batches of support examples, of queries, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRows {
    /// Batches of all tasks.
    pub count: usize,
    /// Batches of a task.
    pub per_task: usize,
    /// Rows B of a batch.
    pub rows: usize,
    /// Rows of a batch that are support examples; the others are queries.
    pub support_rows: usize,
    /// Length of a task's order of support examples, or none: row b is then example b.
    pub order_len: Option<usize>,
    /// Support and query examples of a task.
    pub examples: [usize; 2],
    /// Support and query examples of a class: an example's label is its number divided by this.
    pub per_class: [usize; 2],
}

impl BatchRows {
    /// Adds the library and its constants.
    pub(super) fn library(&self, source: Source) -> Source {
        source
            .library(INNER_STEP)
            .library(shader!("lib/batch_row.wgsl"))
            .constant("GROUPS", self.per_task)
            .constant("BATCH", self.rows)
            .constant("SUPPORT_ROWS", self.support_rows)
            .constant("ORDERED", self.order_len.is_some())
            .constant("ORDER_STRIDE", self.order_len.unwrap_or(0))
            .constant("SUPPORT", self.examples[0])
            .constant("QUERIES", self.examples[1])
            .constant("PER_CLASS", self.per_class[0].max(1))
            .constant("PER_CLASS_QUERIES", self.per_class[1].max(1))
    }
}
