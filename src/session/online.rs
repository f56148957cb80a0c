//! Online learning over a stream of tasks: the follow-the-meta-leader protocol (Finn et al. 2019, arXiv
//! 1902.08438). A task arrives, is adapted to with its first samples and scored on the rest; then it joins the tasks
//! that meta-steps are taken on. Beside the learner go two others that adapt in the same way: one is trained on all
//! tasks jointly, with as many gradients, and one starts from the initial parameters every time.

use rand::RngExt;
use serde::Serialize;

use crate::config::{Config, Job};
use crate::data::arrays::{Targets, TaskArrays};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::InnerRule;
use crate::meta::{
    Adaptation, AdaptationSetup, Algorithm, Leader, Origin, OuterOptimizer, Score, StartingPoint,
    Starts,
};
use crate::model::{Loss, Model};
use crate::rng::{Part, Phase, Stream};
use crate::tasks::{Batches, Normalize, TaskSpec};

/// The learners, in the order of all lists.
pub const LEARNERS: [&str; 3] = ["reptile", "joint", "scratch"];

/// The tasks of a stream, in the order in which they arrive.
#[derive(Clone, Copy, Debug)]
pub enum Arrivals<'a> {
    /// Test tasks of a configuration.
    Drawn(&'a Job),
    /// One task each, all of the same size.
    Files(&'a [TaskArrays]),
}

/// What is done with each task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Protocol {
    /// Tasks that arrive.
    pub tasks: usize,
    /// Samples (a class, where there are classes) that are adapted with, ascending; the last number counts for the
    /// regret, all of them for the samples to the threshold.
    pub samples: Vec<usize>,
    /// Meta-steps R after each task.
    pub meta_steps: usize,
    /// The error that counts as learned.
    pub threshold: f64,
}

impl Protocol {
    /// `tasks` tasks that are adapted to with `samples` samples each, `meta_steps` meta-steps R after each, and `threshold`
    /// as the error that counts as learned.
    pub fn new(tasks: usize, samples: Vec<usize>, meta_steps: usize, threshold: f64) -> Self {
        Self { tasks, samples, meta_steps, threshold }
    }
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Arrival {
    /// Its place in the stream, counted from 0.
    pub task: usize,
    /// The error (loss, or share of wrong answers) of each learner with all samples.
    pub error: [f64; 3],
    /// The fewest samples with which each one's error is at most the threshold.
    pub samples_to_threshold: [Option<usize>; 3],
}

/// A stream that was learned from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The numbers that the stream was gone through with.
    pub protocol: Protocol,
    /// [`LEARNERS`], the order of all lists.
    pub learners: [&'static str; 3],
    /// One a task, in their order; fewer than the protocol has where the stream was stopped.
    pub arrivals: Vec<Arrival>,
    /// Σ over the tasks of the error of the first learner, less that of each: negative where it is ahead.
    pub regret: [f64; 3],
    /// Mean samples to the threshold over the tasks that reach it; none if no task does.
    pub samples: [Option<f64>; 3],
    /// Share of the tasks that reach the threshold.
    pub reached: [f64; 3],
}

impl Report {
    fn new(protocol: Protocol, arrivals: Vec<Arrival>) -> Self {
        let all = arrivals.len().max(1) as f64;
        let each = [0, 1, 2];
        let needed = |learner: usize| -> Vec<f64> {
            let needed = arrivals.iter().filter_map(|one| one.samples_to_threshold[learner]);
            needed.map(|count| count as f64).collect()
        };
        Self {
            regret: each.map(|learner| {
                arrivals.iter().map(|one| one.error[0] - one.error[learner]).sum::<f64>()
            }),
            samples: each.map(|learner| {
                let needed = needed(learner);
                (!needed.is_empty()).then(|| needed.iter().sum::<f64>() / needed.len() as f64)
            }),
            reached: each.map(|learner| needed(learner).len() as f64 / all),
            learners: LEARNERS,
            protocol,
            arrivals,
        }
    }

