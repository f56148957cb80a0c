//! What a run's states are worth: scores on test tasks, and what of them is written down.

mod per_task;
mod sharing;

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::cluster::Ranks;
use crate::config::Job;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::InnerRule;
use crate::meta::{
    AdaptationSetup, Score, Start, StartingPoint, Summary, Tested, TrainingState, evaluate_until,
};
use crate::model::Loss;
use crate::rng::Phase;
use crate::store::metrics::{nan_if_null, some_nan_if_null};
use crate::tasks::Episodes;

pub use per_task::PerTask;
pub(crate) use sharing::shared_scores;

/// What is said where a memory is asked for and there is none.
pub(crate) const NO_MEMORY: &str =
    "the run has no memory to start from; train with memory.capacity, or leave the warm start out";

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
#[non_exhaustive]
pub struct Evaluation {
    /// Whether the trained or the initial parameters were adapted.
    pub origin: Origin,
    /// Index of the run, 0..R.
    pub run: usize,
    /// Seed of this run.
    pub seed: u64,
    /// Whether the queries of a task shared one batch.
    pub transductive: bool,
    /// Of each test task, before and after adaptation; of fewer tasks than were asked for where the evaluation was stopped.
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
#[non_exhaustive]
pub struct Test<'a> {
    /// The modes of evaluation: whether the queries of a task share one batch.
    pub transductive: &'a [bool],
    /// What tasks (or the order of their minibatches) are drawn from; without one, each run's own seed.
    pub seed: Option<u64>,
    /// A list of tasks, instead of drawing them.
    pub episodes: Option<&'a Episodes>,
    /// Once this is true, tasks that are not begun are left out.
    pub stop: Option<&'a AtomicBool>,
    /// The ranks that have the tasks together; all of them get all scores.
    pub ranks: Option<&'a Ranks>,
}

impl<'a> Test<'a> {
    /// The tasks that each run's own seed draws, in the modes `transductive`.
    pub fn new(transductive: &'a [bool]) -> Self {
        Self { transductive, seed: None, episodes: None, stop: None, ranks: None }
    }

    /// How many tasks there are.
    fn count(&self, job: &Job, models: Option<&[Vec<f32>]>) -> usize {
        let listed = self.episodes.map(Episodes::len);
        models.map(<[_]>::len).or(listed).unwrap_or(job.config().eval.tasks)
    }
}

impl Evaluation {
    /// Adapts run `run` of `snapshot` to the tasks of `test`, once for all modes; returns the modes in
    /// their order.
    ///
    /// # Errors
    /// As [`crate::meta::evaluate`] and [`crate::meta::evaluate_episodes`].
    pub fn trained(
        gpu: &Gpu,
        job: &Job,
        snapshot: &TrainingState,
        run: usize,
        test: Test<'_>,
    ) -> Result<Vec<Self>> {
        Self::of(gpu, job, Origin::Trained, &snapshot.starting_point(run)?, run, test, None)
    }

    /// The same with `models` (one for each test task, `[P]`) in place of an adaptation of run `run`.
    ///
    /// # Errors
    /// As [`crate::meta::evaluate_models`].
    pub fn models(
        gpu: &Gpu,
        job: &Job,
        snapshot: &TrainingState,
        run: usize,
        models: &[Vec<f32>],
        test: Test<'_>,
    ) -> Result<Vec<Self>> {
        let start = snapshot.starting_point(run)?;
        Self::of(gpu, job, Origin::Trained, &start, run, test, Some(models))
    }

    /// The same, each task from the entry of the run's memory that fits its support set best.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no memory, or for tasks from a list; as [`crate::meta::evaluate_warm`].
    pub fn warm(
        gpu: &Gpu,
        job: &Job,
        snapshot: &TrainingState,
        run: usize,
        test: Test<'_>,
    ) -> Result<Vec<Self>> {
        let entries =
            snapshot.memory_points(&job.config().memory, job.config().outer.meta_batch, run)?;
        if entries.is_empty() {
            return Err(Error::config("memory.capacity", NO_MEMORY));
        }
        if test.episodes.is_some() {
            let message =
                "tasks from a list start from the run's parameters; leave the list of episodes out";
            return Err(Error::config("warm_start", message));
        }
        let count = job.config().eval.tasks;
        let setup = Self::setup(job, run, test, count);
        let scores = shared_scores(test.ranks, count, |tasks| {
            evaluate_until(gpu, &setup, Start::Each, Tested::Warm(&entries), tasks, test.stop)
        })?;
        Ok(Self::in_modes(job, Origin::Trained, run, test, scores))
    }

