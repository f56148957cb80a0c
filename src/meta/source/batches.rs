//! Examples of the tasks, put one behind the other: minibatches of the support set, batches of queries.

use crate::error::Result;
use crate::gpu::{BufferList, Gpu, Recording, size_of_f32s};
use crate::kernels::{Axis, BatchRows, InnerSteps, gather_bytes, gather_images, gather_rows};
use crate::meta::query::QueryBatches;
use crate::meta::source::{Origin, TaskBuffers};
use crate::model::Model;
use crate::tasks::Batches;

impl TaskBuffers {
    /// Records what all minibatches are taken from, once the tasks are drawn. The step names the first task.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub(in crate::meta) fn record_support(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        inner: (&InnerSteps, usize),
    ) -> Result<()> {
        let Some(bytes) = &self.bytes else { return Ok(()) };
        let (count, examples) = (self.axis.tasks(), self.batches.support());
        let rows = BatchRows { count, rows: examples, support_rows: examples, ..self.examples() };
        self.record_gather(gpu, out, model, rows, inner, [bytes, &self.support[1]])
    }

    /// Records the minibatches of one inner step of `count` tasks: `x` `[count, batch, in]`, `y`
    /// targets or labels. The step names the first task.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_batch(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        [count, batch]: [usize; 2],
        inner: (&InnerSteps, usize),
        buffers: [&wgpu::Buffer; 2],
    ) -> Result<()> {
        let rows = BatchRows {
            count,
            per_task: 1,
            rows: batch,
            support_rows: batch,
            order_len: Some(self.batches.order_len()),
            ..self.examples()
        };
        match &self.bytes {
            Some(bytes) => {
                gather_bytes(gpu, out, model, rows, inner, [&self.order, bytes], buffers)
            }
            None => self.record_gather(gpu, out, model, rows, inner, buffers),
        }
    }

    /// The buffers of the batches in which queries are predicted, `[G, B, in]` and targets: those of the tasks or new
    /// ones.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room.
    pub(in crate::meta) fn query_buffers(
        &self,
        gpu: &Gpu,
        model: &Model,
        batches: QueryBatches,
    ) -> Result<[wgpu::Buffer; 2]> {
        match holds(&self.origin, batches) {
            true => Ok(self.query.clone()),
            false => batch_buffers(model, batches).allocate(gpu),
        }
    }

    /// Records the batches in which queries are predicted, once `record_sample` has run, into `query_buffers`.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub(in crate::meta) fn record_queries(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        batches: QueryBatches,
        inner: (&InnerSteps, usize),
        [x, y]: &[wgpu::Buffer; 2],
    ) -> Result<()> {
        if holds(&self.origin, batches) {
            return Ok(());
        }
        let rows = BatchRows {
            count: batches.count(),
            per_task: batches.per_task(),
            rows: batches.examples(),
            support_rows: batches.support.unwrap_or(0),
            order_len: None,
            ..self.examples()
        };
        self.record_gather(gpu, out, model, rows, inner, [x, y])
    }

    /// The part of [`BatchRows`] that the tasks decide.
    fn examples(&self) -> BatchRows {
        let queries_per_class = match self.origin {
            Origin::Episodes { queries, .. } | Origin::Listed { queries, .. } => queries,
            _ => self.queries,
        };
        BatchRows {
            count: 0,
            per_task: 1,
            rows: 0,
            support_rows: 0,
            order_len: None,
            examples: [self.batches.support(), self.queries],
            per_class: [self.batches.group, queries_per_class],
        }
    }

    fn record_gather(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        rows: BatchRows,
        inner: (&InnerSteps, usize),
        buffers: [&wgpu::Buffer; 2],
    ) -> Result<()> {
        let order = &self.order;
        match &self.origin {
            Origin::Episodes { images, part, .. } | Origin::Listed { images, part, .. } => {
                let words = &images.part(*part).words;
                let sources = [&self.support[0], &self.query[0], words];
                gather_images(gpu, out, model, images.shape, rows, inner, order, sources, buffers)
            }
            _ => {
                let support = [&self.support[0], &self.support[1]];
                let query = [&self.query[0], &self.query[1]];
                gather_rows(gpu, out, model, rows, inner, order, support, query, buffers)
            }
        }
    }
}

/// Inputs and targets of the batches in which queries are predicted.
pub(super) fn batch_buffers(model: &Model, batches: QueryBatches) -> BufferList<2> {
    let rows = batches.count() * batches.examples();
    BufferList([
        ("query inputs", rows * model.input_words()),
        ("query targets", rows * model.target_words()),
    ])
}

/// Whether the tasks' own buffers hold the batches in which queries are predicted.
pub(super) fn holds(origin: &Origin, batches: QueryBatches) -> bool {
    batches.support.is_none() && origin.has_rows()
}

/// Whether images become bytes once for all steps of a task, instead of in each minibatch: where a first dense layer reads bytes,
/// and all steps together read no fewer images than there are.
pub(super) fn makes_bytes(
    gpu: &Gpu,
    model: &Model,
    origin: &Origin,
    axis: Axis,
    batches: &Batches,
) -> bool {
    let (profile, words) = (gpu.profile(), model.input_words());
    let all = axis.tasks().saturating_mul(batches.support()).saturating_mul(words);
    !origin.has_rows()
        && model.layers()[0].bytes
        && batches.steps.saturating_mul(batches.batch) >= batches.support()
        && size_of_f32s(all) <= profile.largest_binding
        && axis.tasks() <= profile.largest_grid as usize
}
