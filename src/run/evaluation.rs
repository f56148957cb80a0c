//! What a run's states are worth: scores on test tasks, and what of them is written down.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::InnerRule;
use crate::meta::{
    AdaptationSetup, Score, Snapshot, StartingPoint, Summary, evaluate, evaluate_episodes,
    evaluate_models, evaluate_warm,
};
use crate::model::Loss;
use crate::rng::Phase;
use crate::run::atomic;
use crate::run::job::Job;
use crate::run::metrics::nan_if_null;
use crate::run::stored::{memory_points, starting_point};
use crate::tasks::Episodes;

/// What is said where a memory is asked for and there is none.
pub(crate) const NO_MEMORY: &str =
    "the run has no memory to start from; train with memory.capacity, or leave --warm-start out";

/// What the tasks of an evaluation start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The state of a run.
    Trained,
    /// The initial parameters of a run, as a baseline.
    Random,
}

/// Scores of one starting point in one mode of evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub origin: Origin,
    /// Index of the run, 0..R.
    pub run: usize,
    /// Seed of this run.
    pub seed: u64,
    /// Whether the queries of a task shared one batch.
    pub transductive: bool,
    /// Of each test task, before and after adaptation.
    pub scores: Vec<[Score; 2]>,
}

/// Which modes of evaluation differ for `job`'s network: both where there are batch statistics,
/// otherwise only that of the configuration.
pub fn modes(job: &Job) -> Vec<bool> {
    if job.model().has_batch_statistics() {
        vec![false, true]
    } else {
        vec![job.config().eval.transductive]
    }
}

/// Which test tasks, and how their queries are predicted.
#[derive(Clone, Copy, Debug)]
pub struct Test<'a> {
    /// The modes of evaluation: whether the queries of a task share one batch.
    pub transductive: &'a [bool],
    /// What tasks (or the order of their minibatches) are drawn from; without one, each run's own seed.
    pub seed: Option<u64>,
    /// A list of tasks, instead of drawing them.
    pub episodes: Option<&'a Episodes>,
}

impl Evaluation {
    /// Adapts run `run` of `snapshot` to the tasks of `test`, once for all modes; returns the modes in
    /// their order.
    ///
    /// # Errors
    /// As [`evaluate`] and [`evaluate_episodes`].
    pub fn trained(
        gpu: &Gpu,
        job: &Job,
        snapshot: &Snapshot,
        run: usize,
        test: Test<'_>,
    ) -> Result<Vec<Self>> {
        Self::of(gpu, job, Origin::Trained, &starting_point(snapshot, run), run, test, None)
    }

    /// The same with `models` (one for each test task, `[P]`) in place of an adaptation of run `run`.
    ///
    /// # Errors
    /// As [`evaluate_models`].
    pub fn models(
        gpu: &Gpu,
        job: &Job,
        snapshot: &Snapshot,
        run: usize,
        models: &[Vec<f32>],
        test: Test<'_>,
    ) -> Result<Vec<Self>> {
        let start = starting_point(snapshot, run);
        Self::of(gpu, job, Origin::Trained, &start, run, test, Some(models))
    }

    /// The same, each task from the entry of the run's memory that fits its support set best.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no memory, or for tasks from a list; as [`evaluate_warm`].
    pub fn warm(
        gpu: &Gpu,
        job: &Job,
        snapshot: &Snapshot,
        run: usize,
        test: Test<'_>,
    ) -> Result<Vec<Self>> {
        let entries = memory_points(job.config(), snapshot, run);
        if entries.is_empty() {
            return Err(Error::config("memory.capacity", NO_MEMORY));
        }
        if test.episodes.is_some() {
            let message = "tasks from a list start from the run's parameters; leave --episodes out";
            return Err(Error::config("--warm-start", message));
        }
        let setup = Self::setup(job, run, test);
        let scores = evaluate_warm(gpu, &setup, &entries, job.config().eval.tasks)?;
        Ok(Self::in_modes(job, Origin::Trained, run, test, scores))
    }

    /// The same from the initial parameters of run 0, with the rates that the training starts from.
    ///
    /// # Errors
    /// As [`Evaluation::trained`].
    pub fn random(gpu: &Gpu, job: &Job, test: Test<'_>) -> Result<Vec<Self>> {
        let parameters = job.model().initial(job.config().seed);
        let start = StartingPoint {
            parameters,
            state: [None, None],
            adam_steps: 0,
            rates: None,
            sums: None,
        };
        Self::of(gpu, job, Origin::Random, &start, 0, test, None)
    }

