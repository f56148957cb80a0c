//! The steps of the protocol on a device: tasks are scored, meta-steps taken.

use rand::RngExt;

use super::{Arrivals, LEARNERS, Protocol};
use crate::config::Config;
use crate::data::arrays::Targets;
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

/// What all steps of the protocol need.
pub(super) struct Stage<'a> {
    pub gpu: &'a Gpu,
    pub config: &'a Config,
    pub model: Model,
    pub arrivals: Arrivals<'a>,
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

    pub fn check(&self, protocol: &Protocol) -> Result<()> {
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
                expected_tasks: 0,
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
                expected_tasks: 0,
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

    pub fn leader(&self, steps: usize, outer_rate: f32, initial: &[f32]) -> Result<Leader> {
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
    pub fn scorer(&self, samples: usize) -> Result<Adaptation> {
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
    pub fn score(
        &self,
        scorer: &mut Adaptation,
        samples: usize,
        starts: &[StartingPoint; 3],
        task: usize,
    ) -> Result<[f64; 3]> {
        // It holds nothing that outlives a task.
        scorer.start_from_each(starts)?;
        if let Arrivals::Files(files) = self.arrivals {
            let (model, file) = (&self.model, &files[task]);
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
    pub fn learn(&self, learner: &mut Leader, last: usize, step: usize) -> Result<()> {
        let stream = Stream::new(self.config.seed, Phase::Replay, last as u32, step as u32);
        let mut draws = stream.draws(Part::Task);
        let tasks: Vec<u32> = (0..self.config.outer.meta_batch)
            .map(|_| draws.random_range(0..=last as u32))
            .collect();
        let Arrivals::Files(files) = self.arrivals else { return learner.step(&tasks) };
        learner.step_on(&tasks, |buffers, tasks| {
            let of = || tasks.iter().map(|task| &files[*task as usize]);
            let x: Vec<f32> = of().flat_map(|file| &file.support_x).copied().collect();
            buffers.upload_support_x(self.gpu, &self.model, &x)?;
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            for file in of() {
                match &file.support_y {
                    Targets::Values(own) => values.extend_from_slice(own),
                    Targets::Labels(own) => labels.extend_from_slice(own),
                }
            }
            match self.model.loss() {
                Loss::Mse => buffers.upload_support_values(self.gpu, &self.model, &values),
                Loss::CrossEntropy => buffers.upload_support_labels(self.gpu, &labels),
            }
        })
    }
}
