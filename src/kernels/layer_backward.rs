//! `shaders/layer_backward.wgsl`: the gradient by a layer's inputs, before their activation; dense
//! layers and convolutions.

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Recording, Source, Work};
use crate::kernels::product::{self, Product};
use crate::kernels::{
    ACTIVATION, Argument, Batch, Below, INNER_STEP, Tiles, activation_kind, call,
};
use crate::model::Layer;

/// Records dx = (dz · Wᵀ) ⊙ activation'(below): `dz` `[G, B, …output]`, `theta` `[T, packed]`, `below`
/// and `dx` `[G, B, …input]`.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn layer_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    dz: &wgpu::Buffer,
    below: Below<'_>,
    dx: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("layer_backward", include_str!("../../shaders/layer_backward.wgsl"))
        .library(INNER_STEP)
        .library(ACTIVATION)
        .constant("ACTIVATION", activation_kind(below.activation));
    let product = Product::backward(layer, batch.examples);
    let source = product::constants(source, layer, batch);
    let (source, [rows, columns]) = product.tiles(gpu, source, batch.count)?;
    let arguments = [
        Argument::In(theta),
        batch.argument(),
        Argument::In(dz),
        Argument::In(below.h),
        Argument::In(below.z),
        Argument::Out(dx),
    ];
    let values = layer.outputs_padded() + (1 + below.reads()) * layer.inputs_padded();
    let work = Work::words(batch.values(values) + batch.sets(layer.packed_len()))
        .multiply_adds(batch.products(layer))
        .of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [rows, columns, batch.count], work)
}

/// The tiles that may run it on `count` batches of `examples`.
pub fn backward_tiles(profile: &Profile, layer: &Layer, [count, examples]: [usize; 2]) -> Tiles {
    Product::backward(layer, examples).candidates(profile, "layer_backward", count)
}