    fn of(
        gpu: &Gpu,
        job: &Job,
        origin: Origin,
        start: &StartingPoint,
        run: usize,
        test: Test<'_>,
        models: Option<&[Vec<f32>]>,
    ) -> Result<Vec<Self>> {
        let mut setup = Self::setup(job, run, test);
        if origin == Origin::Random && matches!(setup.rule, InnerRule::Refined { .. }) {
            // There are no sums that its rates could go on from.
            setup.rule = InnerRule::Rates(None);
        }
        let scores = match (test.episodes, models) {
            (_, Some(models)) => evaluate_models(gpu, &setup, start, models)?,
            (Some(episodes), None) => evaluate_episodes(gpu, &setup, start, episodes)?,
            (None, None) => evaluate(gpu, &setup, start, job.config().eval.tasks)?,
        };
        Ok(Self::in_modes(job, origin, run, test, scores))
    }

    /// How run `run` is tested.
    fn setup(job: &Job, run: usize, test: Test<'_>) -> AdaptationSetup {
        let mut setup = job.evaluation(run, Phase::Test);
        setup.transductive = test.transductive.to_vec();
        setup.seed = test.seed.unwrap_or(setup.seed);
        setup
    }

    /// Every mode with its scores.
    fn in_modes(
        job: &Job,
        origin: Origin,
        run: usize,
        test: Test<'_>,
        scores: Vec<Vec<[Score; 2]>>,
    ) -> Vec<Self> {
        let seed = job.config().seed.wrapping_add(run as u64);
        let modes = test.transductive.iter().zip(scores);
        modes
            .map(|(transductive, scores)| Self {
                origin,
                run,
                seed,
                transductive: *transductive,
                scores,
            })
            .collect()
    }

    /// Means and intervals, before and after adaptation.
    pub fn summaries(&self) -> [Summary; 2] {
        [0, 1].map(|when| Summary::of(self.scores.iter().map(move |pair| pair[when])))
    }

    /// The same as it is written down.
    pub fn scored(&self, loss: Loss) -> BeforeAfter {
        let [before, after] = self.summaries().map(|summary| Scored::of(&summary, loss));
        BeforeAfter { seed: self.seed, before, after }
    }
}

/// Means over tasks with the halves of their 95 % intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    #[serde(deserialize_with = "nan_if_null")]
    pub loss_interval: f64,
    /// For classes only, as are the shares below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_interval: Option<f64>,
}

/// Scores of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeforeAfter {
    pub seed: u64,
    pub before: Scored,
    pub after: Scored,
}

impl Scored {
    fn of(summary: &Summary, loss: Loss) -> Self {
        let classes = loss == Loss::CrossEntropy;
        Self {
            loss: summary.loss.mean,
            loss_interval: summary.loss.interval,
            accuracy: classes.then_some(summary.accuracy.mean),
            accuracy_interval: classes.then_some(summary.accuracy.interval),
        }
    }
}

/// The formats of a file with the scores of every task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerTask {
    Csv,
    Json,
}

/// One task in the file.
#[derive(Serialize)]
struct Line {
    origin: Origin,
    run: usize,
    seed: u64,
    transductive: bool,
    task: usize,
    loss_before: f32,
    accuracy_before: Option<f32>,
    loss_after: f32,
    accuracy_after: Option<f32>,
}

impl PerTask {
    /// The format that the extension of `path` asks for, at which nothing lies yet.
    ///
    /// # Errors
    /// [`Error::Config`] for another extension, [`Error::Data`] if `path` exists or its folder does
    /// not.
    pub fn check(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            Some("csv") => Self::Csv,
            Some("json") => Self::Json,
            _ => {
                let message = format!("`{}` must end in .csv or .json", path.display());
                return Err(Error::config("--per-task", message));
            }
        };
        atomic::check_new(path)?;
        Ok(format)
    }

    /// Writes the scores of every task of `evaluations`, a line or an object each.
    ///
    /// # Errors
    /// [`Error::Data`] if `path` exists, [`Error::Io`].
    pub fn write(self, path: &Path, evaluations: &[Evaluation], loss: Loss) -> Result<()> {
        let lines = evaluations.iter().flat_map(|one| lines(one, loss == Loss::CrossEntropy));
        let text = match self {
            Self::Csv => csv(lines),
            Self::Json => {
                let lines: Vec<Line> = lines.collect();
                serde_json::to_string(&lines)
                    .expect("numbers are valid JSON")
                    .replace("},{", "},\n{")
            }
        };
        atomic::write_new(path, format!("{}\n", text.trim_end()).as_bytes())
    }
}

