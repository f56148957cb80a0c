//! How many tasks the layered plan takes through the layers at a time.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, size_of_f32s};
use crate::kernels::{Axis, Tile, Tiles};
use crate::meta::layers::{Keep, Layers};
use crate::model::Model;

/// Tasks that go through the layers at a time.
///
/// # Errors
/// As [`chunk_candidates`].
pub(super) fn chunk(gpu: &Gpu, model: &Model, axis: Axis, batch: usize) -> Result<usize> {
    match chunk_candidates(gpu, model, axis, batch)?.choose(gpu) {
        Tile::Tasks(count) => Ok(count),
        tile => unreachable!("{tile} is no candidate of a chunk"),
    }
}

/// The chunks of tasks that the layered plan may take at a time, all of one size but for the last: as few as the device's
/// bindings and grid allow, or twice and four times as many, whose values may fit into a cache.
///
/// # Errors
/// [`Error::Limit`] if the values of one task do not fit.
pub(in crate::meta) fn chunk_candidates(
    gpu: &Gpu,
    model: &Model,
    axis: Axis,
    batch: usize,
) -> Result<Tiles> {
    let inputs = size_of_f32s(batch * model.input_words());
    let one = Layers::largest(model, Keep::All, batch).max(inputs);
    let profile = gpu.profile();
    let most = (profile.largest_binding / one).min(u64::from(profile.largest_grid)) as usize;
    if most == 0 {
        return Err(Error::Limit {
            unit: "bytes",
            what: format!("one task's values of a layer on {batch} examples"),
            needed: one,
            available: profile.largest_binding,
            remedy: "lower inner.batch or the layers' sizes".into(),
        });
    }
    let tasks = axis.tasks();
    let fewest = tasks.div_ceil(most);
    let mut sizes = [1, 2, 4].map(|times| tasks.div_ceil(times * fewest)).to_vec();
    sizes.dedup();
    let parameters = model.packed_len();
    let key =
        format!("chunk, {one} bytes, {parameters} parameters, {batch} examples, {tasks} tasks");
    Ok(Tiles { key, candidates: sizes.into_iter().map(Tile::Tasks).collect() })
}
