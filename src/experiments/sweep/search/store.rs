//! The states of a sweep's batches in its folder, whole at any moment.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::Search;
use super::rounds::News;
use crate::config::Config;
use crate::disk::atomic;
use crate::error::{Error, Result};
use crate::experiments::sweep::state::Member;
use crate::meta::TrainingState;
use crate::store::checkpoint::{Checkpoint, CheckpointFile, RunInfo};

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

    /// Takes what all ranks say of their batches, from number `first` on: which runs are left of each, and where there is a new
    /// state of them (`own`, of this rank's), that as well.
    pub(super) fn keep(
        &mut self,
        first: usize,
        all: &[News],
        own: Option<&TrainingState>,
    ) -> Result<()> {
        let rung = self.state.rungs.len();
        let own = own.map(|state| self.file_of(first + self.team.rank(), state)).transpose()?;
        let states = self.team.to_first(own.unwrap_or_default())?;
        let mut files = Vec::new();
        for (rank, news) in all.iter().enumerate() {
            let Some(batch) = self.state.now.get_mut(first + rank) else { break };
            self.state.diverged.extend(&news.diverged);
            let fewer = news.members.len() < batch.members.len();
            batch.members.clone_from(&news.members);
            let old = self.folder.join(&batch.file);
            if !news.moved {
                continue;
            }
            // Another number of runs is another file, so that state and file fit together at any moment.
            if fewer {
                batch.file = file_name(rung, first + rank, news.members.len());
            }
            if self.team.writes() {
                atomic::write(&self.folder.join(&batch.file), &states[rank])?;
                files.extend(Some(old).filter(|old| fewer && old.exists()));
            }
        }
        if all.iter().any(|news| news.moved || !news.diverged.is_empty()) {
            self.save_state()?;
        }
        files.into_iter().try_for_each(|old| std::fs::remove_file(&old).map_err(Error::io(old)))
    }

    /// The bytes of a batch's states.
    fn file_of(&self, batch: usize, state: &TrainingState) -> Result<Vec<u8>> {
        let members = &self.state.now[batch].members;
        let config = &self.trials[members[0][0]].config;
        let config = Config { runs: state.runs, ..config.clone() };
        let run = RunInfo::of(&config, self.job.stored_split());
        let checkpoint = Checkpoint { run, state: state.clone() };
        let path = self.folder.join(&self.state.now[batch].file);
        Ok(CheckpointFile::of(path, &checkpoint, self.job.model())?.bytes().to_vec())
    }

    /// What this rank's batch of `round` goes on from; the first rank reads it. Nothing at the beginning, or where there is no
    /// batch.
    pub(super) fn starts(&self, rung: usize, round: Range<usize>) -> Result<Option<TrainingState>> {
        let start = |index: usize| -> Result<Vec<u8>> {
            let batch = &self.state.now[index];
            let file = self.folder.join(&batch.file);
            let state = match rung {
                _ if batch.members.is_empty() => return Ok(Vec::new()),
                _ if file.exists() => self.load(&file)?,
                0 => return Ok(Vec::new()),
                _ => self.handed_on(&batch.members)?,
            };
            self.file_of(index, &state)
        };
        let mut starts = Vec::new();
        if self.team.writes() {
            starts = round.map(start).collect::<Result<_>>()?;
            starts.resize(self.team.size(), Vec::new());
        }
        let bytes = self.team.scatter(starts)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let file = CheckpointFile::from_bytes(&self.folder, bytes);
        Ok(Some(file.checkpoint(self.job.model())?.state))
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
