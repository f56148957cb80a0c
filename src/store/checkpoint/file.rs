//! Checkpoints on disk: safe writing, the folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Checkpoint, CheckpointFile, Header, RunInfo};
use crate::config::Config;
use crate::data::StoredSplit;
use crate::disk::shell::quoted;
use crate::disk::tensor_file::TensorFile;
use crate::disk::{atomic, read};
use crate::error::{Error, Result};
use crate::model::Model;

const EXTENSION: &str = "safetensors";

impl RunInfo {
    /// That of a run under `config` on the data set with this split.
    pub fn of(config: &Config, split: Option<&StoredSplit>) -> Self {
        let own = Self::new(config.seed, config.to_toml(), split.map(StoredSplit::to_json));
        Self { config_hash: config.hash(), ..own }
    }
}

impl Checkpoint {
    /// Writes the checkpoint to `path`, whole or not at all, in place of what was there.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a value is not finite or a set does not fit `model` (a file that
    /// could not be loaded is never written), [`Error::Io`].
    pub fn save(&self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        atomic::write(path, CheckpointFile::of(path, self, model)?.bytes())
    }

    /// Reads and checks the checkpoint of a run of `model`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that names the tensor or field that is missing, unknown, of a wrong
    /// shape or type, not finite or changed, and offers the newest good checkpoint before it in
    /// the same folder; [`Error::Io`].
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        CheckpointFile::open(path)?.checkpoint(model)
    }

    /// Reads what a checkpoint says of itself.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], but the tensors are not looked at.
    pub fn load_header(path: impl AsRef<Path>) -> Result<Header> {
        CheckpointFile::open(path)?.header()
    }
}

impl CheckpointFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read::bytes(path)?;
        Ok(Self { on_disk: true, ..Self::from_bytes(path, bytes) })
    }
}

/// The name of the checkpoint after `iteration` meta-iterations.
pub fn file_name(iteration: u64) -> String {
    format!("{iteration:010}.{EXTENSION}")
}

/// The checkpoints of a folder that are named by their iteration, oldest first.
///
/// # Errors
/// [`Error::Io`].
pub fn numbered(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        found.extend(iteration_of(&path).map(|iteration| (iteration, path)));
    }
    found.sort();
    Ok(found)
}

/// The iteration in a name given by [`file_name`].
fn iteration_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let iteration = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()?;
    (file_name(iteration) == name).then_some(iteration)
}

/// Refuses a file that is named after another iteration than its own: what is newest would be a matter of names.
pub(super) fn check_name(path: &Path, iteration: u64) -> Result<(), String> {
    match iteration_of(path) {
        Some(other) if other != iteration => Err(format!(
            "is named after iteration {other} and holds iteration {iteration}: it was copied or renamed; call it {}, or \
             remove it",
            file_name(iteration)
        )),
        _ => Ok(()),
    }
}

/// Adds to the error of a damaged checkpoint the newest one before it that is `good`.
pub(super) fn offer_older(
    error: Error,
    good: impl Fn(&TensorFile<'_>) -> Result<(), String>,
) -> Error {
    let Error::Checkpoint { path, message } = error else { return error };
    let before = iteration_of(&path).unwrap_or(u64::MAX);
    let siblings = numbered(atomic::folder_of(&path)).unwrap_or_default();
    let mut older = siblings.into_iter().rev().filter(|(iteration, _)| *iteration < before);
    let is_good = |older: &Path| CheckpointFile::open(older).is_ok_and(|it| it.take(&good).is_ok());
    let message = match older.find(|(_, older)| is_good(older)) {
        Some((iteration, older)) => format!(
            "{message}; the one of iteration {iteration} is good: go on from {0}, or evaluate or \
             adapt it",
            quoted(&older)
        ),
        None => format!("{message}; no good older one lies beside it"),
    };
    Error::Checkpoint { path, message }
}
