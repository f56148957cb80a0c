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
//! | `rounds.u/NAME` | like `NAME` | momentum of the steps between ranks |
//!
//! Metadata (strings): `format`, `iteration`, `adam_steps`, `seed`, `runs`, `config_hash`, `config`
//! (TOML), `arithmetic` ([`ARITHMETIC`], where it is not 1), `ranks` (likewise), `split` (JSON: the classes of the data set's parts with digests),
//! and the digests of all of it (`src/store/digests.rs`). The same content gives the same bytes.

#[cfg(feature = "files")]
mod file;
mod format;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::disk::tensor_file::TensorFile;
use crate::error::{Error, Result};
use crate::meta::TrainingState;
use crate::model::Model;
use crate::store::digests::{self, sha256};

#[cfg(feature = "files")]
pub use file::{file_name, numbered};
pub use format::FORMAT;

/// How this version's kernels calculate, mostly the order in which they add numbers, where that changed the bytes of a training: 1 in
/// checkpoints that say nothing, 2 until batch-norms on real GPUs had more invocations a column and the subgroup's fused kernel
/// summed a gradient before its step, 3 until the head on real GPUs summed rows in parts, 4 until the bytes of images became numbers
/// by a product instead of a division. A run goes on exactly only under the arithmetic that it was begun with.
pub const ARITHMETIC: u32 = 5;

/// What a checkpoint knows of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// Run r has the seed `seed + r`.
    pub seed: u64,
    /// Hash of the part of the configuration that must not change on resume, where whoever made the checkpoint knows it; earlier
    /// versions compare it.
    pub config_hash: String,
    /// The whole configuration as TOML.
    pub config: String,
    /// The split of the data set, as [`crate::data::StoredSplit`] writes it; none without a data set, and in
    /// checkpoints from before it was stored.
    pub split: Option<String>,
    /// The [`ARITHMETIC`] that made it.
    pub arithmetic: u32,
    /// How many ranks trained it together.
    pub ranks: usize,
}

impl RunInfo {
    /// That of a run with `seed` under `config`, a text in TOML, on the data set with this split, if there is one.
    pub fn new(seed: u64, config: String, split: Option<String>) -> Self {
        Self { seed, config_hash: String::new(), config, split, arithmetic: ARITHMETIC, ranks: 1 }
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
    /// That of `run` in the state `state`.
    pub fn new(run: RunInfo, state: TrainingState) -> Self {
        Self { run, state }
    }
}

/// The bytes of a checkpoint: what is read from them stays one state, also while the run goes on and removes the
/// file.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Whether others may lie beside it.
    on_disk: bool,
}

impl CheckpointFile {
    /// What somebody calls `name` and has in memory.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        Self { path: name.into(), bytes, on_disk: false }
    }

    /// The file of `checkpoint`, a run of `model`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that names `name` and what could not be loaded: a value that is not finite, a set that does not
    /// fit the network.
    pub fn of(name: impl Into<PathBuf>, checkpoint: &Checkpoint, model: &Model) -> Result<Self> {
        let path = name.into();
        match checkpoint.to_bytes(model) {
            Ok(bytes) => Ok(Self::from_bytes(path, bytes)),
            Err(message) => Err(Error::checkpoint(&path, message)),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it was read from, or what it is called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of its bytes in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    /// Reads and checks the checkpoint of a run of `model`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that names the tensor or field that is missing, unknown, of a wrong
    /// shape or type, not finite or changed, and, of a file on disk, offers the newest good checkpoint before it in
    /// the same folder.
    pub fn checkpoint(&self, model: &Model) -> Result<Checkpoint> {
        let read = |file: &TensorFile<'_>| Checkpoint::from_file(model, file);
        self.take(read).map_err(|error| self.with_older(error, |file| read(file).map(|_| ())))
    }

    /// Reads what the checkpoint says of itself.
    ///
    /// # Errors
    /// As [`CheckpointFile::checkpoint`], but the tensors are not looked at.
    pub fn header(&self) -> Result<Header> {
        self.take(Header::from_file).map_err(|error| self.with_older(error, digests::check))
    }

    /// Adds to the error of a damaged checkpoint on disk the newest one before it that is `good`.
    fn with_older(
        &self,
        error: Error,
        good: impl Fn(&TensorFile<'_>) -> Result<(), String>,
    ) -> Error {
        #[cfg(feature = "files")]
        if self.on_disk {
            return file::offer_older(error, good);
        }
        let _ = (self.on_disk, good);
        error
    }

    /// Parses the bytes and hands them to `take`, whose complaint becomes an error; so does a name on disk that is another
    /// checkpoint's.
    fn take<T>(&self, take: impl Fn(&TensorFile<'_>) -> Result<T, String>) -> Result<T> {
        TensorFile::parse(&self.bytes)
            .and_then(|file| {
                let taken = take(&file)?;
                #[cfg(feature = "files")]
                if self.on_disk {
                    file::check_name(&self.path, Header::from_file(&file)?.iteration)?;
                }
                Ok(taken)
            })
            .map_err(|message| Error::checkpoint(&self.path, message))
    }
}
