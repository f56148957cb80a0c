//! The folder of a run: `config.toml`, for tasks over a data set `split.json`, `metrics.jsonl`, `checkpoints/NNNNNNNNNN.safetensors` and
//! `checkpoints/best.safetensors`, on request `tensorboard/seed-S/`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::data::StoredSplit;
use crate::disk::{atomic, text_file};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::store::checkpoint::{self, Checkpoint};
use crate::store::split_file;

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const TENSORBOARD: &str = "tensorboard";
pub(crate) const LOCK: &str = ".lock";

/// The folder of a run. One that was made with [`RunDirectory::create`] or
/// [`RunDirectory::resume`] is locked against other writers until it is dropped or its process
/// ends, in whatever way.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    _lock: Option<File>,
}

impl RunDirectory {
    /// Makes and locks the folder of a new run.
    ///
    /// # Errors
    /// [`Error::Data`] if `path` holds a run or anything else (nothing is then changed) or if
    /// another process has just begun one there, [`Error::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        check_unused(path)?;
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
        let lock = lock(path)?;
        // Another process may have come first between the check and the lock.
        check_unused(path)?;
        atomic::remove_leftovers(path)?;
        atomic::sync_folder(path)?;
        atomic::sync_folder(atomic::folder_of(path))?;
        Ok(Self { path: path.to_owned(), _lock: Some(lock) })
    }

    /// Opens and locks the folder of a run that goes on; what a killed process left half written
    /// is removed.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no run or another process trains it, [`Error::Io`].
    pub fn resume(path: impl AsRef<Path>) -> Result<Self> {
        let mut run = Self::open(path)?;
        run._lock = Some(lock(&run.path)?);
        let checkpoints = run.checkpoint_folder();
        fs::create_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
        atomic::remove_leftovers(&run.path)?;
        atomic::remove_leftovers(&checkpoints)?;
        Ok(run)
    }

    /// Opens the folder of a run to read it, also while it is trained.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no run at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::data(path, "no such folder; give the folder of a run"));
        }
        if !path.join(CONFIG).is_file() {
            let message = format!("holds no run: {CONFIG} is missing; give the folder of a run");
            return Err(Error::data(path, message));
        }
        Ok(Self { path: path.to_owned(), _lock: None })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the metrics lie.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// Where the checkpoint after `iteration` meta-iterations lies.
    pub fn checkpoint_path(&self, iteration: u64) -> PathBuf {
        self.checkpoint_folder().join(checkpoint::file_name(iteration))
    }

    /// Where the checkpoint with the best validation metric lies.
    pub fn best_path(&self) -> PathBuf {
        self.checkpoint_folder().join("best.safetensors")
    }

    /// The iteration of that checkpoint, if there is one that can be read.
    pub fn best_iteration(&self) -> Option<u64> {
        Checkpoint::load_header(self.best_path()).ok().map(|header| header.iteration)
    }

    /// Where the TensorBoard files of the run with this seed lie.
    pub fn tensorboard_path(&self, seed: u64) -> PathBuf {
        self.path.join(TENSORBOARD).join(format!("seed-{seed}"))
    }

    /// Stores the complete configuration and the split of the data set, where there is one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn describe(&self, config: &str, split: Option<&StoredSplit>) -> Result<()> {
        // The configuration is what makes the folder a run's, so it comes last.
        if let Some(split) = split {
            split.save(&self.path)?;
        }
        atomic::write(&self.path.join(CONFIG), config.as_bytes())
    }

    /// The stored split of its data set; none without a data set, and in runs from before it was stored.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged, [`Error::Io`].
    pub fn split(&self) -> Result<Option<StoredSplit>> {
        StoredSplit::load(&self.path)
    }

    /// The stored configuration.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn config_text(&self) -> Result<String> {
        let path = self.path.join(CONFIG);
        text_file::read(&path)
    }

    /// The checkpoints with their iterations, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>> {
        let folder = self.checkpoint_folder();
        if folder.is_dir() { checkpoint::numbered(&folder) } else { Ok(Vec::new()) }
    }

    /// The newest checkpoint, or none if the run has not come to its first.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is damaged; the message offers the newest good one.
    pub fn latest(&self, model: &Model) -> Result<Option<Checkpoint>> {
        let newest = self.checkpoints()?.pop();
        newest.map(|(_, path)| Checkpoint::load(model, path)).transpose()
    }

    /// Stores `checkpoint` and then removes the oldest ones, so that `keep` are left (at least
    /// the one just stored). Returns its path.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is not finite or does not fit `model`, [`Error::Io`].
    pub fn save(&self, checkpoint: &Checkpoint, model: &Model, keep: usize) -> Result<PathBuf> {
        let path = self.checkpoint_path(checkpoint.state.iteration);
        checkpoint.save(model, &path)?;
        let stored = self.checkpoints()?;
        let surplus = stored.len().saturating_sub(keep.max(1));
        for (_, old) in stored.iter().take(surplus).filter(|(_, old)| *old != path) {
            fs::remove_file(old).map_err(Error::io(old))?;
        }
        Ok(path)
    }

    /// Renames the checkpoints after `iteration`, also the best one if it is, for a run that goes on from an older one, and
    /// copies the metrics, of which it has others then. Says what they are called now: `NAME.replaced`, with a number where
    /// there is one from before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_aside_after(&self, iteration: u64) -> Result<Vec<PathBuf>> {
        let mut later = self.checkpoints()?;
        later.extend(self.best_iteration().map(|at| (at, self.best_path())));
        later.retain(|(at, _)| *at > iteration);
        let metrics = self.metrics_path();
        let mut copied = None;
        // First: while later checkpoints are there, a process that is killed here begins again.
        if !later.is_empty() && metrics.is_file() {
            let other = replaced(&metrics);
            fs::copy(&metrics, &other).map_err(Error::io(&metrics))?;
            copied = Some(other);
        }
        let mut aside = Vec::new();
        for (_, path) in later {
            let other = replaced(&path);
            fs::rename(&path, &other).map_err(Error::io(&path))?;
            aside.push(other);
        }
        aside.extend(copied);
        Ok(aside)
    }

    fn checkpoint_folder(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }
}

