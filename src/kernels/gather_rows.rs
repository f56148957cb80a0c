//! `shaders/gather_rows.wgsl`: one minibatch of every task from rows of numbers.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{
    Argument, BLOCK, INNER_STEP, InnerSteps, TARGETS_LABELS, TARGETS_VALUES, call, vectors,
};
use crate::model::{Loss, Model};
use crate::tasks::Batches;

/// Records batch_x `[T, B, in]` and batch_y (`[T, B, out]` or labels `[T, B]`) = the rows of the support
/// set that the task's order names from the inner step's start on.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn gather_rows(
    gpu: &Gpu,
    recording: &mut Recording,
    model: &Model,
    batches: &Batches,
    [tasks, batch]: [usize; 2],
    (inner, step): (&InnerSteps, usize),
    order: &wgpu::Buffer,
    [support_x, support_y]: [&wgpu::Buffer; 2],
    [batch_x, batch_y]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let (library, targets) = targets(model);
    let columns = model.inputs_padded() / 4;
    let source = Source::new("gather_rows", include_str!("../../shaders/gather_rows.wgsl"))
        .library(INNER_STEP)
        .library(library)
        .constant("BLOCK", BLOCK)
        .constant("BATCH", batch)
        .constant("IN4", columns)
        .constant("TARGETS", targets)
        .constant("SUPPORT", batches.support())
        .constant("ORDER_STRIDE", batches.order_len());
    let arguments = [
        Argument::Inner(inner, step),
        Argument::In(order),
        Argument::In(support_x),
        Argument::In(support_y),
        Argument::Out(batch_x),
        Argument::Out(batch_y),
    ];
    let blocks = (batch * columns.max(targets)).div_ceil(BLOCK);
    call(gpu, recording, &source, &arguments, [blocks, tasks, 1])
}

/// The type of a target, and how many of them an example has.
pub(super) fn targets(model: &Model) -> (&'static str, usize) {
    match model.loss() {
        Loss::Mse => (TARGETS_VALUES, vectors(model.outputs())),
        Loss::CrossEntropy => (TARGETS_LABELS, 1),
    }
}
