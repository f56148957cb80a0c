//! The states of a sweep's batches in its folder, whole at any moment.

use std::collections::HashMap;
use std::path::Path;

use super::Search;
use crate::config::Config;
use crate::disk::atomic;
use crate::error::{Error, Result};
use crate::experiments::sweep::state::Member;
use crate::meta::{Trainer, TrainingState};
use crate::store::checkpoint::{Checkpoint, RunInfo};

/// How the names of files with states of batches end.
const STATES: &str = ".states";

/// The file of a batch of so many runs.
pub(super) fn file_name(rung: usize, batch: usize, runs: usize) -> String {
    format!("rung-{}-batch-{}-runs-{runs}{STATES}", rung + 1, batch + 1)
}

impl Search {
    /// Removes what a process that was killed has left: half-written files, and states of batches that
    /// have others now.
    pub(super) fn remove_leftovers(&self) -> Result<()> {
        let folder = &self.folder;
        atomic::remove_leftovers(folder)?;
        let batches = || self.state.before.iter().chain(&self.state.now);
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let state = name.starts_with("rung-") && name.ends_with(STATES);
            if state && batches().all(|batch| batch.file != name) {
                std::fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }

    /// Saves the runs of a batch that have not diverged, which make up the batch from then on.
    pub(super) fn save(&mut self, trainer: &Trainer, index: usize) -> Result<TrainingState> {
        let snapshot = trainer.snapshot()?;
        let members = self.state.now[index].members.clone();
        for (run, member) in members.iter().enumerate() {
            if !snapshot.is_finite(run) {
                self.state.diverged.insert(*member);
            }
        }
        let alive = (0..members.len()).filter(|run| !self.state.diverged.contains(&members[*run]));
        let alive: Vec<usize> = alive.collect();
        let old = self.folder.join(&self.state.now[index].file);
        let batch = &mut self.state.now[index];
        batch.members = alive.iter().map(|run| members[*run]).collect();
        if alive.is_empty() {
            self.state.save(&self.folder)?;
            return Ok(snapshot);
        }
        // Another number of runs is another file, so that state and file fit together at any moment.
        let fewer = alive.len() < members.len();
        if fewer {
            batch.file = file_name(self.state.rungs.len(), index, alive.len());
        }
        let path = self.folder.join(&batch.file);
        let runs: Vec<_> = alive.iter().map(|run| (&snapshot, *run)).collect();
        let snapshot = TrainingState::of_runs(&runs)?;
        let config = &self.trials[members[0][0]].config;
        let config = Config { runs: alive.len(), ..config.clone() };
        let split = self.job.stored_split();
        let run = RunInfo::of(&config, split);
        Checkpoint { run, state: snapshot.clone() }.save(trainer.model(), path)?;
        self.state.save(&self.folder)?;
        if fewer && old.exists() {
            std::fs::remove_file(&old).map_err(Error::io(old))?;
        }
        Ok(snapshot)
    }

    /// The runs in the file `path`.
    pub(super) fn load(&self, path: &Path) -> Result<TrainingState> {
        let checkpoint = Checkpoint::load(self.job.model(), path)?;
        checkpoint.run.check_arithmetic(path)?;
        Ok(checkpoint.state)
    }

    /// What `members` have after the rung before.
    pub(super) fn handed_on(&self, members: &[Member]) -> Result<TrainingState> {
        let mut files: HashMap<&str, TrainingState> = HashMap::new();
        let mut places = Vec::new();
        for member in members {
            let mut batches = self.state.before.iter();
            let found = batches.find_map(|batch| {
                let run = batch.members.iter().position(|it| it == member)?;
                Some((batch.file.as_str(), run))
            });
            let Some((file, run)) = found else {
                let message = format!("does not say where trial {} is", member[0]);
                return Err(Error::data(&self.folder, message));
            };
            if !files.contains_key(file) {
                files.insert(file, self.load(&self.folder.join(file))?);
            }
            places.push((file, run));
        }
        let runs: Vec<_> = places.iter().map(|(file, run)| (&files[file], *run)).collect();
        TrainingState::of_runs(&runs)
    }

    /// Writes the best configuration, and its first seed's state.
    pub(super) fn write_best(&self) -> Result<()> {
        let report = self.report();
        let Some(best) = report.best() else { return Ok(()) };
        let config = &self.trials[best.trial].config;
        let text = format!(
            "# The best of {} configurations of a sweep.\n{}",
            self.trials.len(),
            config.to_toml()
        );
        atomic::write(&self.folder.join("best.toml"), text.as_bytes())?;
        let snapshot = self.handed_on(&[[best.trial, 0]])?;
        let path = self.folder.join("best.safetensors");
        let run = RunInfo::of(config, self.job.stored_split());
        Checkpoint { run, state: snapshot }.save(self.job.model(), path)
    }
}
