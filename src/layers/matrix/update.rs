//! `shaders/layer_update.wgsl`: the gradient of a layer's weights and the inner optimiser's step on
//! it; dense layers and convolutions.

use crate::dispatch::{Argument, INNER_STEP, Tiles, Update, call};
use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Recording, Source, Work};
use crate::layers::matrix::gradient::{gradient_candidates, gradient_tiles};
use crate::layers::matrix::product;
use crate::layers::{Batch, Place};

/// Records the step on one layer: `x` `[G, B, …input]`, `dz` `[G, B, …output]`.
///
/// # Errors
/// See [`call`].
pub fn layer_update(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    batch: Batch<'_>,
    update: &Update<'_>,
    x: &wgpu::Buffer,
    dz: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("layer_update", shader!("layer_update.wgsl"))
        .library(INNER_STEP)
        .reads("rows", product::elements(place))
        .reads("dz", Element::Vector);
    let [theta, second, first] = update.arguments(place.packed_offset);
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::Buffer("rows", x),
        Argument::Buffer("dz", dz),
        theta,
        second,
        first,
    ];
    let source = update.library(product::constants(source, place, batch), &mut arguments);
    let source = Update::rows(source, gpu.profile());
    let (source, [rows, columns]) =
        gradient_tiles(gpu, source, place, [batch.count, batch.examples])?;
    let values = batch.values(place.input_words() + place.outputs_padded());
    let work = Work::words(values + batch.sets(update.words() * place.packed_len()))
        .multiply_adds(batch.products(place))
        .of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [rows, columns, batch.count], work)
}

/// The tiles that may run it on `count` batches of `examples`.
pub fn update_tiles(profile: &Profile, place: &Place, sizes: [usize; 2]) -> Tiles {
    gradient_candidates(profile, place, sizes)
}
