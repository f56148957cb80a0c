//! `shaders/dense_forward.wgsl`: h = activation(x · W + b) for every task.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{
    ACTIVATION, Argument, Tiling, activation_kind, call, dense_constants, vectors,
};
use crate::model::Layer;

/// Records one layer. `x` `[T, B, in]`, `theta` [T, `stride` vectors], `h` `[T, B, out]`; `z` like `h`
/// is written for GELU alone.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn dense_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    [tasks, batch]: [usize; 2],
    stride: usize,
    x: &wgpu::Buffer,
    theta: &wgpu::Buffer,
    h: &wgpu::Buffer,
    z: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("dense_forward", include_str!("../../shaders/dense_forward.wgsl"))
        .library(ACTIVATION)
        .constant("ACTIVATION", activation_kind(layer.activation))
        .constant("OUTPUTS", layer.outputs())
        .constant("ROW_LIMIT", batch)
        .constant("COLUMNS", vectors(layer.outputs()))
        .constant("DEPTH", vectors(layer.inputs()));
    let source = dense_constants(source, layer, batch, stride);
    let (source, [rows, columns]) =
        Tiling::of(gpu).product(source, batch, vectors(layer.outputs()));
    let arguments = [Argument::In(x), Argument::In(theta), Argument::Out(h), Argument::Out(z)];
    call(gpu, recording, &source, &arguments, [rows, columns, tasks])
}
