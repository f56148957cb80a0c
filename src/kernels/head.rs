//! `shaders/head.wgsl`: the last, dense layer of a training step in one dispatch.

use crate::dispatch::reads_mirrors;
use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Recording, Source, Work};
use crate::kernels::gather_rows::targets;
use crate::kernels::{
    ACTIVATION, Argument, BLOCK, Batch, Below, INNER_STEP, Rows, Update, call, fused_loss,
    loss_numbers, vectors,
};
use crate::model::{Activation, Layer, Model};

/// Logits that an invocation may keep in registers.
const LARGEST_OUTPUTS: usize = 32;

/// Invocations of a workgroup on a real GPU.
const HEAD_INVOCATIONS: usize = 256;

/// What a head records, `targets` `[G, B, out]` or labels `[G, B]`.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The network, of which it takes the last layer.
    pub model: &'a Model,
    /// The minibatches.
    pub batch: Batch<'a>,
    /// The inner step on the weights.
    pub update: &'a Update<'a>,
    /// What lies below that layer.
    pub below: Below<'a>,
    /// The minibatches' targets.
    pub targets: &'a wgpu::Buffer,
    /// `[G, B, …input]`: the gradient by the inputs before their activation.
    pub dx: &'a wgpu::Buffer,
    /// Whether a layer below wants it.
    pub onward: bool,
    /// `[T, steps]`
    pub losses: &'a wgpu::Buffer,
    /// Steps of an inner loop.
    pub steps: usize,
    /// Whether not all rows of a minibatch need count.
    pub some: bool,
}

/// Whether [`head`] can take the last layer of `model` for minibatches of `batch`.
pub fn head_fits(profile: &Profile, model: &Model, batch: usize) -> bool {
    let layers = model.layers();
    let gelu = layers.iter().rev().nth(1).is_some_and(|l| l.activation == Activation::Gelu);
    last(model).is_dense()
        && !gelu
        && model.outputs() <= LARGEST_OUTPUTS
        && workgroup_bytes(model, batch, [1, 1]) <= profile.workgroup_memory as usize
}

fn last(model: &Model) -> &Layer {
    &model.layers()[model.layers().len() - 1]
}

/// What is summed over the rows in the last layer: blocks of weights, vectors of the bias, and the loss.
fn sums_over_rows(model: &Model) -> usize {
    (last(model).inputs_padded() / 4 + 1) * vectors(model.outputs()) + 1
}

/// Workgroup memory if the inputs are summed in `parts` parts, and rows in `row_parts`.
fn workgroup_bytes(model: &Model, batch: usize, [parts, row_parts]: [usize; 2]) -> usize {
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
    let fits = |parts| workgroup_bytes(model, batch, parts) <= profile.workgroup_memory as usize;
    let parts = [8, 4, 2].into_iter().find(|parts| fits([*parts, 1])).unwrap_or(1);
    let row_parts = [8, 4, 2].into_iter().find(|row_parts| {
        row_parts * sums_over_rows(model) <= invocations
            && 4 * row_parts <= batch
            && fits([parts, *row_parts])
    });
    [invocations, parts, row_parts.unwrap_or(1)]
}

/// Records logits, loss, the gradient `dx` (if `onward`) and the inner step of the last layer.
///
/// # Errors
/// See [`call`].
pub fn head(gpu: &Gpu, recording: &mut Recording, head: &Head<'_>) -> Result<()> {
    let (model, examples) = (head.model, head.batch.examples);
    let layer = last(model);
    let [invocations, parts, row_parts] = shape(gpu.profile(), model, examples);
    let Head { batch, update, below, onward, .. } = *head;
    let numbers = loss_numbers(model.loss(), examples, model.outputs());
    let some = head.some.then_some(Rows::Minibatch);
    let source = Source::new("head", shader!("head.wgsl"));
    let source = Rows::library(some, source, examples, numbers)
        .library(INNER_STEP)
        .library(ACTIVATION)
        .library(targets(model).0)
        .library(fused_loss(model.loss()))
        .constant("BLOCK", invocations)
        .constant("PARTS", parts)
        .constant("ROW_PARTS", row_parts)
        .constant("BATCH", examples)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", layer.packed_offset / 4)
        .constant("IN4", layer.inputs_padded() / 4)
        .constant("OUTPUTS", layer.outputs())
        .constant("OUT4", vectors(layer.outputs()))
        .constant("STEPS", head.steps)
        .constant("ACTIVATION", below.activation.kind())
        .constant("NEEDS_INPUT_GRADIENT", onward)
        .reads("x", Element::Vector);
    let [theta, second, first] = update.arguments(layer.packed_offset);
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::Buffer("x", below.h),
        Argument::Buffer("support_y", head.targets),
        theta,
        second,
        first,
        Argument::Buffer("dx", head.dx),
        Argument::Buffer("losses", head.losses),
    ];
    let source = Update::rows(update.library(source, &mut arguments), gpu.profile());
    // A mirror has the weights as they are before the step.
    arguments.push(Argument::Sets("weights", update.theta, layer.packed_offset));
    let mirrored = source.clone().reads("weights", Element::Vector);
    let source = match reads_mirrors(gpu, &mirrored, &arguments) {
        true => mirrored,
        false => source.library(shader!("lib/weights_in_place.wgsl")),
    };
    // Forward, the weights' gradient, and on to the layer below.
    let passes = 2 + u64::from(onward);
    let values = layer.inputs_padded() * (1 + usize::from(onward)) + model.target_words();
    let sets = batch.sets(update.words() * layer.packed_len());
    let work = Work::words(batch.values(values) + sets + batch.count)
        .multiply_adds(passes * batch.products(layer))
        .of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [batch.count, 1, 1], work)
}
