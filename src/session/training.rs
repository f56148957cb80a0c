//! Training a run: iterations, metrics, validation, checkpoints and stopping.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Job};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{Start, Summary, Trainer, TrainingState, evaluate};
use crate::model::Loss;
use crate::rng::Phase;
use crate::session::best::Best;
use crate::session::progress::{Event, Outcome};
use crate::session::recorder::Recorder;
use crate::store::checkpoint::{Checkpoint, RunInfo};
use crate::store::journal::Journal;
use crate::store::metrics::{self, Record, ValidationRecord};
use crate::store::{RunDirectory, Weights};

/// A run that is being trained.
#[derive(Debug)]
pub struct Session {
    gpu: Gpu,
    job: Job,
    trainer: Trainer,
    directory: RunDirectory,
    recorder: Recorder,
    best: Best,
    set_aside: Vec<PathBuf>,
}

impl Session {
    /// Starts a run in a new folder at `path`, made only once the device has taken the job.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`RunDirectory::create`].
    pub fn start(gpu: &Gpu, job: Job, path: &Path) -> Result<Self> {
        Self::begin(gpu, job, path, None)
    }

    /// The same, from `weights` in every run instead of drawn ones (where there are any); the first checkpoint is of them, so that
    /// the run never needs their file again.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_from(gpu: &Gpu, job: Job, path: &Path, weights: &Weights) -> Result<Self> {
        Self::begin(gpu, job, path, Some(weights))
    }

    /// Either of them.
    fn begin(gpu: &Gpu, job: Job, path: &Path, weights: Option<&Weights>) -> Result<Self> {
        let mut trainer = job.trainer(gpu)?;
        if let Some(weights) = weights {
            let mut state = trainer.snapshot()?;
            state.parameters.iter_mut().for_each(|parameters| weights.onto(parameters));
            trainer.restore(&state)?;
        }
        let session = Self::new(gpu, job, trainer, RunDirectory::create(path)?)?;
        if weights.is_some() {
            session.save()?;
        }
        // At last: a folder with a configuration is a run that can go on, and it must not go on from drawn weights.
        session.directory.describe(&session.job.config().to_toml(), session.job.stored_split())?;
        Ok(session)
    }

    /// Goes on from `checkpoint` (from the beginning without one), exactly; checkpoints
    /// after it are set aside ([`Session::set_aside`]), metrics after it removed.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration differs where it must not, [`Error::Checkpoint`] if the state is of
    /// another arithmetic ([`RunInfo::check_arithmetic`]), otherwise as
    /// [`Session::start`].
    pub fn resume(
        gpu: &Gpu,
        job: Job,
        directory: RunDirectory,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self> {
        let mut trainer = job.trainer(gpu)?;
        let iteration = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.iteration);
        if let Some(checkpoint) = checkpoint {
            checkpoint.run.check_arithmetic(directory.path())?;
            trainer.restore(&checkpoint.state)?;
        }
        let set_aside = directory.set_aside_after(iteration)?;
        metrics::truncate_after(directory.metrics_path(), iteration)?;
        directory.describe(&job.config().to_toml(), job.stored_split())?;
        Ok(Self { set_aside, ..Self::new(gpu, job, trainer, directory)? })
    }

    /// Takes what the folder knows of earlier sessions.
    fn new(gpu: &Gpu, job: Job, trainer: Trainer, directory: RunDirectory) -> Result<Self> {
        let iteration = trainer.iteration();
        let journal = Journal::open(&directory, job.config(), iteration)?;
        let records = metrics::read(directory.metrics_path())?;
        let validations = metrics::validations(&records);
        let best = Best::recall(job.model().loss(), &validations, directory.best_iteration());
        let earlier = metrics::seconds(&records);
        Ok(Self {
            gpu: gpu.clone(),
            recorder: Recorder::new(journal, job.model(), job.config().runs, iteration, earlier),
            best,
            job,
            trainer,
            directory,
            set_aside: Vec::new(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        self.job.config()
    }

    /// The folder of the run.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// What lay in the folder from after the state that the run goes on from, by its new names.
    pub fn set_aside(&self) -> &[PathBuf] {
        &self.set_aside
    }

    /// Classes that are missing and images that changed since the run was begun.
    pub fn changed_data(&self) -> &[String] {
        self.job.changed_data()
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
        let (inner, outer, all) = (&config.inner, &config.outer, config.iterations);
        let recorder = &mut self.recorder;
        let mut stopped = None;
        let mut failure = None;
        let result = self.trainer.advance(iterations, |losses| {
            let rates = [
                outer.schedule.rate(outer.rate, losses.iteration, all),
                inner.schedule.rate(inner.rate, losses.iteration, all),
            ];
            match recorder.take(config, losses, rates, observe) {
                Ok(true) => {}
                Ok(false) => stopped = Some(Outcome::Interrupted),
                Err(error) => failure = Some(error),
            }
            if stopped.is_none() && budget.is_some_and(|budget| recorder.elapsed() >= budget) {
                stopped = Some(Outcome::Time);
            }
            stopped.is_none() && failure.is_none()
        });
        result?;
        failure.map_or(Ok(stopped), Err)
    }

    /// Evaluates every run on validation tasks; says why if training should stop.
    fn validate(&mut self, observe: &mut impl FnMut(Event<'_>) -> bool) -> Result<Option<Outcome>> {
        let config = self.job.config().clone();
        let tasks = config.eval.validation_tasks;
        let mut lines = Vec::new();
        for run in 0..config.runs {
            let setup = self.job.evaluation(run, Phase::Validation);
            let scores = evaluate(&self.gpu, &setup, Start::Run(&self.trainer, run), tasks)?;
            let scores = || scores.iter().flatten().map(|pair| pair[1]);
            let after = Summary::of(scores());
            let queries = scores().map(|score| u64::from(score.queries)).sum();
            let classes = self.job.model().loss() == Loss::CrossEntropy;
            let metric = after.metric(self.job.model().loss());
            let record = ValidationRecord {
                iteration: self.trainer.iteration(),
                run,
                seed: config.seed.wrapping_add(run as u64),
                loss: after.loss.mean,
                accuracy: classes.then_some(after.accuracy.mean),
                interval: metric.interval,
                tasks,
                diverged: after.diverged,
                right: classes.then_some([after.right, queries]),
            };
            lines.push(record.clone());
            self.recorder.write(&Record::Validation(record), observe)?;
        }
        let metric = metrics::metric_of_runs(lines.iter());
        if self.best.take(metric) {
            let best = self.directory.best_path();
            let split = self.job.stored_split();
            let state = self.trainer.snapshot()?;
            let checkpoint = Checkpoint { run: RunInfo::of(&config, split), state };
            checkpoint.save(self.job.model(), best)?;
        }
        let stop = &config.stop;
        if stop.target.is_some_and(|target| self.best.reaches(metric, target)) {
            return Ok(Some(Outcome::Target));
        }
        let tired = stop.patience.is_some_and(|patience| self.best.without_gain() >= patience);
        Ok(tired.then_some(Outcome::Patience))
    }

    fn save(&self) -> Result<()> {
        let snapshot: TrainingState = self.trainer.snapshot()?;
        let (iteration, config) = (snapshot.iteration, self.job.config());
        if let Some(run) = snapshot
            .parameters
            .iter()
            .position(|parameters| parameters.iter().any(|value| !value.is_finite()))
        {
            return Err(Error::Diverged { run, iteration, loss: f32::NAN });
        }
        let run = RunInfo::of(config, self.job.stored_split());
        let checkpoint = Checkpoint { run, state: snapshot };
        self.directory.save(&checkpoint, self.job.model(), config.log.keep)?;
        Ok(())
    }
}
