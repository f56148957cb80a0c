//! A checkpoint: everything that a run needs to go on exactly where it was, in one safetensors
//! file.
//!
//! Tensors, by the model's names (`dense1.weight`, …), all f32, in PyTorch's shapes:
//!
//! | name | shape | when |
//! |---|---|---|
//! | `NAME` | [R, ...shape], with one run [...shape] | always |
//! | `inner.v/NAME` | like `NAME`; with a state for each slot [R, M, ...shape] | an inner optimiser with a second moment: Adam, AdamW, RMSprop |
//! | `inner.m/NAME` | like `inner.v/NAME` | one with a first moment: momentum, Adam and AdamW with β1 > 0 |
//! | `outer.u/NAME` | like `NAME` | outer momentum and Nesterov, or the mean direction of a strategy |
//! | `outer.m/NAME`, `outer.v/NAME` | like `NAME` | outer Adam |
//! | `strategy.rate/NAME` | like `NAME` | a learned strategy: σ |
//! | `memory/NAME` | [R, n, ...shape] | a memory of n entries |
//! | `memory.v/NAME`, `memory.m/NAME`, `memory.h/NAME` | like `memory/NAME` | their inner moments; what they tell a strategy |
//! | `memory.loss` | `[R, n]` | the losses of their last inner steps |
//! | `strategy.b/NAME`, `strategy.g/NAME` | like `NAME` | the strategy ARUBA |
//!
//! Metadata (strings): `format`, `iteration`, `adam_steps`, `seed`, `runs`, `config_hash`, `config`
//! (TOML), `arithmetic` ([`ARITHMETIC`], where it is not 1), `split` (JSON: the classes of the data set's parts with digests), `digests` (JSON: the SHA-256 of each of these fields as `metadata/FIELD` and of each
//! tensor's bytes by its name) and `digest` (the SHA-256 of `digests`). So any changed byte is
//! found and named. The same content gives the same bytes.

mod format;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::data::StoredSplit;
use crate::disk::atomic;
use crate::disk::shell::quoted;
use crate::disk::tensor_file::TensorFile;
use crate::error::{Error, Result};
use crate::meta::TrainingState;
use crate::model::Model;

pub use format::FORMAT;
pub(crate) use format::sha256;

const EXTENSION: &str = "safetensors";

/// The order in which this version's kernels add numbers, where that changed the bytes of a training: 1 in
/// checkpoints that say nothing, 2 until batch-norms on real GPUs had more invocations a column and the subgroup's fused kernel
/// summed a gradient before its step, 3 until the head on real GPUs summed rows in parts. A run goes on exactly only under the
/// arithmetic that it was begun with.
pub const ARITHMETIC: u32 = 4;

/// What a checkpoint knows of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// Run r has the seed `seed + r`.
    pub seed: u64,
    /// Hash of the part of the configuration that must not change on resume; earlier versions compare it.
    pub config_hash: String,
    /// The whole configuration as TOML.
    pub config: String,
    /// The split of the data set, as [`crate::data::StoredSplit`] writes it; none without a data set, and in
    /// checkpoints from before it was stored.
    pub split: Option<String>,
    /// The [`ARITHMETIC`] that made it.
    pub arithmetic: u32,
}

impl RunInfo {
    /// That of a run under `config` on the data set with this split.
    pub fn new(config: &Config, split: Option<&StoredSplit>) -> Self {
        Self {
            seed: config.seed,
            config_hash: config.hash(),
            config: config.to_toml(),
            split: split.map(StoredSplit::to_json),
            arithmetic: ARITHMETIC,
        }
    }

    /// Refuses what training would go on from, but not to the bytes of a run that was never interrupted. Who wants to
    /// go on nonetheless sets `arithmetic` to [`ARITHMETIC`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that names `path`.
    pub fn check_arithmetic(&self, path: &Path) -> Result<()> {
        if self.arithmetic == ARITHMETIC {
            return Ok(());
        }
        let message = format!(
            "its state was made by a version whose kernels add numbers in another order (arithmetic {}, here \
             {ARITHMETIC}): training would go on, but not to the same bytes; go on with that version",
            self.arithmetic
        );
        Err(Error::checkpoint(path, message))
    }
}

/// What a checkpoint says of itself; readable without its model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Inner Adam steps done: the t of its bias correction.
    pub adam_steps: u64,
    /// Independent runs R.
    pub runs: usize,
    /// Its run.
    pub run: RunInfo,
}

/// A checkpoint in memory.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Its run.
    pub run: RunInfo,
    /// What training goes on from.
    pub state: TrainingState,
}

impl Checkpoint {
    /// Writes the checkpoint to `path`, whole or not at all, in place of what was there.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a value is not finite or a set does not fit `model` (a file that
    /// could not be loaded is never written), [`Error::Io`].
    pub fn save(&self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.to_bytes(model).map_err(|message| Error::checkpoint(path, message))?;
        atomic::write(path, &bytes)
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

/// The bytes of a checkpoint: what is read from them stays one state, also while the run goes on and removes the
/// file.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl CheckpointFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self { path: path.into(), bytes: fs::read(path).map_err(Error::io(path))? })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of its bytes in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    /// As [`Checkpoint::load`].
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn checkpoint(&self, model: &Model) -> Result<Checkpoint> {
        let good = |older: &Path| read(older, |file| Checkpoint::from_file(model, file)).is_ok();
        self.take(|file| Checkpoint::from_file(model, file)).map_err(|it| offer_older(it, good))
    }

    /// As [`Checkpoint::load_header`].
    ///
    /// # Errors
    /// As [`Checkpoint::load_header`].
    pub fn header(&self) -> Result<Header> {
        let good = |older: &Path| read(older, format::check_digests).is_ok();
        self.take(Header::from_file).map_err(|error| offer_older(error, good))
    }

    /// Parses the bytes and hands them to `take`, whose complaint becomes an error.
    fn take<T>(&self, take: impl Fn(&TensorFile<'_>) -> Result<T, String>) -> Result<T> {
        TensorFile::parse(&self.bytes)
            .and_then(|file| take(&file))
            .map_err(|message| Error::checkpoint(&self.path, message))
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

/// Parses the file at `path` and hands it to `take`, whose complaint becomes an error.
fn read<T>(path: &Path, take: impl Fn(&TensorFile<'_>) -> Result<T, String>) -> Result<T> {
    CheckpointFile::open(path)?.take(take)
}

/// Adds to the error of a damaged checkpoint the newest one before it that is `good`.
fn offer_older(error: Error, good: impl Fn(&Path) -> bool) -> Error {
    let Error::Checkpoint { path, message } = error else { return error };
    let before = iteration_of(&path).unwrap_or(u64::MAX);
    let siblings = numbered(atomic::folder_of(&path)).unwrap_or_default();
    let older = siblings.into_iter().filter(|(iteration, _)| *iteration < before);
    let message = match older.rev().find(|(_, older)| good(older)) {
        Some((iteration, older)) => format!(
            "{message}; the one of iteration {iteration} is good: go on from {0}, or evaluate or \
             adapt it",
            quoted(&older)
        ),
        None => format!("{message}; no good older one lies beside it"),
    };
    Error::Checkpoint { path, message }
}