    /// The same from the initial parameters of run 0, with the rates that the training starts from.
    ///
    /// # Errors
    /// As [`Evaluation::trained`].
    pub fn random(gpu: &Gpu, job: &Job, test: Test<'_>) -> Result<Vec<Self>> {
        let parameters = job.model().initial(job.config().seed);
        let start = StartingPoint::new(parameters);
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
        let count = test.count(job, models);
        let mut setup = Self::setup(job, run, test, count);
        if origin == Origin::Random && matches!(setup.rule, InnerRule::Refined { .. }) {
            // There are no sums that its rates could go on from.
            setup.rule = InnerRule::learned(job.config().inner_steps());
        }
        let scores = shared_scores(test.ranks, count, |tasks| {
            let tested = match (test.episodes, models) {
                (_, Some(models)) => Tested::Models(models),
                (Some(episodes), None) => Tested::Listed(episodes),
                (None, None) => Tested::Drawn,
            };
            evaluate_until(gpu, &setup, start.into(), tested, tasks, test.stop)
        })?;
        Ok(Self::in_modes(job, origin, run, test, scores))
    }

    /// How run `run` is tested on `count` tasks.
    fn setup(job: &Job, run: usize, test: Test<'_>, count: usize) -> AdaptationSetup {
        let mut setup = job.evaluation(run, Phase::Test);
        setup.transductive = test.transductive.to_vec();
        setup.seed = test.seed.unwrap_or(setup.seed);
        setup.expected_tasks = setup.expected_tasks.max(count);
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

    /// Tasks whose loss after adaptation is not finite.
    pub fn diverged(&self) -> usize {
        self.scores.len() - self.left().count()
    }

    /// Means and intervals over the tasks that did not diverge, before and after adaptation.
    pub fn summaries(&self) -> [Summary; 2] {
        [0, 1].map(|when| Summary::of(self.left().map(move |pair| pair[when])))
    }

    /// The same as it is written down.
    pub fn scored(&self, loss: Loss) -> BeforeAfter {
        let [before, after] = self.summaries().map(|summary| Scored::of(&summary, loss));
        BeforeAfter { seed: self.seed, diverged: self.diverged(), before, after }
    }

    /// The scores of the tasks that did not diverge.
    fn left(&self) -> impl Iterator<Item = &[Score; 2]> + Clone {
        self.scores.iter().filter(|[_, after]| after.loss.is_finite())
    }
}

/// Means over tasks with the halves of their 95 % intervals. What is undefined is NaN, `null` in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scored {
    /// Mean query loss.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// Half-width of the 95 % interval of `loss`.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss_interval: f64,
    /// Mean share of right answers, for classes only.
    #[serde(
        default,
        deserialize_with = "some_nan_if_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub accuracy: Option<f64>,
    /// Half-width of the 95 % interval of `accuracy`, for classes only.
    #[serde(
        default,
        deserialize_with = "some_nan_if_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub accuracy_interval: Option<f64>,
}

/// Scores of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeforeAfter {
    /// Seed of the run.
    pub seed: u64,
    /// Tasks that diverged and are left out of the means.
    #[serde(default)]
    pub diverged: usize,
    /// Without adaptation.
    pub before: Scored,
    /// After the inner steps of the evaluation.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tasks, of which the second diverges.
    pub fn evaluation() -> Evaluation {
        let score = |loss, accuracy| Score::new(loss, accuracy, 5);
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
    fn scores_read_back_as_they_were_written() {
        let score = |loss, accuracy| Score::new(loss, accuracy, 5);
        let mut two = evaluation();
        two.scores[1][1] = score(0.3, 0.0);
        let scored = two.scored(Loss::CrossEntropy);
        assert_eq!((scored.seed, scored.diverged, scored.after.accuracy), (6, 0, Some(0.5)));
        let text = serde_json::to_string(&scored).unwrap();
        assert_eq!(serde_json::from_str::<BeforeAfter>(&text).unwrap(), scored);
        let old = text.replace("\"diverged\":0,", "");
        assert!(!old.contains("diverged"), "{old}");
        assert_eq!(serde_json::from_str::<BeforeAfter>(&old).unwrap(), scored);
        let text = serde_json::to_string(&two.scored(Loss::Mse)).unwrap();
        assert!(!text.contains("accuracy"), "{text}");
    }

    #[test]
    fn tasks_that_diverged_are_left_out_and_what_is_undefined_is_null() {
        let mut evaluation = evaluation();
        let scored = evaluation.scored(Loss::CrossEntropy);
        assert_eq!((scored.diverged, scored.before.loss), (1, 1.5), "of the task that is left");
        assert_eq!((scored.after.loss, scored.after.accuracy), (f64::from(0.1_f32), Some(1.0)));
        let again = |scored: &BeforeAfter| -> (String, BeforeAfter) {
            let text = serde_json::to_string(scored).unwrap();
            let read = serde_json::from_str(&text).unwrap();
            (text, read)
        };
        let (text, read) = again(&scored);
        assert_eq!(text.matches("_interval\":null").count(), 4, "{text}");
        assert_eq!((read.diverged, read.after.accuracy), (1, Some(1.0)));
        assert!(read.after.loss_interval.is_nan());
        assert!(read.after.accuracy_interval.unwrap().is_nan(), "undefined is not missing");
        evaluation.scores.remove(0);
        let (_, read) = again(&evaluation.scored(Loss::CrossEntropy));
        assert_eq!(read.diverged, 1);
        assert!(read.after.loss.is_nan() && read.after.accuracy.unwrap().is_nan());
    }
}