fn lines(evaluation: &Evaluation, classes: bool) -> impl Iterator<Item = Line> {
    evaluation.scores.iter().enumerate().map(move |(task, [before, after])| Line {
        origin: evaluation.origin,
        run: evaluation.run,
        seed: evaluation.seed,
        transductive: evaluation.transductive,
        task,
        loss_before: before.loss,
        accuracy_before: classes.then_some(before.accuracy),
        loss_after: after.loss,
        accuracy_after: classes.then_some(after.accuracy),
    })
}

fn csv(lines: impl Iterator<Item = Line>) -> String {
    let mut text = "origin,run,seed,transductive,task,\
                    loss_before,accuracy_before,loss_after,accuracy_after\n"
        .to_string();
    for line in lines {
        let origin = match line.origin {
            Origin::Trained => "trained",
            Origin::Random => "random",
        };
        let share = |value: Option<f32>| value.map_or(String::new(), |value| value.to_string());
        text.push_str(&format!(
            "{origin},{},{},{},{},{},{},{},{}\n",
            line.run,
            line.seed,
            line.transductive,
            line.task,
            line.loss_before,
            share(line.accuracy_before),
            line.loss_after,
            share(line.accuracy_after),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Evaluation {
        let score = |loss, accuracy| Score { loss, accuracy };
        Evaluation {
            origin: Origin::Trained,
            run: 1,
            seed: 6,
            transductive: true,
            scores: vec![
                [score(1.5, 0.2), score(0.1, 1.0)],
                [score(2.5, 0.4), score(f32::INFINITY, 0.0)],
            ],
        }
    }

    #[test]
    fn every_task_is_written_in_both_formats() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, loss| {
            let path = folder.path().join(name);
            PerTask::check(&path).unwrap().write(&path, &[evaluation()], loss).unwrap();
            std::fs::read_to_string(path).unwrap()
        };
        let header = "origin,run,seed,transductive,task,\
                      loss_before,accuracy_before,loss_after,accuracy_after\n";
        let classes = "trained,1,6,true,0,1.5,0.2,0.1,1\ntrained,1,6,true,1,2.5,0.4,inf,0\n";
        assert_eq!(written("a.csv", Loss::CrossEntropy), format!("{header}{classes}"));
        let values = "trained,1,6,true,0,1.5,,0.1,\ntrained,1,6,true,1,2.5,,inf,\n";
        assert_eq!(written("b.CSV", Loss::Mse), format!("{header}{values}"));
        let text = written("a.json", Loss::CrossEntropy);
        let lines: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!((lines.len(), text.lines().count()), (2, 2));
        assert_eq!(lines[0]["origin"], "trained");
        assert_eq!(lines[0]["accuracy_before"].to_string(), "0.2");
        assert!(lines[1]["loss_after"].is_null(), "JSON has no infinity");
    }

    #[test]
    fn other_extensions_and_existing_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tasks", "tasks.txt"] {
            let text = PerTask::check(&folder.path().join(name)).unwrap_err().to_string();
            assert!(text.contains("--per-task") && text.contains(".csv or .json"), "{text}");
        }
        let path = folder.path().join("mine.csv");
        std::fs::write(&path, "mine").unwrap();
        let text = PerTask::check(&path).unwrap_err().to_string();
        assert!(text.contains("mine.csv: exists already"), "{text}");
    }

    #[test]
    fn scores_read_back_as_they_were_written() {
        let scored = evaluation().scored(Loss::CrossEntropy);
        assert_eq!((scored.seed, scored.after.accuracy), (6, Some(0.5)));
        let text = serde_json::to_string(&scored).unwrap();
        let again: BeforeAfter = serde_json::from_str(&text).unwrap();
        assert_eq!(again.before, scored.before);
        assert!(again.after.loss.is_nan(), "not finite is null, and null is NaN");
        let text = serde_json::to_string(&evaluation().scored(Loss::Mse)).unwrap();
        assert!(!text.contains("accuracy"), "{text}");
    }
}
