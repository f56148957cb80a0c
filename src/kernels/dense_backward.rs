//! `shaders/dense_backward.wgsl`: the gradient by a layer's inputs, before their activation.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{
    ACTIVATION, Argument, Tiling, activation_kind, call, dense_constants, vectors,
};
use crate::model::{Activation, Layer};

/// Records dx = (dz · Wᵀ) ⊙ activation'(h). `dz` `[T, B, out]`, `theta` [T, `stride` vectors], `h` and
/// `dx` `[T, B, in]`, where `before` is the activation that made `h`; `z` like `h` is read for GELU.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn dense_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    before: Activation,
    [tasks, batch]: [usize; 2],
    stride: usize,
    dz: &wgpu::Buffer,
    theta: &wgpu::Buffer,
    [h, z]: [&wgpu::Buffer; 2],
    dx: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("dense_backward", include_str!("../../shaders/dense_backward.wgsl"))
        .library(ACTIVATION)
        .constant("ACTIVATION", activation_kind(before))
        .constant("ROW_LIMIT", batch)
        .constant("COLUMNS", vectors(layer.inputs()))
        .constant("DEPTH", vectors(layer.outputs()));
    let source = dense_constants(source, layer, batch, stride);
    let (source, [rows, columns]) = Tiling::of(gpu).product(source, batch, vectors(layer.inputs()));
    let arguments = [
        Argument::In(dz),
        Argument::In(theta),
        Argument::In(h),
        Argument::In(z),
        Argument::Out(dx),
    ];
    call(gpu, recording, &source, &arguments, [rows, columns, tasks])
}
