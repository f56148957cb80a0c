//! `shaders/norm_forward.wgsl` and `shaders/norm_backward.wgsl`: batch-norm.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::columns::with_columns;
use crate::kernels::{
    ACTIVATION, Argument, Batch, Below, INNER_STEP, Outputs, Update, activation_kind, call, vectors,
};
use crate::model::{Layer, Op, padded};

/// Adds what both directions share, and says how many workgroups a batch takes.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end a walk down a column early.
fn with_constants(
    gpu: &Gpu,
    source: Source,
    layer: &Layer,
    batch: Batch<'_>,
) -> Result<(Source, usize)> {
    let columns = vectors(layer.output.channels);
    let rows = batch.examples * layer.output.pixels();
    let source = source
        .library(INNER_STEP)
        .library(ACTIVATION)
        .constant("ROWS", rows)
        .constant("C4", columns)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", layer.packed_offset / 4);
    with_columns(gpu, source, [rows, columns])
}

/// Records h = activation(γ x̂ + β): `x` and `out` `[G, B, H, W, C]`, `theta` `[T, packed]`, `statistics`
/// `[G, 2, C]` (mean and 1 / √(variance + ε)) for the way back.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn norm_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    x: &wgpu::Buffer,
    out: Outputs<'_>,
    statistics: &wgpu::Buffer,
) -> Result<()> {
    let Op::BatchNorm { epsilon } = layer.op else { panic!("the kernel is for batch-norms") };
    let source = Source::new("norm_forward", include_str!("../../shaders/norm_forward.wgsl"))
        .constant("EPSILON", epsilon)
        .constant("SHARERS", batch.sharers)
        .constant("CHANNELS", layer.output.channels)
        .constant("ACTIVATION", activation_kind(layer.activation))
        .constant("KEEP_Z", out.keep_z);
    let (source, blocks) = with_constants(gpu, source, layer, batch)?;
    let arguments = [
        Argument::In(theta),
        batch.argument(),
        Argument::In(x),
        Argument::Out(out.h),
        Argument::Out(out.z),
        Argument::Out(statistics),
    ];
    let channels = padded(layer.output.channels);
    let values = batch.values((1 + out.copies()) * layer.outputs_padded());
    let work = Work::words(values + batch.sets(2 * channels) + batch.count * 2 * channels)
        .of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the way back through a batch-norm, in place: `d` `[G, B, H, W, C]` is the gradient by its
/// outputs before their activation and becomes the one by its inputs before theirs (left as it is
/// unless `onward`); γ and β take an inner step.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn norm_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    update: &Update<'_>,
    below: Below<'_>,
    d: &wgpu::Buffer,
    statistics: &wgpu::Buffer,
    onward: bool,
) -> Result<()> {
    let source = Source::new("norm_backward", include_str!("../../shaders/norm_backward.wgsl"))
        .constant("ACTIVATION", activation_kind(below.activation))
        .constant("NEEDS_INPUT_GRADIENT", onward);
    let [theta, second, first] = update.arguments();
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::In(below.h),
        Argument::Out(d),
        theta,
        second,
        first,
        Argument::In(statistics),
        Argument::In(below.z),
    ];
    let source = update.library(source, &mut arguments);
    let (source, blocks) = with_constants(gpu, source, layer, batch)?;
    let channels = padded(layer.output.channels);
    let written = usize::from(onward) + if onward { below.reads() / 2 } else { 0 };
    let values = batch.values((2 + written) * layer.outputs_padded());
    let sets = batch.sets(2 * update.words() * channels) + batch.count * 2 * channels;
    let work = Work::words(values + sets).of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}
