//! `shaders/layer_backward.wgsl`: the gradient by a layer's inputs, before their activation; dense
//! layers and convolutions.

use crate::dispatch::{Argument, INNER_STEP, Tiles, call};
use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Recording, Source, Work};
use crate::layers::activation::ACTIVATION;
use crate::layers::matrix::product::{self, Product};
use crate::layers::{Batch, Below, Place};

/// Records dx = (dz · Wᵀ) ⊙ activation'(below): `dz` `[G, B, …output]`, `theta` `[T, packed]`, `below`
/// and `dx` `[G, B, …input]`.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn layer_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    dz: &wgpu::Buffer,
    below: Below<'_>,
    dx: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("layer_backward", shader!("layer_backward.wgsl"))
        .library(INNER_STEP)
        .library(ACTIVATION)
        .constant("ACTIVATION", below.activation.kind())
        .reads("theta", Element::Vector)
        .reads("h", Element::Vector)
        .reads("rows", Element::Vector);
    let product = Product::backward(place, batch.examples);
    let source = product::constants(source, place, batch);
    let (source, [rows, columns]) = product.tiles(gpu, source, batch.count)?;
    let arguments = [
        Argument::Sets("theta", theta, place.packed_offset),
        batch.argument(),
        Argument::Buffer("rows", dz),
        Argument::Buffer("h", below.h),
        Argument::Buffer("z", below.z),
        Argument::Buffer("dx", dx),
    ];
    let values = place.outputs_padded() + (1 + below.reads()) * place.inputs_padded();
    let work = Work::words(batch.values(values) + batch.sets(place.packed_len()))
        .multiply_adds(batch.products(place))
        .of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [rows, columns, batch.count], work)
}

/// The tiles that may run it on `count` batches of `examples`.
pub fn backward_tiles(profile: &Profile, place: &Place, [count, examples]: [usize; 2]) -> Tiles {
    Product::backward(place, examples).candidates(profile, "layer_backward", count)
}
