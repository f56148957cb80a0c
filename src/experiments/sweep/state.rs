//! What a sweep's folder knows: finished rungs, and who trains where.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::{atomic, text_file};
use crate::error::{Error, Result};
use crate::model::Loss;
use crate::store::metrics::nan_if_null;

const FILE: &str = "state.json";

/// A trial with one seed: its number among the trials, and that of its seed.
pub(super) type Member = [usize; 2];

/// Runs that train in one device batch, in the order of their states in `file`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub file: String,
    pub members: Vec<Member>,
}

/// What a trial's state after a rung is worth, on validation tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrialScore {
    /// Number of the trial.
    pub trial: usize,
    /// Accuracy for classes, else loss: mean over seeds; NaN where a seed diverged.
    #[serde(deserialize_with = "nan_if_null")]
    pub metric: f64,
    /// The metric of each seed.
    #[serde(deserialize_with = "crate::store::metrics::nans_if_null")]
    pub seeds: Vec<f64>,
    /// Half of its 95 % interval over tasks; NaN if a seed has none.
    #[serde(deserialize_with = "nan_if_null")]
    pub interval: f64,
    /// Tasks of all seeds that diverged and are left out of the metric.
    #[serde(default)]
    pub diverged_tasks: usize,
}

/// A finished rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rung {
    /// Meta-iterations done.
    pub iterations: u64,
    /// Of the trials that took part.
    pub scores: Vec<TrialScore>,
}

/// What a run is worth in the rung under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunScore {
    pub member: Member,
    /// Over the validation tasks that did not diverge; NaN if none is left.
    #[serde(deserialize_with = "nan_if_null")]
    pub metric: f64,
    /// Half of the 95 % interval over tasks; NaN for fewer than two.
    #[serde(deserialize_with = "nan_if_null")]
    pub interval: f64,
    /// Tasks that diverged.
    #[serde(default)]
    pub diverged_tasks: usize,
    /// Right answers, and all, of the others; none of regression.
    #[serde(default)]
    pub right: Option<[u64; 2]>,
}

/// The state of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Hash of what the sweep was begun with.
    pub sweep: String,
    pub rungs: Vec<Rung>,
    /// Runs whose loss was not finite once.
    pub diverged: BTreeSet<Member>,
    /// Those of the rung before.
    pub before: Vec<Batch>,
    /// Those of the rung under way; none if it has not begun.
    pub now: Vec<Batch>,
    /// Of the rung under way, as far as they are known.
    pub scores: Vec<RunScore>,
    /// Classes that were missing and images that had changed when it went on with `--changed-data`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_data: Vec<String>,
}

impl State {
    /// Whether a sweep was begun in `folder`.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = text_file::read(&path)?;
        let damaged = |error| Error::data(&path, format!("is not the state of a sweep: {error}"));
        serde_json::from_str(&text).map_err(damaged)
    }

    pub fn save(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("plain data");
        atomic::write(&folder.join(FILE), format!("{text}\n").as_bytes())
    }
}

/// The best first, behind those under which no task diverged the others (their metric is one of the easier tasks
/// alone); without a metric last.
pub(super) fn ranked(loss: Loss, scores: &[TrialScore]) -> Vec<&TrialScore> {
    let mut ranked: Vec<&TrialScore> = scores.iter().collect();
    let badness = |score: &TrialScore| match loss {
        _ if score.metric.is_nan() => f64::INFINITY,
        Loss::CrossEntropy => -score.metric,
        Loss::Mse => score.metric,
    };
    let group = |score: &TrialScore| (score.metric.is_nan(), score.diverged_tasks > 0);
    ranked.sort_by(|a, b| {
        let first = group(a).cmp(&group(b)).then(badness(a).total_cmp(&badness(b)));
        first.then(a.trial.cmp(&b.trial))
    });
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_are_not_finite_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let score = |metric| RunScore {
            member: [0, 0],
            metric,
            interval: metric,
            diverged_tasks: 0,
            right: Some([17, 60]),
        };
        let scores = vec![score(0.5), score(f64::NAN), score(f64::INFINITY)];
        State { scores, ..State::default() }.save(folder.path()).unwrap();
        let read = State::load(folder.path()).unwrap().scores;
        assert_eq!(read[0], score(0.5));
        assert!(read[1..].iter().all(|it| it.metric.is_nan() && it.interval.is_nan()));
        let old = r#"{"member": [0, 0], "metric": 0.5, "interval": 0.5}"#;
        let before = RunScore { right: None, ..score(0.5) };
        assert_eq!(serde_json::from_str::<RunScore>(old).unwrap(), before);
    }
}
