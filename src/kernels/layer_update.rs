//! `shaders/layer_update.wgsl`: the gradient of a layer's weights and the inner optimiser's step on
//! it; dense layers and convolutions.

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Recording, Source, Work};
use crate::kernels::gradient::{gradient_candidates, gradient_tiles};
use crate::kernels::product;
use crate::kernels::{Argument, Batch, INNER_STEP, Tiles, Update, call};
use crate::model::Layer;

/// Records the step on one layer: `x` `[G, B, …input]`, `dz` `[G, B, …output]`.
///
/// # Errors
/// See [`call`].
pub fn layer_update(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    update: &Update<'_>,
    x: &wgpu::Buffer,
    dz: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("layer_update", include_str!("../../shaders/layer_update.wgsl"))
        .library(INNER_STEP);
    let [theta, second, first] = update.arguments();
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::In(x),
        Argument::In(dz),
        theta,
        second,
        first,
    ];
    let source = update.library(product::constants(source, layer, batch), &mut arguments);
    let (source, [rows, columns]) =
        gradient_tiles(gpu, source, layer, [batch.count, batch.examples])?;
    let values = batch.values(layer.input_words() + layer.outputs_padded());
    let work = Work::words(values + batch.sets(update.words() * layer.packed_len()))
        .multiply_adds(batch.products(layer))
        .of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [rows, columns, batch.count], work)
}

/// The tiles that may run it on `count` batches of `examples`.
pub fn update_tiles(profile: &Profile, layer: &Layer, sizes: [usize; 2]) -> Tiles {
    gradient_candidates(profile, layer, sizes)
}
