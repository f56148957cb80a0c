//! Adapted models in a file, as `reptile adapt` or `reptile compress` wrote them.

use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::cli::common::{Stored, counting, device_name};
use crate::disk::read;
use crate::disk::tensor_file::TensorFile;
use crate::gpu::Gpu;
use crate::session::replay::{Replayed, replay};
use crate::store::adapted::{self, Adapted, Settings};
use crate::store::compressed::{self, Codec, Compressed};

/// Models that were adapted from a checkpoint, as they are or compressed.
pub enum Models {
    Adapted(Adapted),
    Compressed(Compressed),
}

impl Models {
    /// Whether the file at `path` says that it is one of either kind.
    pub fn are_in(path: &Path) -> bool {
        let format = format_of(path).unwrap_or_default();
        [adapted::FORMAT, compressed::FORMAT].contains(&format.as_str())
    }

    /// Reads the models of the network of `base`, which they must have been adapted from.
    pub fn open(path: &Path, base: &Stored) -> Result<Self> {
        let model = base.config.validate()?;
        let models = match format_of(path)? == compressed::FORMAT {
            true => Self::Compressed(Compressed::load(&model, path)?),
            false => Self::Adapted(Adapted::load(&model, path)?),
        };
        base.check_base(path, models.settings())?;
        Ok(models)
    }

    /// The same, where they were adapted to test tasks.
    pub fn of_test_tasks(path: &Path, base: &Stored) -> Result<Self> {
        let models = Self::open(path, base)?;
        if models.settings().tasks != "test" {
            bail!(
                "{}: these models are of `{}`; `reptile eval` tests those of `reptile adapt --test-tasks`",
                path.display(),
                models.settings().tasks
            );
        }
        Ok(models)
    }

    /// How they were adapted.
    pub fn settings(&self) -> &Settings {
        match self {
            Self::Adapted(adapted) => &adapted.settings,
            Self::Compressed(compressed) => &compressed.settings,
        }
    }

    /// Number of models T.
    pub fn count(&self) -> usize {
        match self {
            Self::Adapted(adapted) => adapted.parameters.len(),
            Self::Compressed(compressed) => compressed.models,
        }
    }

    /// The adapted models, as far as they can be had again.
    pub fn restore(&self, gpu: &Gpu, base: &Stored) -> Result<Adapted> {
        let compressed = match self {
            Self::Adapted(adapted) => return Ok(adapted.clone()),
            Self::Compressed(compressed) if compressed.codec == Codec::Replay => {
                return again(gpu, base, compressed);
            }
            Self::Compressed(compressed) => compressed,
        };
        let start = base.parameters(&compressed.settings)?;
        let parameters = compressed.parameters(gpu, &base.config.validate()?, &start)?;
        let settings = compressed.settings.clone();
        Ok(Adapted { parameters, support_loss: None, query_output: None, settings })
    }
}

/// What the file at `path` says that it is; empty if it does not say.
fn format_of(path: &Path) -> Result<String> {
    let bytes = read::bytes(path)?;
    let file = TensorFile::parse(&bytes).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok(file.metadata.get("format").cloned().unwrap_or_default())
}

/// Adapts again, and warns if the bytes are not those that were there before.
fn again(gpu: &Gpu, base: &Stored, compressed: &Compressed) -> Result<Adapted> {
    let (config, snapshot) = (&base.config, base.snapshot()?);
    let Replayed { adapted, exact, device } = counting("reading images", |reading| {
        counting("adapting", |adapting| {
            replay(gpu, config, &snapshot, compressed, base.data(), reading, adapting)
        })
    })?;
    if !exact {
        let here = device_name(gpu);
        let cause = match device == here {
            true => "the data set or this program changed".to_string(),
            false => format!("they were made on {device}, and this is {here}"),
        };
        note!("warning: the models have other bytes than before: {cause}");
    }
    Ok(adapted)
}
