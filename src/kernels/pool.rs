//! `shaders/pool_forward.wgsl` and `shaders/pool_backward.wgsl`: max-pooling, average pooling, and the
//! activation that stands alone (a window of one pixel).

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::product::window_constants;
use crate::kernels::{
    ACTIVATION, Argument, BLOCK, Batch, Below, Outputs, activation_kind, call, vectors,
};
use crate::model::{Layer, Op};

/// Adds what both directions share.
fn with_window(source: Source, layer: &Layer, batch: Batch<'_>) -> Source {
    let (window, library) = match layer.op {
        Op::MaxPool(window) => (window, include_str!("../../shaders/lib/pool_max.wgsl")),
        Op::AveragePool(window) => (window, include_str!("../../shaders/lib/pool_average.wgsl")),
        _ => panic!("the kernel is for poolings"),
    };
    window_constants(source, layer, window)
        .library(ACTIVATION)
        .library(include_str!("../../shaders/lib/pool_window.wgsl"))
        .library(library)
        .constant("BLOCK", BLOCK)
        .constant("BATCH", batch.examples)
        .constant("C4", vectors(layer.output.channels))
}

/// Records h = activation(pool(x)): `x` `[G, B, …input]`, `out` `[G, B, …output]`.
///
/// # Errors
/// See [`call`].
pub fn pool_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    x: &wgpu::Buffer,
    out: Outputs<'_>,
) -> Result<()> {
    let source = Source::new("pool_forward", include_str!("../../shaders/pool_forward.wgsl"))
        .constant("CHANNELS", layer.output.channels)
        .constant("ACTIVATION", activation_kind(layer.activation))
        .constant("KEEP_Z", out.keep_z);
    let arguments = [Argument::In(x), Argument::Out(out.h), Argument::Out(out.z)];
    let blocks = (batch.examples * layer.outputs_padded() / 4).div_ceil(BLOCK);
    let source = with_window(source, layer, batch);
    let values = layer.inputs_padded() + out.copies() * layer.outputs_padded();
    let work = Work::words(batch.values(values)).of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the way back: `d` `[G, B, …output]`, `below` and `dx` `[G, B, …input]`.
///
/// # Errors
/// See [`call`].
pub fn pool_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    d: &wgpu::Buffer,
    below: Below<'_>,
    dx: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("pool_backward", include_str!("../../shaders/pool_backward.wgsl"))
        .constant("ACTIVATION", activation_kind(below.activation));
    let arguments =
        [Argument::In(d), Argument::In(below.h), Argument::In(below.z), Argument::Out(dx)];
    let blocks = (batch.examples * layer.inputs_padded() / 4).div_ceil(BLOCK);
    let source = with_window(source, layer, batch);
    // A maximum is looked for again.
    let reads = below.reads().max(usize::from(matches!(layer.op, Op::MaxPool(_))));
    let values = layer.outputs_padded() + (1 + reads) * layer.inputs_padded();
    let work = Work::words(batch.values(values)).of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}
