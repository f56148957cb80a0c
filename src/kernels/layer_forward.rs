//! `shaders/layer_forward.wgsl`: h = activation(x · W + b) for every task, dense layers and
//! convolutions.

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Recording, Source, Work};
use crate::kernels::product::{self, Product};
use crate::kernels::{
    ACTIVATION, Argument, Batch, INNER_STEP, Outputs, Tiles, activation_kind, call,
};
use crate::model::Layer;

/// Records one layer with weights: `x` `[G, B, …input]`, `theta` `[T, packed]`, `out` `[G, B, …output]`.
///
/// # Errors
/// See [`call`].
pub fn layer_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    x: &wgpu::Buffer,
    out: Outputs<'_>,
) -> Result<()> {
    let source = Source::new("layer_forward", include_str!("../../shaders/layer_forward.wgsl"))
        .library(INNER_STEP)
        .library(ACTIVATION)
        .constant("SHARERS", batch.sharers)
        .constant("ACTIVATION", activation_kind(layer.activation))
        .constant("KEEP_Z", out.keep_z);
    let product = Product::forward(layer, batch.examples);
    let source = product::constants(source, layer, batch);
    let (source, [rows, columns]) = product.tiles(gpu, source, batch.count)?;
    let arguments = [
        Argument::In(theta),
        batch.argument(),
        Argument::In(x),
        Argument::Out(out.h),
        Argument::Out(out.z),
    ];
    let values = batch.values(layer.input_words() + out.copies() * layer.outputs_padded());
    let work = Work::words(values + batch.sets(layer.packed_len()))
        .multiply_adds(batch.products(layer))
        .of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [rows, columns, batch.count], work)
}

/// The tiles that may run it on `count` batches of `examples`.
pub fn forward_tiles(profile: &Profile, layer: &Layer, [count, examples]: [usize; 2]) -> Tiles {
    Product::forward(layer, examples).candidates(profile, "layer_forward", count)
}
