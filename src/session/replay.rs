//! Models whose file says only how they were adapted ([`Codec::Replay`]): adapts again.
//!
//! [`Codec::Replay`]: crate::store::compressed::Codec::Replay

use crate::config::{Config, Data, Job};
use crate::data::arrays::TaskArrays;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::TrainingState;
use crate::session::adapting::{Base, Tasks, adapt};
use crate::store::adapted::Adapted;
use crate::store::compressed::{Compressed, Payload};
use crate::store::digests::sha256;

/// What came of adapting again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// The models that were made again.
    pub adapted: Adapted,
    /// Whether the file of it has the bytes of the one that was compressed.
    pub exact: bool,
    /// The device that the models were made on.
    pub device: String,
}

/// Adapts `snapshot`, a state of the run with the configuration `base`, as the models in `compressed` were.
/// `data` says how the data set of the run is read to test on it. `reading` is told the images read and their number, where the data set is needed, and then `adapting` the tasks
/// that are done and theirs.
///
/// # Errors
/// [`Error::Config`] if the file holds models of another codec, or damaged tasks; as [`adapt`] and [`Job::read`].
pub fn replay(
    gpu: &Gpu,
    base: &Config,
    snapshot: &TrainingState,
    compressed: &Compressed,
    data: Data<'_>,
    reading: &mut dyn FnMut(u64, u64),
    adapting: &mut dyn FnMut(u64, u64),
) -> Result<Replayed> {
    let Payload::Replay { adapted: digest, device, tasks } = &compressed.payload else {
        let message = format!("`{}` is decoded, only `replay` is adapted again", compressed.codec);
        return Err(Error::config("codec", message));
    };
    let model = base.validate()?;
    let recipe = compressed.settings.recipe()?;
    let from = Base { config: base, digest: &compressed.settings.base, split: data.split };
    let mut adapted = match tasks {
        Some(bytes) => {
            let arrays = TaskArrays::from_bytes(bytes, &model)
                .map_err(|error| Error::config("the tasks in the compressed file", error))?;
            adapt(gpu, from, snapshot, &recipe, Tasks::Arrays(&arrays), adapting)?
        }
        None => {
            let job = Job::read(gpu, base.clone(), data, reading)?;
            let tasks = Tasks::Test(&job, compressed.models);
            adapt(gpu, from, snapshot, &recipe, tasks, adapting)?
        }
    };
    // As it was written, even by a version that knew fewer fields.
    adapted.settings.recipe.clone_from(&compressed.settings.recipe);
    let exact = sha256(&adapted.to_bytes(&model)) == *digest;
    Ok(Replayed { adapted, exact, device: device.clone() })
}
