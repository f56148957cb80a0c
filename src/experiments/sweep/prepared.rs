//! A sweep as its files say it, before it has a device.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::data::StoredSplit;
use crate::disk::{atomic, text_file};
use crate::error::{Error, Result};
use crate::experiments::sweep::spec::{SweepSpec, Trial};
use crate::experiments::sweep::state::{Rung, State};
use crate::store::directory::LOCK;
use crate::store::split_file;

const SPEC: &str = "sweep.toml";
const BASE: &str = "base.toml";

/// A sweep that was read, before it has a device.
#[derive(Debug)]
pub struct Prepared {
    text: String,
    pub(super) spec: SweepSpec,
    base: Config,
    pub(super) trials: Vec<Trial>,
    /// Meta-iterations after each rung, and the trials that take part.
    pub(super) rungs: Vec<(u64, usize)>,
}

impl Prepared {
    /// Reads and checks the sweep in the file `path`.
    ///
    /// # Errors
    /// See [`SweepSpec`]; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_file::read(path)?;
        let spec = SweepSpec::from_toml(&text, &path.display().to_string())?;
        let base = spec.base(atomic::folder_of(path))?;
        Self::new(text, spec, base)
    }

    /// The sweep that was begun in `folder`.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none, [`Error::Io`].
    pub fn reopen(folder: &Path) -> Result<Self> {
        if !State::is_in(folder) {
            let message = "holds no sweep to go on with; begin one instead of resuming it";
            return Err(Error::data(folder, message));
        }
        let path = folder.join(SPEC);
        let text = text_file::read(&path)?;
        let spec = SweepSpec::from_toml(&text, &path.display().to_string())?;
        Self::new(text, spec, Config::load(folder.join(BASE))?)
    }

    fn new(text: String, spec: SweepSpec, base: Config) -> Result<Self> {
        let trials = spec.trials(&base)?;
        let rungs = spec.rungs(base.iterations, trials.len())?;
        Ok(Self { text, spec, base, trials, rungs })
    }

    /// Whether a sweep was begun in `folder`.
    pub fn is_in(folder: &Path) -> bool {
        State::is_in(folder)
    }

    /// What the sweep in `folder` has finished.
    ///
    /// # Errors
    /// [`Error::Data`] if its state is damaged, [`Error::Io`].
    pub fn finished(folder: &Path) -> Result<Vec<Rung>> {
        Ok(State::load(folder)?.rungs)
    }

    /// Refuses a folder that holds a sweep, or anything that no sweep has put there.
    ///
    /// # Errors
    /// [`Error::Data`], [`Error::Io`].
    pub fn check_unused(folder: &Path) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        if !folder.is_dir() {
            return Err(Error::data(folder, "is a file, not a folder; give another folder"));
        }
        if State::is_in(folder) {
            let message = "already holds a sweep; resume it, or give another folder";
            return Err(Error::data(folder, message));
        }
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            // What a sweep that was killed before it began leaves.
            let own = [SPEC, BASE, LOCK, split_file::NAME].iter().any(|name| path.ends_with(name));
            if !own && !atomic::is_temporary(&path) {
                let name = path.file_name().unwrap_or_default().display();
                let message = format!("is not empty: it holds `{name}`; give another folder");
                return Err(Error::data(folder, message));
            }
        }
        Ok(())
    }

    /// The split of the data set that the sweep in `folder` was begun with.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged, [`Error::Io`].
    pub fn split(folder: &Path) -> Result<Option<StoredSplit>> {
        StoredSplit::load(folder)
    }

    /// Writes what [`Prepared::reopen`] reads.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        atomic::write(&folder.join(BASE), self.base.to_toml().as_bytes())?;
        atomic::write(&folder.join(SPEC), self.text.as_bytes())
    }

    /// A SHA-256 (hex) of everything that must not change while the sweep is under way.
    pub(super) fn hash(&self) -> String {
        let all = format!("{}\n{}\n{}", self.text, self.base.hash(), self.base.iterations);
        Sha256::digest(all).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Looks for the data set in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no working directory that it could be seen from.
    pub fn set_data(&mut self, folder: &Path) -> Result<()> {
        let folder = std::path::absolute(folder).map_err(Error::io(folder))?;
        let trials = self.trials.iter_mut().map(|trial| &mut trial.config);
        for config in trials.chain([&mut self.base]) {
            config.tasks.set_data(&folder);
        }
        Ok(())
    }

    /// The configuration that all trials share.
    pub fn base(&self) -> &Config {
        &self.base
    }

    /// Number of configurations, and of seeds of each.
    pub fn size(&self) -> [usize; 2] {
        [self.trials.len(), self.spec.seeds]
    }

    /// Whether `path` holds the same sweep.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_that_of(&self, path: &Path) -> Result<bool> {
        Ok(text_file::read(path)? == self.text)
    }
}
