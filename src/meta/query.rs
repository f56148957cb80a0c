//! A forward pass over the query sets of all tasks, with loss and accuracy.

use crate::error::Result;
use crate::gpu::{BufferList, Gpu, Memory, Pending, Recording};
use crate::kernels::{Batch, InnerStep, InnerSteps, LossCall, Rows, RunSteps, loss};
use crate::meta::layers::{Keep, Layers};
use crate::model::Model;

/// Rows of floats in a buffer: row i begins at `first + i · stride`. For predictions `[T, Q, out]` i is t · Q + q, Q counting
/// the queries that there is room for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DeviceRows<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// Where the first row begins, in floats.
    pub first: usize,
    /// From one row to the next, in floats.
    pub stride: usize,
}

/// In which batches queries are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryBatches {
    pub tasks: usize,
    /// Queries Q of a task.
    pub queries: usize,
    /// Support examples in the batch of each query; none if the queries of a task share a batch.
    pub support: Option<usize>,
}

impl QueryBatches {
    /// Batches of a task.
    pub fn per_task(&self) -> usize {
        if self.support.is_some() { self.queries } else { 1 }
    }

    /// Batches G of all tasks.
    pub fn count(&self) -> usize {
        self.tasks * self.per_task()
    }

    /// Examples of a batch.
    pub fn examples(&self) -> usize {
        self.support.map_or(self.queries, |support| support + 1)
    }

    /// A query is the last of so many rows of the outputs.
    pub fn row_step(&self) -> usize {
        self.support.map_or(1, |support| support + 1)
    }
}

/// Buffers of one pass over `[T, Q]` queries.
#[derive(Clone, Debug)]
pub struct QueryPass {
    batches: QueryBatches,
    inner: InnerSteps,
    layers: Layers,
    /// [T]: mean loss.
    pub losses: wgpu::Buffer,
    /// [T]: share of right answers.
    pub hits: wgpu::Buffer,
}

impl QueryPass {
    /// Adds the large buffers of [`QueryPass::new`] to `memory`.
    pub fn plan(memory: &mut Memory, model: &Model, batches: QueryBatches) {
        Layers::plan(memory, model, Keep::Nothing, batches.count(), batches.examples());
        Self::buffers(batches).plan(memory);
    }

    fn buffers(batches: QueryBatches) -> BufferList<2> {
        BufferList([("query losses", batches.tasks), ("query accuracies", batches.tasks)])
    }

    /// Allocates a pass.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room.
    pub fn new(gpu: &Gpu, model: &Model, batches: QueryBatches) -> Result<Self> {
        let step = InnerStep { index: 0, order_start: 0, last: 1, first_task: 0 };
        let [losses, hits] = Self::buffers(batches).allocate(gpu)?;
        Ok(Self {
            batches,
            inner: InnerSteps::new(gpu, &[step])?,
            layers: Layers::new(gpu, model, Keep::Nothing, batches.count(), batches.examples())?,
            losses,
            hits,
        })
    }

    /// Queries Q of a task that it predicts.
    pub fn queries(&self) -> usize {
        self.batches.queries
    }

    /// The same buffers for fewer queries, or fewer support examples beside them.
    pub fn made_for(&self, batches: QueryBatches) -> Self {
        Self { batches, ..self.clone() }
    }

    /// Records the forward pass of parameters `theta` `[T, packed]` on `x` `[G, B, in]`.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        theta: &wgpu::Buffer,
        x: &wgpu::Buffer,
    ) -> Result<()> {
        let batch = Batch {
            count: self.batches.count(),
            sharers: self.batches.per_task(),
            examples: self.batches.examples(),
            stride: model.packed_len() / 4,
            inner: self.step(),
        };
        self.layers.forward(gpu, out, batch, theta, x, model.layers().len())
    }

    /// Records loss and accuracy of the outputs against `targets` (values `[G, B, out]` or labels); of all queries, or of
    /// as many as `told`, the settings of the run.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_loss(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        targets: &wgpu::Buffer,
        told: Option<&RunSteps>,
    ) -> Result<()> {
        loss(
            gpu,
            out,
            &LossCall {
                loss: model.loss(),
                tasks: self.batches.tasks,
                batch: self.batches.queries,
                row_step: self.batches.row_step(),
                outputs: model.outputs(),
                steps: 1,
                some: told.map(|runs| (runs, Rows::Queries)),
                gradient: false,
                inner: self.step(),
                outputs_buffer: self.layers.outputs(),
                targets,
                losses: &self.losses,
                hits: &self.hits,
            },
        )
    }

    /// Where predictions or logits are.
    pub fn rows(&self, model: &Model) -> DeviceRows<'_> {
        let (step, head) = (self.batches.row_step(), &model.layers()[model.layers().len() - 1]);
        let width = head.outputs_padded();
        DeviceRows {
            buffer: self.layers.outputs(),
            first: (step - 1) * width,
            stride: step * width,
        }
    }

    /// Asks for predictions or logits: `[T, Q, out]`.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room for the staging buffer.
    pub fn ask_outputs(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        model: &Model,
    ) -> Result<Pending<Vec<f32>>> {
        let QueryBatches { tasks, queries, .. } = self.batches;
        let (DeviceRows { buffer, first, stride }, outputs) = (self.rows(model), model.outputs());
        let values = Pending::record(gpu, encoder, buffer, 0, tasks * queries * stride)?;
        Ok(values.and_then(move |values: Vec<f32>| {
            let rows = values.chunks_exact(stride);
            Ok(rows.flat_map(|row| row[first..][..outputs].to_vec()).collect())
        }))
    }

    /// A settings buffer with one step, for kernels that need one.
    pub fn step(&self) -> (&InnerSteps, usize) {
        (&self.inner, 0)
    }
}
