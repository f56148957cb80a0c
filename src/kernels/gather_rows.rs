//! `shaders/gather_rows.wgsl`: batches of every task from rows of numbers.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{
    Argument, BLOCK, BatchRows, InnerSteps, TARGETS_LABELS, TARGETS_VALUES, call, vectors,
};
use crate::model::{Loss, Model};

/// Records batch_x `[G, B, in]` and batch_y (`[G, B, out]` or labels `[G, B]`) from the tasks' support
/// and query rows (inputs, targets).
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn gather_rows(
    gpu: &Gpu,
    recording: &mut Recording,
    model: &Model,
    rows: BatchRows,
    (inner, step): (&InnerSteps, usize),
    order: &wgpu::Buffer,
    [support_x, support_y]: [&wgpu::Buffer; 2],
    [query_x, query_y]: [&wgpu::Buffer; 2],
    [batch_x, batch_y]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let (library, targets) = targets(model);
    let columns = model.inputs_padded() / 4;
    let source = Source::new("gather_rows", shader!("gather_rows.wgsl"))
        .library(library)
        .constant("BLOCK", BLOCK)
        .constant("IN4", columns)
        .constant("TARGETS", targets);
    let arguments = [
        Argument::Inner(inner, step),
        Argument::Buffer("order", order),
        Argument::Buffer("support_x", support_x),
        Argument::Buffer("support_y", support_y),
        Argument::Buffer("query_x", query_x),
        Argument::Buffer("query_y", query_y),
        Argument::Buffer("batch_x", batch_x),
        Argument::Buffer("batch_y", batch_y),
    ];
    let blocks = (rows.rows * columns.max(targets)).div_ceil(BLOCK);
    let examples = rows.count * rows.rows;
    let values = examples * (4 * columns + model.target_words());
    // An example may be in several batches.
    let sets = [support_x, support_y, query_x, query_y];
    let held = sets.into_iter().map(|buffer| buffer.size() as usize / 4).sum();
    let work = Work::words(values + values.min(held) + examples);
    call(gpu, recording, &rows.library(source), &arguments, [blocks, rows.count, 1], work)
}

/// The type of a target, and how many of them an example has.
pub(super) fn targets(model: &Model) -> (&'static str, usize) {
    match model.loss() {
        Loss::Mse => (TARGETS_VALUES, vectors(model.outputs())),
        Loss::CrossEntropy => (TARGETS_LABELS, 1),
    }
}