    /// The mean error of each learner over the arrivals from `first` on.
    pub fn errors_from(&self, first: usize) -> [f64; 3] {
        let late = &self.arrivals[first.min(self.arrivals.len())..];
        [0, 1, 2].map(|learner| {
            late.iter().map(|one| one.error[learner]).sum::<f64>() / late.len().max(1) as f64
        })
    }
}

/// Goes through the stream; `observe` is told each arrival and may stop it.
///
/// # Errors
/// [`Error::Config`] for impossible numbers, or if a learner diverges; as
/// [`Adaptation::new`].
pub fn learn(
    gpu: &Gpu,
    config: &Config,
    arrivals: Arrivals<'_>,
    protocol: &Protocol,
    mut observe: impl FnMut(&Arrival) -> bool,
) -> Result<Report> {
    let model = config.validate()?;
    let stage = Stage { gpu, config, model: &model, arrivals };
    stage.check(protocol)?;
    let initial = model.initial(config.seed);
    let steps = config.inner_steps();
    let mut learners =
        [stage.leader(steps, config.outer.rate, &initial)?, stage.leader(1, 1.0, &initial)?];
    let mut scorers: Vec<Adaptation> =
        protocol.samples.iter().map(|samples| stage.scorer(*samples)).collect::<Result<_>>()?;
    let mut all = Vec::new();
    for task in 0..protocol.tasks {
        let [reptile, joint] = [learners[0].parameters()?, learners[1].parameters()?];
        if let Some(run) =
            [&reptile, &joint].iter().position(|set| set.iter().any(|v| !v.is_finite()))
        {
            let message = format!(
                "the learner `{}` diverged before task {task}; lower it or outer.rate",
                LEARNERS[run]
            );
            return Err(Error::config("inner.rate", message));
        }
        let starts = [reptile, joint, initial.clone()].map(StartingPoint::new);
        let mut needed = [None; 3];
        let mut error = [f64::NAN; 3];
        for (samples, scorer) in protocol.samples.iter().zip(scorers.iter_mut()) {
            error = stage.score(scorer, *samples, &starts, task)?;
            for (needed, error) in needed.iter_mut().zip(error) {
                *needed = needed.or((error <= protocol.threshold).then_some(*samples));
            }
        }
        for (learner, rounds) in learners.iter_mut().zip([1, steps]) {
            for step in 0..protocol.meta_steps * rounds {
                stage.learn(learner, task, step)?;
            }
        }
        let arrival = Arrival { task, error, samples_to_threshold: needed };
        let going = observe(&arrival);
        all.push(arrival);
        if !going {
            break;
        }
    }
    Ok(Report::new(protocol.clone(), all))
}

/// What all steps of the protocol need.
struct Stage<'a> {
    gpu: &'a Gpu,
    config: &'a Config,
    model: &'a Model,
    arrivals: Arrivals<'a>,
}

