//! `shaders/head.wgsl` and `shaders/two_layer_head.wgsl`: the last one or two dense layers of a training step in one dispatch.

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

/// Invocations of a workgroup on a real GPU, of one layer and of two.
const INVOCATIONS: [usize; 2] = [256, 512];

/// Multiply-adds of a task's pass through the hidden layer up to which one workgroup for all of them pays: more are
/// better spread over the device.
const LARGEST_HIDDEN: usize = 1 << 19;

/// What a head records, `targets` `[G, B, out]` or labels `[G, B]`.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The network, of which it takes the last layers.
    pub model: &'a Model,
    /// The minibatches.
    pub batch: Batch<'a>,
    /// The inner step on the weights.
    pub update: &'a Update<'a>,
    /// What lies below the first of its layers.
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

/// How many of the last layers of `model` one dispatch takes for minibatches of `batch`: none, one ([`head`]) or two
/// ([`two_layer_head`]).
pub fn head_layers(profile: &Profile, model: &Model, batch: usize) -> usize {
    let layers = model.layers();
    let last = layers.len() - 1;
    let gelu = |below: usize| {
        let below = last.checked_sub(below);
        below.is_some_and(|index| layers[index].activation == Activation::Gelu)
    };
    let fits = |bytes: usize| bytes <= profile.workgroup_memory as usize;
    let one = layers[last].is_dense()
        && !gelu(1)
        && model.outputs() <= LARGEST_OUTPUTS
        && fits(workgroup_bytes(model, batch, [1, 1]));
    let two = || {
        let hidden = last.checked_sub(1).map(|index| &layers[index]);
        hidden.is_some_and(|hidden| hidden.is_dense() && !hidden.bytes)
            && !profile.software
            && !gelu(2)
            && batch * layers[last - 1].products() as usize <= LARGEST_HIDDEN
            && Two::of(profile, model, batch).is_some()
    };
    usize::from(one) + usize::from(one && two())
}

fn last(model: &Model) -> &Layer {
    &model.layers()[model.layers().len() - 1]
}

/// What is summed over the rows in the last layer: blocks of weights, vectors of the bias, and the loss.
fn sums_over_rows(model: &Model) -> usize {
    (last(model).inputs_padded() / 4 + 1) * vectors(model.outputs()) + 1
}

/// Vectors of workgroup memory for logits if the hidden values are summed in `parts` parts, and rows in `row_parts`.
fn logits(model: &Model, batch: usize, [parts, row_parts]: [usize; 2]) -> usize {
    let logits = batch * vectors(model.outputs());
    (parts * logits).max(logits + (row_parts - 1) * 4 * sums_over_rows(model))
}

/// Workgroup memory of [`head`].
fn workgroup_bytes(model: &Model, batch: usize, parts: [usize; 2]) -> usize {
    16 * logits(model, batch, parts) + 4 * batch
}

/// Invocations of a workgroup, parts that the inputs are summed in, and parts of the rows: a software device gains by none.
fn shape(profile: &Profile, model: &Model, batch: usize) -> [usize; 3] {
    if profile.software {
        return [BLOCK, 1, 1];
    }
    let invocations = INVOCATIONS[0].min(profile.largest_workgroup as usize);
    let fits = |parts| workgroup_bytes(model, batch, parts) <= profile.workgroup_memory as usize;
    let parts = [8, 4, 2].into_iter().find(|parts| fits([*parts, 1])).unwrap_or(1);
    let row_parts = [8, 4, 2].into_iter().find(|row_parts| {
        row_parts * sums_over_rows(model) <= invocations
            && 4 * row_parts <= batch
            && fits([parts, *row_parts])
    });
    [invocations, parts, row_parts.unwrap_or(1)]
}

/// How [`two_layer_head`] is cut.
struct Two {
    invocations: usize,
    /// Rows that an invocation of the hidden layer takes.
    rows: usize,
    /// Parts that the hidden values are summed in, and rows in the gradients of the last layer and of the hidden one.
    parts: [usize; 3],
    /// Vectors of workgroup memory for logits and sums.
    logits: usize,
}

impl Two {
    /// None if the device has no room.
    fn of(profile: &Profile, model: &Model, batch: usize) -> Option<Self> {
        let hidden = &model.layers()[model.layers().len() - 2];
        let columns = vectors(hidden.outputs());
        let blocks = hidden.inputs_padded() / 4 * columns;
        let invocations = INVOCATIONS[1].min(profile.largest_workgroup as usize);
        let room = (profile.workgroup_memory as usize)
            .checked_sub(16 * batch * columns + 4 * batch)
            .map(|bytes| bytes / 16)?;
        let sums = sums_over_rows(model);
        let most = |fits: &dyn Fn(usize) -> bool| [8, 4, 2, 1].into_iter().find(|n| fits(*n));
        let parts = most(&|parts| logits(model, batch, [parts, 1]) <= room)?;
        let row_parts = most(&|parts| {
            parts * sums <= invocations
                && (parts == 1 || 4 * parts <= batch)
                && logits(model, batch, [1, parts]) <= room
        })?;
        let hidden_parts = most(&|parts| {
            parts == 1
                || parts * blocks <= invocations
                    && 4 * parts <= batch
                    && 5 * (parts - 1) * blocks <= room
        })?;
        let logits = logits(model, batch, [parts, row_parts]).max(5 * (hidden_parts - 1) * blocks);
        let rows = (batch * columns).div_ceil(invocations).min(8);
        Some(Self { invocations, rows, parts: [parts, row_parts, hidden_parts], logits })
    }
}

