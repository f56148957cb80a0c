//! What is done of a training, beside the run's own files.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data::listed;
use crate::error::Result;
use crate::session::evaluation::BeforeAfter;

/// What is known of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Results {
    /// The devices with their drivers that took part in the training.
    pub devices: Vec<String>,
    /// The iteration at which the training ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<u64>,
    /// Why it could not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Classes that were missing and images that had changed when the training went on with `--changed-data`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_data: Vec<String>,
    /// Those of all runs, modes and evaluation settings so far.
    pub evaluations: Vec<Stored>,
}

/// An evaluation that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stored {
    /// Index of the run, 0..R.
    pub run: usize,
    /// Whether the queries of a task shared one batch.
    pub transductive: bool,
    /// Meta-iterations behind the state.
    pub iteration: u64,
    /// Test tasks.
    pub tasks: usize,
    /// Inner steps on each of them.
    pub steps: usize,
    /// Minibatch size of these steps.
    pub batch: usize,
    /// The device with its driver that evaluated.
    pub device: String,
    /// Time that it took.
    pub seconds: f64,
    /// Classes that were missing and images that had changed (`--changed-data`); empty if it was the same data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changed_data: String,
    /// Loss and accuracy before and after adaptation.
    #[serde(flatten)]
    pub scores: BeforeAfter,
}

impl Results {
    /// What is stored in the folder of a run, or nothing yet.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if the file is damaged, [`crate::Error::Io`].
    pub fn load(run: &Path) -> Result<Self> {
        Ok(super::load(run)?.unwrap_or_default())
    }

    /// Stores it in the folder of a run.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn save(&self, run: &Path) -> Result<()> {
        super::save(run, self)
    }

    /// Notes what `names` says of changed data, the first ones of many, once.
    pub fn note_changes(&mut self, names: &[String]) {
        let said = listed(names);
        if !names.is_empty() && !self.changed_data.contains(&said) {
            self.changed_data.push(said);
        }
    }

    /// What the training and the evaluations were done on that the split did not store.
    pub fn all_changes(&self) -> BTreeSet<&str> {
        let of_evaluations = self.evaluations.iter().map(|one| &one.changed_data);
        let all = self.changed_data.iter().chain(of_evaluations);
        all.map(String::as_str).filter(|changes| !changes.is_empty()).collect()
    }

    /// The evaluation of run `run` in a mode after the whole training, under the settings of
    /// `config`.
    pub fn evaluation(&self, config: &Config, run: usize, transductive: bool) -> Option<&Stored> {
        let eval = &config.eval;
        self.evaluations.iter().find(|one| {
            (one.run, one.transductive, Some(one.iteration)) == (run, transductive, self.finished)
                && [one.tasks, one.steps, one.batch] == [eval.tasks, eval.steps, eval.batch]
        })
    }
}
