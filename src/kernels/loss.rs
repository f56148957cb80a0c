//! `shaders/loss_mse.wgsl` and `shaders/loss_cross_entropy.wgsl`: loss, accuracy and gradient.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{
    Argument, INNER_STEP, InnerSteps, Rows, RunSteps, call, loss_numbers, vectors,
};
use crate::model::{Loss, padded};

/// Sizes and buffers of a loss over all tasks.
#[derive(Clone, Copy, Debug)]
pub struct LossCall<'a> {
    /// Which loss; it decides how targets are stored.
    pub loss: Loss,
    /// Batches T, one a task.
    pub tasks: usize,
    /// Rows B of a batch that count: one of each `row_step`.
    pub batch: usize,
    /// A row is the last of so many ones of the outputs and targets.
    pub row_step: usize,
    /// Predictions or logits of one example.
    pub outputs: usize,
    /// Columns of `losses`.
    pub steps: usize,
    /// The settings of the run, where a batch need not be full, and what its rows are.
    pub some: Option<(&'a RunSteps, Rows)>,
    /// Whether the outputs are replaced by their gradient.
    pub gradient: bool,
    /// Names the column of `losses`.
    pub inner: (&'a InnerSteps, usize),
    /// `[T, B, row_step, outputs]`, padded.
    pub outputs_buffer: &'a wgpu::Buffer,
    /// `[T, B, row_step, outputs]` padded numbers, or `[T, B, row_step]` labels.
    pub targets: &'a wgpu::Buffer,
    /// [T, steps]: mean loss.
    pub losses: &'a wgpu::Buffer,
    /// [T, steps]: share of right answers (cross-entropy alone).
    pub hits: &'a wgpu::Buffer,
}

/// Records the loss.
///
/// # Errors
/// See [`call`].
pub fn loss(gpu: &Gpu, recording: &mut Recording, c: &LossCall<'_>) -> Result<()> {
    let source = match c.loss {
        Loss::Mse => Source::new("loss_mse", shader!("loss_mse.wgsl")),
        Loss::CrossEntropy => Source::new("loss_cross_entropy", shader!("loss_cross_entropy.wgsl")),
    };
    let some = c.some.map(|(_, rows)| rows);
    let numbers = loss_numbers(c.loss, c.batch, c.outputs);
    let source = Rows::library_behind(some, source, c.batch, numbers)
        .library(INNER_STEP)
        .constant("BATCH", c.batch)
        .constant("ROW_STEP", c.row_step)
        .constant("OUTPUTS", c.outputs)
        .constant("OUT4", vectors(c.outputs))
        .constant("STEPS", c.steps)
        .constant("GRADIENT", c.gradient);
    let mut arguments = vec![
        Argument::Inner(c.inner.0, c.inner.1),
        Argument::Buffer("outputs", c.outputs_buffer),
        Argument::Buffer("targets", c.targets),
        Argument::Buffer("losses", c.losses),
        Argument::Buffer("hits", c.hits),
    ];
    arguments.extend(c.some.map(|(runs, _)| Argument::Runs(runs)));
    let rows = c.batch;
    let outputs = padded(c.outputs) * (1 + usize::from(c.gradient));
    let targets = c.loss.target_words(c.outputs);
    let work = Work::words(c.tasks * (rows * (outputs + targets) + 2));
    call(gpu, recording, &source, &arguments, [c.tasks, 1, 1], work)
}