impl Stage<'_> {
    /// Samples of a task (a class) in all.
    fn available(&self) -> usize {
        match (self.arrivals, &self.config.tasks) {
            // Of these the examples behind are the queries.
            (Arrivals::Drawn(_), TaskSpec::Arrays(spec)) => spec.shots,
            (Arrivals::Drawn(_), tasks) => tasks.groups()[1],
            (Arrivals::Files(files), _) => files.first().map_or(0, |file| file.support),
        }
    }

    fn check(&self, protocol: &Protocol) -> Result<()> {
        let available = self.available();
        let most = match self.arrivals {
            Arrivals::Drawn(_) => available,
            // Something must be left to score.
            Arrivals::Files(_) => available.saturating_sub(1),
        };
        let ascending = protocol.samples.windows(2).all(|pair| pair[0] < pair[1]);
        let possible = protocol.samples.iter().all(|count| (1..=most).contains(count));
        if protocol.samples.is_empty() || !ascending || !possible {
            let message = format!(
                "{:?}: give ascending numbers from 1 to {most}, what a task has",
                protocol.samples
            );
            return Err(Error::config("samples", message));
        }
        let outer = &self.config.outer;
        if outer.algorithm != Algorithm::Reptile || outer.optimizer != OuterOptimizer::Interpolation
        {
            let message = "online learning takes Reptile's steps; set outer.algorithm = \"reptile\" and \
                           outer.optimizer = \"interpolation\"";
            return Err(Error::config("outer", message));
        }
        if !protocol.threshold.is_finite() {
            return Err(Error::config("threshold", "give a number"));
        }
        if protocol.tasks == 0 || protocol.meta_steps == 0 {
            return Err(Error::config("tasks and meta_steps", "give 1 or more"));
        }
        if let (Arrivals::Files(_), TaskSpec::Arrays(spec)) = (self.arrivals, &self.config.tasks)
            && spec.normalize != Normalize::None
        {
            let message = "is by the training part, of which a stream from files has none; normalise those yourself, and \
                           set \"none\"";
            return Err(Error::config("tasks.normalize", message));
        }
        if let Arrivals::Files(files) = self.arrivals {
            let same = files.iter().all(|file| file.support == available && file.tasks == 1);
            if !same || files.len() < protocol.tasks {
                let message = format!(
                    "{} files; each must hold one task (support_x [1, N, …]), all of them with equally many \
                     examples N",
                    files.len()
                );
                return Err(Error::config("arrivals", message));
            }
        }
        Ok(())
    }

    /// How tasks are adapted to in batches of `batches`.
    fn setup(&self, batches: Batches) -> AdaptationSetup {
        let (config, scored) = (self.config, true);
        match self.arrivals {
            Arrivals::Drawn(job) => AdaptationSetup {
                rule: InnerRule::Optimizer(config.inner.rule()),
                batches,
                ..job.evaluation(0, Phase::Test)
            },
            Arrivals::Files(_) => AdaptationSetup {
                model: self.model.clone(),
                rule: InnerRule::Optimizer(config.inner.rule()),
                rate: config.inner.rate,
                weight_decay: config.inner.weight_decay,
                plan: config.plan,
                origin: Origin::Rows {
                    queries: self.available() - batches.support(),
                    ordered: false,
                },
                phase: Phase::Test,
                seed: config.seed,
                scored,
                transductive: vec![config.eval.transductive],
                classes: None,
                batches,
            },
        }
    }

    fn way(&self) -> usize {
        match self.arrivals {
            Arrivals::Drawn(_) => self.config.tasks.groups()[0],
            Arrivals::Files(_) => 1,
        }
    }

    fn leader(&self, steps: usize, outer_rate: f32, initial: &[f32]) -> Result<Leader> {
        let inner = &self.config.inner;
        let setup = self.setup(Batches {
            way: self.way(),
            group: self.available(),
            tail: 0,
            steps,
            batch: inner.batch,
            replacement: inner.replacement && inner.batch <= self.way() * self.available(),
        });
        Leader::new(self.gpu, setup, self.config.outer.meta_batch, outer_rate, initial)
    }

    /// Adapts three learners with so many samples.
    fn scorer(&self, samples: usize) -> Result<Adaptation> {
        let eval = &self.config.eval;
        let way = self.way();
        let setup = self.setup(Batches {
            way,
            group: samples,
            tail: 0,
            steps: eval.steps,
            batch: eval.batch.min(way * samples),
            replacement: eval.replacement,
        });
        Adaptation::with_starts(self.gpu, setup, 1, Starts::All(LEARNERS.len()))
    }

    /// The error of each learner on the rest of task `task`.
    fn score(
        &self,
        scorer: &mut Adaptation,
        samples: usize,
        starts: &[StartingPoint; 3],
        task: usize,
    ) -> Result<[f64; 3]> {
        // It holds nothing that outlives a task.
        scorer.start_from_each(starts)?;
        if let Arrivals::Files(files) = self.arrivals {
            let (model, file) = (self.model, &files[task]);
            let tasks = scorer.tasks();
            let [ins, outs] = [model.inputs(), model.outputs()];
            let (x, rest) = file.support_x.split_at(samples * ins);
            tasks.upload_support_x(self.gpu, model, &x.repeat(3))?;
            tasks.upload_query_x(self.gpu, model, &rest.repeat(3))?;
            match &file.support_y {
                Targets::Values(values) => {
                    let (y, rest) = values.split_at(samples * outs);
                    tasks.upload_support_values(self.gpu, model, &y.repeat(3))?;
                    tasks.upload_query_values(self.gpu, model, &rest.repeat(3))?;
                }
                Targets::Labels(labels) => {
                    let (y, rest) = labels.split_at(samples);
                    tasks.upload_support_labels(self.gpu, &y.repeat(3))?;
                    tasks.upload_query_labels(self.gpu, &rest.repeat(3))?;
                }
            }
        }
        scorer.run(task)?;
        let scores = scorer.scores()?;
        let error = |score: &Score| match self.model.loss() {
            Loss::CrossEntropy => 1.0 - f64::from(score.accuracy),
            Loss::Mse => f64::from(score.loss),
        };
        Ok([0, 1, 2].map(|learner| error(&scores[0][learner][1])))
    }

    /// A meta-step on tasks that are drawn from those up to `last`.
    fn learn(&self, learner: &mut Leader, last: usize, step: usize) -> Result<()> {
        let stream = Stream::new(self.config.seed, Phase::Replay, last as u32, step as u32);
        let mut draws = stream.draws(Part::Task);
        let tasks: Vec<u32> = (0..self.config.outer.meta_batch)
            .map(|_| draws.random_range(0..=last as u32))
            .collect();
        if let Arrivals::Files(files) = self.arrivals {
            let buffers = learner.adaptation().tasks();
            let of = || tasks.iter().map(|task| &files[*task as usize]);
            let x: Vec<f32> = of().flat_map(|file| &file.support_x).copied().collect();
            buffers.upload_support_x(self.gpu, self.model, &x)?;
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            for file in of() {
                match &file.support_y {
                    Targets::Values(own) => values.extend_from_slice(own),
                    Targets::Labels(own) => labels.extend_from_slice(own),
                }
            }
            match self.model.loss() {
                Loss::Mse => buffers.upload_support_values(self.gpu, self.model, &values)?,
                Loss::CrossEntropy => buffers.upload_support_labels(self.gpu, &labels)?,
            }
        }
        learner.step(&tasks)
    }
}
