//! `shaders/norm_forward.wgsl` and `shaders/norm_backward.wgsl`: batch-norm.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{
    ACTIVATION, Argument, Batch, Below, INNER_STEP, Outputs, Update, activation_kind, call, vectors,
};
use crate::model::{Layer, Op};

const COLUMN_SUMS: &str = include_str!("../../shaders/lib/column_sums.wgsl");

/// Adds what both directions share, and says how many workgroups a batch takes.
fn with_columns(gpu: &Gpu, source: Source, layer: &Layer, batch: Batch<'_>) -> (Source, usize) {
    let columns = vectors(layer.output.channels);
    // On a CPU that plays GPU a lane walks down its whole column; elsewhere 32 share one.
    let (lanes, slices) = match gpu.profile().broadcast_lanes() {
        Some(lanes) => (lanes as usize, 1_usize),
        None => (8, 32),
    };
    let source = source
        .library(INNER_STEP)
        .library(ACTIVATION)
        .library(COLUMN_SUMS)
        .constant("COLUMN_LANES", lanes)
        .constant("SLICES", slices)
        .constant("ROWS", batch.examples * layer.output.pixels())
        .constant("C4", columns)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", layer.packed_offset / 4);
    (source, columns.div_ceil(lanes))
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
    let Op::Norm { epsilon } = layer.op else { panic!("the kernel is for batch-norms") };
    let source = Source::new("norm_forward", include_str!("../../shaders/norm_forward.wgsl"))
        .constant("EPSILON", epsilon)
        .constant("SHARERS", batch.sharers)
        .constant("CHANNELS", layer.output.channels)
        .constant("ACTIVATION", activation_kind(layer.activation))
        .constant("KEEP_Z", out.keep_z);
    let (source, blocks) = with_columns(gpu, source, layer, batch);
    let arguments = [
        Argument::In(theta),
        batch.argument(),
        Argument::In(x),
        Argument::Out(out.h),
        Argument::Out(out.z),
        Argument::Out(statistics),
    ];
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1])
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
    let (source, blocks) = with_columns(gpu, update.library(source), layer, batch);
    let [theta, second, first] = update.arguments();
    let arguments = [
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
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1])
}