/// Records logits, loss, the gradient `dx` (if `onward`) and the inner step of the last layer.
///
/// # Errors
/// See [`call`].
pub fn head(gpu: &Gpu, recording: &mut Recording, head: &Head<'_>) -> Result<()> {
    let (model, examples) = (head.model, head.batch.examples);
    let layer = last(model);
    let [invocations, parts, row_parts] = shape(gpu.profile(), model, examples);
    let source = Source::new("head", include_str!("../../shaders/head.wgsl"))
        .constant("BLOCK", invocations)
        .constant("PARTS", parts)
        .constant("ROW_PARTS", row_parts)
        .constant("IN4", layer.inputs_padded() / 4);
    record(gpu, recording, head, source, &[layer], head.update.arguments(layer.packed_offset))
}

/// Records the same and the layer below, `hidden`: both ways and its inner step.
///
/// # Errors
/// See [`call`].
///
/// # Panics
/// If [`head_layers`] are not two.
pub fn two_layer_head(gpu: &Gpu, recording: &mut Recording, head: &Head<'_>) -> Result<()> {
    let (model, examples) = (head.model, head.batch.examples);
    let hidden = &model.layers()[model.layers().len() - 2];
    let cut = Two::of(gpu.profile(), model, examples).expect("it was asked before");
    let [parts, row_parts, hidden_parts] = cut.parts;
    let source = Source::new("two_layer_head", include_str!("../../shaders/two_layer_head.wgsl"))
        .constant("BLOCK", cut.invocations)
        .constant("ROWS", cut.rows)
        .constant("PARTS", parts)
        .constant("ROW_PARTS", row_parts)
        .constant("HIDDEN_PARTS", hidden_parts)
        .constant("LOGITS", cut.logits)
        .constant("HIDDEN_OFFSET", hidden.packed_offset / 4)
        .constant("HIDDEN_ACTIVATION", hidden.activation.kind())
        .constant("HIDDEN", hidden.outputs())
        .constant("HIDDEN4", vectors(hidden.outputs()))
        .constant("IN4", hidden.inputs_padded() / 4);
    // It steps on more than one layer's part of a set.
    let Update { theta, state, .. } = head.update;
    let sets = [("theta", *theta), ("second", &state.second), ("first", &state.first)];
    let sets = sets.map(|(name, buffer)| Argument::Buffer(name, buffer));
    record(gpu, recording, head, source, &[hidden, last(model)], sets)
}

/// What both have in common; `layers` are those that it takes.
fn record<'a>(
    gpu: &Gpu,
    recording: &mut Recording,
    head: &Head<'a>,
    source: Source,
    layers: &[&Layer],
    [theta, second, first]: [Argument<'a>; 3],
) -> Result<()> {
    let Head { model, batch, update, below, onward, .. } = *head;
    let layer = last(model);
    let numbers = loss_numbers(model.loss(), batch.examples, model.outputs());
    let some = head.some.then_some(Rows::Minibatch);
    let source = Rows::library(some, source, batch.examples, numbers)
        .library(INNER_STEP)
        .library(ACTIVATION)
        .library(targets(model).0)
        .library(fused_loss(model.loss()))
        .constant("BATCH", batch.examples)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", layer.packed_offset / 4)
        .constant("OUTPUTS", layer.outputs())
        .constant("OUT4", vectors(layer.outputs()))
        .constant("STEPS", head.steps)
        .constant("ACTIVATION", below.activation.kind())
        .constant("NEEDS_INPUT_GRADIENT", onward)
        .reads("x", Element::Vector);
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
    let source = update.library(source, &mut arguments);
    // Forward, the weights' gradient, and on to the layer below.
    let inputs = layers[0].inputs_padded();
    let passes = layers
        .iter()
        .enumerate()
        .map(|(index, layer)| (2 + u64::from(onward || index > 0)) * batch.products(layer));
    let parameters: usize = layers.iter().map(|layer| layer.packed_len()).sum();
    let values = inputs * (1 + usize::from(onward)) + model.target_words();
    let sets = batch.sets(update.words() * parameters);
    let work = Work::words(batch.values(values) + sets + batch.count)
        .multiply_adds(passes.sum())
        .of_layer(&layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>().join(", "));
    call(gpu, recording, &source, &arguments, [batch.count, 1, 1], work)
}
