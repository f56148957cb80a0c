//! Tasks of fewer examples than there is room for.

use crate::meta::source::TaskBuffers;
use crate::tasks::Batches;

impl TaskBuffers {
    /// Support and query examples of a task that are there ([`crate::meta::Adaptation::set_sizes`]).
    pub(in crate::meta) fn used(&self) -> [usize; 2] {
        self.used
    }

    /// Whether kernels may be told how many examples are there.
    pub(in crate::meta) fn is_tellable(&self) -> bool {
        self.tellable
    }

    /// Whether the kernels are told how many examples are there, instead of being made for it.
    pub(in crate::meta) fn is_told(&self) -> bool {
        self.some
    }

    /// Examples of a minibatch: those that it has room for, or all that there are.
    pub(in crate::meta) fn minibatch(&self) -> usize {
        let Batches { batch, group, .. } = self.batches;
        // A minibatch of more than all examples has some of them several times.
        if batch > group { batch } else { batch.min(self.used[0]) }
    }

    /// The same buffers with so many support and query examples of a task: for kernels that are told, or where they are
    /// all that there is room for, for kernels that are made for it.
    pub(in crate::meta) fn told(&self, used: [usize; 2]) -> Self {
        let some = used != [self.batches.support(), self.queries];
        Self { used, some, ..self.clone() }
    }

    /// The same buffers for kernels that are made for so many support and query examples of a task, in minibatches of
    /// `batch`.
    pub(in crate::meta) fn made_for(&self, used: [usize; 2], batch: usize) -> Self {
        let [group, queries] = used;
        let batches = Batches { group, batch, ..self.batches.clone() };
        Self { used, batches, queries, ..self.clone() }
    }
}
