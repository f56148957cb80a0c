//! `shaders/head.wgsl`: the last, dense layer of a training step in one dispatch.

use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Recording, Source, Work};
use crate::kernels::gather_rows::targets;
use crate::kernels::{
    ACTIVATION, Argument, BLOCK, Batch, Below, INNER_STEP, Rows, Update, call, fused_loss,
    loss_numbers, vectors,
};
use crate::model::{Activation, Model};

/// Logits that an invocation may keep in registers.
const LARGEST_OUTPUTS: usize = 32;

/// Invocations of a workgroup on a real GPU.
const HEAD_INVOCATIONS: usize = 256;

/// Whether [`head`] can take the last layer of `model` for minibatches of `batch`.
pub fn head_fits(profile: &Profile, model: &Model, batch: usize) -> bool {
    let layers = model.layers();
    let gelu = layers.iter().rev().nth(1).is_some_and(|l| l.activation == Activation::Gelu);
    let dense = layers[layers.len() - 1].is_dense();
    dense
        && !gelu
        && model.outputs() <= LARGEST_OUTPUTS
        && workgroup_bytes(model, batch, 1, 1) <= profile.workgroup_memory as usize
}

/// What is summed over the rows: blocks of weights, vectors of the bias, and the loss.
fn sums_over_rows(model: &Model) -> usize {
    let layer = &model.layers()[model.layers().len() - 1];
    (layer.inputs_padded() / 4 + 1) * vectors(model.outputs()) + 1
}

/// Workgroup memory if the inputs are summed in `parts` parts, and rows in `row_parts`.
fn workgroup_bytes(model: &Model, batch: usize, parts: usize, row_parts: usize) -> usize {
    let logits = batch * vectors(model.outputs());
    let sums = logits + (row_parts - 1) * 4 * sums_over_rows(model);
    16 * sums.max(parts * logits) + 4 * batch
}

/// Invocations of a workgroup, parts that the inputs are summed in, and parts of the rows: a software device gains by none.
fn shape(profile: &Profile, model: &Model, batch: usize) -> [usize; 3] {
    if profile.software {
        return [BLOCK, 1, 1];
    }
    let invocations = HEAD_INVOCATIONS.min(profile.largest_workgroup as usize);
    let memory = profile.workgroup_memory as usize;
    let fits = |parts: &usize| workgroup_bytes(model, batch, *parts, 1) <= memory;
    let parts = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
    let fits = |row_parts: &usize| {
        row_parts * sums_over_rows(model) <= invocations
            && 4 * row_parts <= batch
            && workgroup_bytes(model, batch, parts, *row_parts) <= memory
    };
    let row_parts = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
    [invocations, parts, row_parts]
}

/// Records logits, loss, the gradient `dx` `[G, B, …input]` (if `onward`) and the inner step of the last
/// layer: `targets` `[G, B, out]` or labels `[G, B]`, `losses` `[T, steps]`. Of `some` batches not all rows count.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn head(
    gpu: &Gpu,
    recording: &mut Recording,
    model: &Model,
    batch: Batch<'_>,
    update: &Update<'_>,
    below: Below<'_>,
    target_rows: &wgpu::Buffer,
    dx: &wgpu::Buffer,
    onward: bool,
    (losses, steps): (&wgpu::Buffer, usize),
    some: bool,
) -> Result<()> {
    let layer = &model.layers()[model.layers().len() - 1];
    let [invocations, parts, row_parts] = shape(gpu.profile(), model, batch.examples);
    let source = Source::new("head", include_str!("../../shaders/head.wgsl"));
    let numbers = loss_numbers(model.loss(), batch.examples, model.outputs());
    let some = some.then_some(Rows::Minibatch);
    let source = Rows::library(some, source, batch.examples, numbers)
        .library(INNER_STEP)
        .library(ACTIVATION)
        .library(targets(model).0)
        .library(fused_loss(model.loss()))
        .constant("BLOCK", invocations)
        .constant("PARTS", parts)
        .constant("ROW_PARTS", row_parts)
        .constant("BATCH", batch.examples)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", layer.packed_offset / 4)
        .constant("IN4", layer.inputs_padded() / 4)
        .constant("OUTPUTS", layer.outputs())
        .constant("OUT4", vectors(layer.outputs()))
        .constant("STEPS", steps)
        .constant("ACTIVATION", below.activation.kind())
        .constant("NEEDS_INPUT_GRADIENT", onward)
        .reads("x", Element::Vector);
    let [theta, second, first] = update.arguments(layer.packed_offset);
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::Buffer("x", below.h),
        Argument::Buffer("support_y", target_rows),
        theta,
        second,
        first,
        Argument::Buffer("dx", dx),
        Argument::Buffer("losses", losses),
    ];
    let source = update.library(source, &mut arguments);
    // Forward, the weights' gradient, and on to the layer below.
    let passes = 2 + u64::from(onward);
    let values = layer.inputs_padded() * (1 + usize::from(onward)) + model.target_words();
    let sets = batch.sets(update.words() * layer.packed_len());
    let work = Work::words(batch.values(values) + sets + batch.count)
        .multiply_adds(passes * batch.products(layer))
        .of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [batch.count, 1, 1], work)
}
