//! Training a run: iterations, metrics, validation, checkpoints and stopping.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{IterationLosses, Snapshot, Summary, Trainer, evaluate};
use crate::model::Loss;
use crate::rng::Phase;
use crate::run::RunDirectory;
use crate::run::checkpoint::Checkpoint;
use crate::run::job::Job;
use crate::run::metrics::{
    InnerRecord, MetricsLog, Record, TrainRecord, ValidationRecord, read, truncate_after,
};
use crate::run::stored::{checkpoint_of, snapshot_of, starting_point};

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All iterations are done.
    Finished,
    /// The time budget is spent.
    Time,
    /// The validation metric reached the target.
    Target,
    /// The validation metric stopped improving.
    Patience,
    /// The observer asked to stop.
    Interrupted,
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Meta-iterations wanted.
    pub iterations: u64,
    /// Loss of the first and of the last minibatch, mean over runs and tasks.
    pub loss: [f64; 2],
    /// Tasks a second since the session began.
    pub tasks_per_second: f64,
}

/// What an observer hears.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A meta-iteration is done.
    Iteration(Progress),
    /// A line was added to the metrics.
    Record(&'a Record),
}

/// A run that is being trained.
#[derive(Debug)]
pub struct Session {
    gpu: Gpu,
    job: Job,
    trainer: Trainer,
    directory: RunDirectory,
    log: MetricsLog,
    began: Instant,
    began_at: u64,
    window: Vec<Window>,
    best: Option<f64>,
    without_gain: u32,
}

/// Sums over the iterations since the last train record, for one run.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    first: f64,
    last: f64,
    count: f64,
}

impl Session {
    /// Starts a run in a new folder at `path`, made only once the device has taken the job.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`RunDirectory::create`].
    pub fn start(gpu: &Gpu, job: Job, path: &Path) -> Result<Self> {
        let trainer = job.trainer(gpu)?;
        let directory = RunDirectory::create(path)?;
        directory.write_config(&job.config().to_toml())?;
        Self::new(gpu, job, trainer, directory)
    }

    /// Goes on from `checkpoint` (from the beginning without one), exactly; checkpoints and metrics
    /// after it are removed.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration differs where it must not, otherwise as
    /// [`Session::start`].
    pub fn resume(
        gpu: &Gpu,
        job: Job,
        directory: RunDirectory,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self> {
        let mut trainer = job.trainer(gpu)?;
        let iteration = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.iteration);
        if let Some(checkpoint) = checkpoint {
            trainer.restore(&snapshot_of(checkpoint))?;
        }
        directory.remove_after(iteration)?;
        truncate_after(directory.metrics_path(), iteration)?;
        directory.write_config(&job.config().to_toml())?;
        Self::new(gpu, job, trainer, directory)
    }

    fn new(gpu: &Gpu, job: Job, trainer: Trainer, directory: RunDirectory) -> Result<Self> {
        let log = MetricsLog::append(directory.metrics_path())?;
        let mut session = Self {
            gpu: gpu.clone(),
            window: vec![Window::default(); job.config().runs],
            log,
            began: Instant::now(),
            began_at: trainer.iteration(),
            best: None,
            without_gain: 0,
            job,
            trainer,
            directory,
        };
        session.recall()?;
        Ok(session)
    }

    /// Takes the best validation and the patience used so far from the metrics.
    fn recall(&mut self) -> Result<()> {
        let mut sums: Vec<(u64, f64)> = Vec::new();
        for record in read(self.directory.metrics_path())? {
            if let Record::Validation(line) = record {
                let metric = line.accuracy.unwrap_or(line.loss);
                match sums.last_mut() {
                    Some((iteration, sum)) if *iteration == line.iteration => *sum += metric,
                    _ => sums.push((line.iteration, metric)),
                }
            }
        }
        for (_, sum) in sums {
            self.judge(sum / self.job.config().runs as f64);
        }
        Ok(())
    }