/// A name for `path` that nothing has yet.
fn replaced(path: &Path) -> PathBuf {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(".replaced");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    (1..).map(numbered).find(|other| !other.exists()).expect("numbers do not end")
}

/// The checkpoint that a user means by `path`: that file, or the newest one in the folder of a
/// run or of checkpoints.
///
/// # Errors
/// [`Error::Data`] if there is nothing or no checkpoint, [`Error::Io`].
pub fn resolve(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        let message = match path.exists() {
            true => "is a pipe, a socket or a device; give a checkpoint or the folder of a run",
            false => "no such file or folder; give a checkpoint or the folder of a run",
        };
        return Err(Error::data(path, message));
    }
    let inner = path.join(CHECKPOINTS);
    let folder = if inner.is_dir() { &inner } else { path };
    match checkpoint::numbered(folder)?.pop() {
        Some((_, newest)) => Ok(newest),
        None => Err(Error::data(
            path,
            "holds no checkpoint; give the folder of a run that has stored one, or the file",
        )),
    }
}

/// Refuses a folder that holds a run or anything that no run has put there: to be asked before long
/// preparations; [`RunDirectory::create`] asks again.
///
/// # Errors
/// [`Error::Data`], [`Error::Io`].
pub fn check_unused(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if !path.is_dir() {
        return Err(Error::data(path, "is a file, not a folder; give another folder"));
    }
    let entries = entries(path)?;
    let checkpoints = path.join(CHECKPOINTS);
    let stored = if checkpoints.is_dir() { self::entries(&checkpoints)? } else { Vec::new() };
    if entries.iter().any(|entry| entry.ends_with(CONFIG) || entry.ends_with(METRICS))
        || stored.iter().any(|entry| !atomic::is_temporary(entry))
    {
        let message = "already holds a run; resume it, or give another folder";
        return Err(Error::data(path, message));
    }
    // What a run that was killed before it began leaves.
    let own = |entry: &Path| {
        [CHECKPOINTS, LOCK, split_file::NAME].iter().any(|name| entry.ends_with(name))
            || atomic::is_temporary(entry)
    };
    match entries.iter().find(|entry| !own(entry)) {
        None => Ok(()),
        Some(other) => {
            let name = other.file_name().unwrap_or_default().display();
            Err(Error::data(path, format!("is not empty: it holds `{name}`; give another folder")))
        }
    }
}

/// What lies in `folder`, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(Error::io(folder))?;
    paths.sort();
    Ok(paths)
}

/// Locks `folder` against other writers until the result is dropped or the process ends.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    if path.exists() && !path.is_file() {
        return Err(Error::data(path, "is no file, which the lock of a folder must be; remove it"));
    }
    let options = File::options().create(true).truncate(false).write(true).to_owned();
    let file = options.open(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::data(
            folder,
            "another process trains this run; wait until it ends, or give another folder",
        )),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!("{}: this file system has no locks", folder.display());
            Ok(file)
        }
        Err(TryLockError::Error(error)) => Err(Error::io(&path)(error)),
    }
}

#[cfg(test)]
mod tests;
