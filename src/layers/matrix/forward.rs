//! `shaders/layer_forward.wgsl`: h = activation(x · W + b) for every task, dense layers and
//! convolutions.

use crate::dispatch::{Argument, INNER_STEP, Tiles, call};
use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Recording, Source, Work};
use crate::layers::activation::ACTIVATION;
use crate::layers::matrix::product::{self, Product};
use crate::layers::{Batch, Outputs, Place};

/// Records one layer with weights: `x` `[G, B, …input]`, `theta` `[T, packed]`, `out` `[G, B, …output]`.
///
/// # Errors
/// See [`call`].
pub fn layer_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    x: &wgpu::Buffer,
    out: Outputs<'_>,
) -> Result<()> {
    let source = Source::new("layer_forward", shader!("layer_forward.wgsl"))
        .library(INNER_STEP)
        .library(ACTIVATION)
        .constant("SHARERS", batch.sharers)
        .constant("ACTIVATION", place.activation.kind())
        .constant("KEEP_Z", out.keep_z)
        .reads("theta", Element::Vector)
        .reads("rows", product::elements(place));
    let product = Product::forward(place, batch.examples);
    let source = product::constants(source, place, batch);
    let (source, [rows, columns]) = product.tiles(gpu, source, batch.count)?;
    let arguments = [
        Argument::Sets("theta", theta, place.packed_offset),
        batch.argument(),
        Argument::Buffer("rows", x),
        Argument::Buffer("h", out.h),
        Argument::Buffer("z", out.z),
    ];
    let values = batch.values(place.input_words() + out.copies() * place.outputs_padded());
    let work = Work::words(values + batch.sets(place.packed_len()))
        .multiply_adds(batch.products(place))
        .of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [rows, columns, batch.count], work)
}

/// The tiles that may run it on `count` batches of `examples`.
pub fn forward_tiles(profile: &Profile, place: &Place, [count, examples]: [usize; 2]) -> Tiles {
    Product::forward(place, examples).candidates(profile, "layer_forward", count)
}