    /// The folder of the run.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// The trainer.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Trains until the end, a stopping rule, or until `observe` returns false; the last state is
    /// saved in every case.
    ///
    /// # Errors
    /// [`Error::Diverged`] (the last good checkpoint stays), [`Error::DeviceLost`], [`Error::Io`].
    pub fn train(&mut self, mut observe: impl FnMut(Event<'_>) -> bool) -> Result<Outcome> {
        let config = self.job.config().clone();
        let outcome = loop {
            let iteration = self.trainer.iteration();
            if iteration >= config.iterations {
                break Outcome::Finished;
            }
            let next = |every: u64| {
                iteration.checked_div(every).map_or(u64::MAX, |done| (done + 1) * every)
            };
            let end = config
                .iterations
                .min(next(config.log.checkpoint_every))
                .min(next(config.eval.every));
            let stopped = self.advance(end - iteration, &mut observe)?;
            let now = self.trainer.iteration();
            let mut verdict = None;
            if config.eval.every > 0 && now == end && now.is_multiple_of(config.eval.every) {
                verdict = self.validate(&mut observe)?;
            }
            if stopped.is_none() && now.is_multiple_of(config.log.checkpoint_every) {
                self.save()?;
            }
            if let Some(outcome) = stopped.or(verdict) {
                break outcome;
            }
        };
        if !self.directory.checkpoint_path(self.trainer.iteration()).exists() {
            self.save()?;
        }
        Ok(outcome)
    }

    /// Runs up to `iterations` iterations; says why if it stopped early.
    fn advance(
        &mut self,
        iterations: u64,
        observe: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<Option<Outcome>> {
        let config = self.job.config();
        let budget = config.stop.seconds.map(Duration::from_secs_f64);
        let rates =
            |iteration| [self.trainer.outer_rate(iteration), self.trainer.inner_rate(iteration)];
        let rates: Vec<[f32; 2]> =
            (0..iterations).map(|step| rates(self.trainer.iteration() + step)).collect();
        let first = self.trainer.iteration();
        let mut recorder = Recorder {
            config,
            log: &mut self.log,
            window: &mut self.window,
            began: self.began,
            began_at: self.began_at,
        };
        let mut stopped = None;
        let mut failure = None;
        let result = self.trainer.advance(iterations, |losses| {
            let [outer, inner] = rates[(losses.iteration - first) as usize];
            match recorder.take(losses, outer, inner, observe) {
                Ok(true) => {}
                Ok(false) => stopped = Some(Outcome::Interrupted),
                Err(error) => failure = Some(error),
            }
            if stopped.is_none() && budget.is_some_and(|budget| recorder.began.elapsed() >= budget)
            {
                stopped = Some(Outcome::Time);
            }
            stopped.is_none() && failure.is_none()
        });
        result?;
        failure.map_or(Ok(stopped), Err)
    }

    /// Evaluates every run on validation tasks; says why if training should stop.
    fn validate(&mut self, observe: &mut impl FnMut(Event<'_>) -> bool) -> Result<Option<Outcome>> {
        let snapshot = self.trainer.snapshot()?;
        let config = self.job.config().clone();
        let tasks = config.eval.validation_tasks;
        let mut sum = 0.0;
        for run in 0..config.runs {
            let setup = self.job.evaluation(run, Phase::Validation);
            let scores = evaluate(&self.gpu, &setup, &starting_point(&snapshot, run), tasks)?;
            let after = Summary::of(scores.iter().map(|pair| pair[1]));
            let classes = self.job.model().loss() == Loss::CrossEntropy;
            let metric = if classes { after.accuracy } else { after.loss };
            sum += metric.mean;
            let record = Record::Validation(ValidationRecord {
                iteration: snapshot.iteration,
                run,
                seed: config.seed.wrapping_add(run as u64),
                loss: after.loss.mean,
                accuracy: classes.then_some(after.accuracy.mean),
                interval: metric.interval,
                tasks,
            });
            self.log.write(&record)?;
            observe(Event::Record(&record));
        }
        let metric = sum / config.runs as f64;
        if self.judge(metric) {
            let best = self.directory.best_path();
            checkpoint_of(&config, snapshot).save(self.job.model(), best)?;
        }
        let reached = config.stop.target.is_some_and(|target| match self.job.model().loss() {
            Loss::CrossEntropy => metric >= target,
            Loss::Mse => metric <= target,
        });
        let tired = config.stop.patience.is_some_and(|patience| self.without_gain >= patience);
        Ok(if reached { Some(Outcome::Target) } else { tired.then_some(Outcome::Patience) })
    }

    /// Compares a validation metric with the best so far; true if it is better.
    fn judge(&mut self, metric: f64) -> bool {
        let better = self.best.is_none_or(|best| match self.job.model().loss() {
            Loss::CrossEntropy => metric > best,
            Loss::Mse => metric < best,
        });
        if better {
            self.best = Some(metric);
            self.without_gain = 0;
        } else {
            self.without_gain += 1;
        }
        better
    }

    fn save(&self) -> Result<()> {
        let snapshot: Snapshot = self.trainer.snapshot()?;
        let (iteration, config) = (snapshot.iteration, self.job.config());
        if let Some(run) = snapshot
            .parameters
            .iter()
            .position(|parameters| parameters.iter().any(|value| !value.is_finite()))
        {
            return Err(Error::Diverged { run, iteration, loss: f32::NAN });
        }
        let checkpoint = checkpoint_of(config, snapshot);
        self.directory.save(&checkpoint, self.job.model(), config.log.keep)?;
        Ok(())
    }
}

/// Turns losses into lines of the metrics.
struct Recorder<'a> {
    config: &'a crate::run::Config,
    log: &'a mut MetricsLog,
    window: &'a mut [Window],
    began: Instant,
    began_at: u64,
}

impl Recorder<'_> {
    /// Takes one iteration; false if the observer wants to stop.
    fn take(
        &mut self,
        losses: &IterationLosses,
        outer_rate: f32,
        inner_rate: f32,
        observe: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool> {
        let runs = self.config.runs;
        let done = losses.iteration + 1;
        let seconds = self.began.elapsed().as_secs_f64();
        let tasks = (done - self.began_at) * (runs * self.config.outer.meta_batch) as u64;
        let tasks_per_second = tasks as f64 / seconds.max(1e-9);
        let mut loss = [0.0; 2];
        let mut going = true;
        for run in 0..runs {
            let steps = losses.of_run(run, runs);
            let ends = [f64::from(steps[0]), f64::from(steps[steps.len() - 1])];
            let window = &mut self.window[run];
            window.first += ends[0];
            window.last += ends[1];
            window.count += 1.0;
            loss[0] += ends[0] / runs as f64;
            loss[1] += ends[1] / runs as f64;
            let seed = self.config.seed.wrapping_add(run as u64);
            if done.is_multiple_of(self.config.log.every) || done == self.config.iterations {
                let sums = std::mem::take(window);
                let record = Record::Train(TrainRecord {
                    iteration: done,
                    run,
                    seed,
                    loss_first: sums.first / sums.count,
                    loss_last: sums.last / sums.count,
                    outer_rate,
                    inner_rate,
                    seconds,
                    tasks_per_second,
                });
                self.log.write(&record)?;
                going &= observe(Event::Record(&record));
            }
            if self.config.log.inner > 0 && done.is_multiple_of(self.config.log.inner) {
                let losses = steps.iter().map(|loss| f64::from(*loss)).collect();
                let record = Record::Inner(InnerRecord { iteration: done, run, losses });
                self.log.write(&record)?;
                going &= observe(Event::Record(&record));
            }
        }
        let progress = Progress {
            iteration: done,
            iterations: self.config.iterations,
            loss,
            tasks_per_second,
        };
        Ok(observe(Event::Iteration(progress)) && going)
    }
}
