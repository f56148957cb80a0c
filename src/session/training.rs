//! Training a run: iterations, metrics, validation, checkpoints and stopping.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Distributed, Ranks};
use crate::config::{Config, Job};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{
    IterationMetrics, Score, Sets, Start, Summary, Tested, Trainer, TrainingState, evaluate_until,
};
use crate::model::Loss;
use crate::rng::Phase;
use crate::session::best::Best;
use crate::session::evaluation::shared_scores;
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
    /// Of a run that several ranks train.
    ranks: Option<Distributed>,
    /// Of ranks that trained the run before: kept for those that may go on.
    round_momentum: Sets,
    /// Of the rank that writes.
    directory: Option<RunDirectory>,
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
        Self::begin(gpu, job, path, None, None)
    }

    /// The same, from `weights` in every run instead of drawn ones (where there are any); the first checkpoint is of them, so that
    /// the run never needs their file again.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_from(gpu: &Gpu, job: Job, path: &Path, weights: &Weights) -> Result<Self> {
        Self::begin(gpu, job, path, Some(weights), None)
    }

    /// Either of them, by all `ranks` together (where there are some), of which the first has the folder.
    ///
    /// # Errors
    /// As [`Session::start`]; [`Error::Ranks`] if another rank could not start.
    pub fn begin(
        gpu: &Gpu,
        job: Job,
        path: &Path,
        weights: Option<&Weights>,
        ranks: Option<Arc<Ranks>>,
    ) -> Result<Self> {
        let of = ranks.as_deref();
        let made = Self::trainer_of(gpu, &job, of).and_then(|mut trainer| {
            if let Some(weights) = weights {
                let mut state = trainer.snapshot()?;
                state.parameters.iter_mut().for_each(|parameters| weights.onto(parameters));
                trainer.restore(&state)?;
            }
            Ok(trainer)
        });
        let trainer = agreed(of, made)?;
        let writes = of.is_none_or(|ranks| ranks.rank() == 0);
        let directory = writes.then(|| RunDirectory::create(path)).transpose();
        let directory = agreed(of, directory)?;
        let session = Self::new(gpu, job, trainer, directory, ranks)?;
        if weights.is_some() {
            session.save()?;
        }
        // At last: a folder with a configuration is a run that can go on, and it must not go on from drawn weights.
        session.describe()?;
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
        Self::go_on(gpu, job, Some(directory), checkpoint, None)
    }

    /// The same by all `ranks` together, each with the same checkpoint and the first with the folder. There may be more or fewer
    /// of them than before.
    ///
    /// # Errors
    /// As [`Session::resume`]; [`Error::Ranks`] if another rank could not go on.
    pub fn go_on(
        gpu: &Gpu,
        job: Job,
        directory: Option<RunDirectory>,
        checkpoint: Option<Checkpoint>,
        ranks: Option<Arc<Ranks>>,
    ) -> Result<Self> {
        let iteration = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.iteration);
        let made = Self::trainer_of(gpu, &job, ranks.as_deref()).and_then(|mut trainer| {
            if let Some(checkpoint) = &checkpoint {
                let path = directory.as_ref().map_or(Path::new("the run"), RunDirectory::path);
                checkpoint.run.check_arithmetic(path)?;
                trainer.restore(&checkpoint.state)?;
            }
            Ok(trainer)
        });
        let trainer = agreed(ranks.as_deref(), made)?;
        let mut set_aside = Vec::new();
        if let Some(directory) = &directory {
            set_aside = directory.set_aside_after(iteration)?;
            metrics::truncate_after(directory.metrics_path(), iteration)?;
        }
        let mut session = Self::new(gpu, job, trainer, directory, ranks)?;
        session.describe()?;
        session.set_aside = set_aside;
        if let Some(checkpoint) = checkpoint {
            let momentum = checkpoint.state.round_momentum;
            match &mut session.ranks {
                Some(ranks) => ranks.restore_momentum(&momentum),
                None => session.round_momentum = momentum,
            }
        }
        Ok(session)
    }

    /// The trainer of a rank's tasks, of all tasks without ranks.
    fn trainer_of(gpu: &Gpu, job: &Job, ranks: Option<&Ranks>) -> Result<Trainer> {
        let mut setup = job.trainer_setup();
        if let Some(ranks) = ranks {
            job.config().distributed.share(&mut setup, ranks.rank(), ranks.size())?;
        }
        Trainer::new(gpu, setup)
    }

    /// Takes what the folder knows of earlier sessions.
    fn new(
        gpu: &Gpu,
        job: Job,
        trainer: Trainer,
        directory: Option<RunDirectory>,
        ranks: Option<Arc<Ranks>>,
    ) -> Result<Self> {
        let iteration = trainer.iteration();
        let size = ranks.as_ref().map_or(1, |ranks| ranks.size());
        let mut recorder = Recorder::new(job.model(), job.config().runs, iteration).of_ranks(size);
        let mut best = Best::recall(job.model().loss(), &[], None);
        if let Some(directory) = &directory {
            let journal = Journal::open(directory, job.config(), iteration)?;
            let records = metrics::read(directory.metrics_path())?;
            let validations = metrics::validations(&records);
            best = Best::recall(job.model().loss(), &validations, directory.best_iteration());
            recorder = recorder.writing(journal, metrics::seconds(&records));
        }
        let ranks = ranks.map(|ranks| Distributed::new(ranks, job.config().distributed.clone()));
        Ok(Self {
            gpu: gpu.clone(),
            job,
            trainer,
            ranks,
            round_momentum: Vec::new(),
            directory,
            recorder,
            best,
            set_aside: Vec::new(),
        })
    }

    /// Writes what the run is.
    fn describe(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        directory.describe(&self.job.config().to_toml(), self.job.stored_split())
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        self.job.config()
    }

    /// The folder of the run; none where another rank has it.
    pub fn directory(&self) -> Option<&RunDirectory> {
        self.directory.as_ref()
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

    /// Trains until the end, a stopping rule, or until `observe` returns false (to any of several ranks); the last state is
    /// saved in every case.
    ///
    /// # Errors
    /// [`Error::Diverged`] (the last good checkpoint stays), [`Error::DeviceLost`], [`Error::Io`]; [`Error::Ranks`] if another
    /// rank has failed or does not answer.
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
        let is_saved =
            |directory: &RunDirectory| directory.checkpoint_path(self.trainer.iteration()).exists();
        if !self.directory.as_ref().is_none_or(is_saved) {
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
        let (stopped, mut failure) = (Cell::new(None), None);
        let observe = RefCell::new(observe);
        let mut take = |losses: &IterationMetrics| {
            let rates = [
                outer.schedule.rate(outer.rate, losses.iteration, all),
                inner.schedule.rate(inner.rate, losses.iteration, all),
            ];
            match recorder.take(config, losses, rates, *observe.borrow_mut()) {
                Ok(true) => {}
                Ok(false) => stopped.set(Some(Outcome::Interrupted)),
                Err(error) => {
                    failure = Some(error);
                    stopped.set(Some(Outcome::Interrupted));
                }
            }
            let late = budget.is_some_and(|budget| recorder.elapsed() >= budget);
            if late && stopped.get().is_none() {
                stopped.set(Some(Outcome::Time));
            }
            stopped.get().is_none()
        };
        match &mut self.ranks {
            None => self.trainer.advance(iterations, take)?,
            Some(ranks) => {
                // What one rank stops for, all do.
                let outcomes = [Outcome::Interrupted, Outcome::Time];
                let wishes = || {
                    if !(observe.borrow_mut())(Event::Exchange) {
                        stopped.set(Some(Outcome::Interrupted));
                    }
                    outcomes.map(|outcome| stopped.get() == Some(outcome))
                };
                let wished = ranks.advance(&mut self.trainer, iterations, wishes, |losses| {
                    take(losses);
                })?;
                let agreed = outcomes.into_iter().zip(wished).find(|(_, wished)| *wished);
                stopped.set(agreed.map(|(outcome, _)| outcome));
            }
        }
        failure.map_or(Ok(stopped.get()), Err)
    }

    /// Evaluates every run on validation tasks; says why if training should stop.
    fn validate(&mut self, observe: &mut impl FnMut(Event<'_>) -> bool) -> Result<Option<Outcome>> {
        let scores = self.validation_scores()?;
        let verdict = match self.directory.is_some() {
            true => self.judge(&scores, observe)?,
            false => None,
        };
        let Some(ranks) = &self.ranks else { return Ok(verdict) };
        let reasons = [None, Some(Outcome::Target), Some(Outcome::Patience)];
        let own = reasons.iter().position(|reason| *reason == verdict).unwrap_or(0);
        let first = ranks.ranks().of_first(Some(vec![own as u8]))?;
        Ok(first.first().and_then(|place| *reasons.get(usize::from(*place))?))
    }

    /// The scores after adaptation to the validation tasks, of each run.
    fn validation_scores(&self) -> Result<Vec<Vec<Score>>> {
        let config = self.job.config();
        let ranks = self.ranks.as_ref().map(Distributed::ranks);
        let of_run = |run| {
            let setup = self.job.evaluation(run, Phase::Validation);
            let scores = shared_scores(ranks, config.eval.validation_tasks, |tasks| {
                let start = Start::Run(&self.trainer, run);
                evaluate_until(&self.gpu, &setup, start, Tested::Drawn, tasks, None)
            })?;
            Ok(scores.iter().flatten().map(|pair| pair[1]).collect())
        };
        (0..config.runs).map(of_run).collect()
    }

    /// Writes down what a validation says and keeps the best state; says why if training should stop.
    fn judge(
        &mut self,
        scores: &[Vec<Score>],
        observe: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<Option<Outcome>> {
        let config = self.job.config().clone();
        let mut lines = Vec::new();
        for (run, scores) in scores.iter().enumerate() {
            let after = Summary::of(scores.iter().copied());
            let queries = scores.iter().map(|score| u64::from(score.queries)).sum();
            let classes = self.job.model().loss() == Loss::CrossEntropy;
            let metric = after.metric(self.job.model().loss());
            let record = ValidationRecord {
                iteration: self.trainer.iteration(),
                run,
                seed: config.seed.wrapping_add(run as u64),
                loss: after.loss.mean,
                accuracy: classes.then_some(after.accuracy.mean),
                interval: metric.interval,
                tasks: config.eval.validation_tasks,
                diverged: after.diverged,
                right: classes.then_some([after.right, queries]),
            };
            lines.push(record.clone());
            self.recorder.write(&Record::Validation(record), observe)?;
        }
        let metric = metrics::metric_of_runs(lines.iter());
        if let Some(directory) = self.directory.as_ref().filter(|_| self.best.take(metric)) {
            self.checkpoint()?.save(self.job.model(), directory.best_path())?;
        }
        let stop = &config.stop;
        if stop.target.is_some_and(|target| self.best.reaches(metric, target)) {
            return Ok(Some(Outcome::Target));
        }
        let tired = stop.patience.is_some_and(|patience| self.best.without_gain() >= patience);
        Ok(tired.then_some(Outcome::Patience))
    }

    /// What the run goes on from.
    fn checkpoint(&self) -> Result<Checkpoint> {
        let mut state: TrainingState = self.trainer.snapshot()?;
        let mut run = RunInfo::of(self.job.config(), self.job.stored_split());
        match &self.ranks {
            Some(ranks) => {
                state.round_momentum = ranks.momentum(state.runs);
                run.ranks = ranks.ranks().size();
            }
            None => state.round_momentum.clone_from(&self.round_momentum),
        }
        Ok(Checkpoint { run, state })
    }

    /// Stores it, where this process is the one that writes.
    fn save(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let checkpoint = self.checkpoint()?;
        let parameters = &checkpoint.state.parameters;
        let spoiled = |set: &Vec<f32>| set.iter().any(|value| !value.is_finite());
        if let Some(run) = parameters.iter().position(spoiled) {
            let iteration = checkpoint.state.iteration;
            return Err(Error::Diverged { run, iteration, loss: f32::NAN });
        }
        directory.save(&checkpoint, self.job.model(), self.job.config().log.keep)?;
        Ok(())
    }
}

/// What all ranks have made, if all could.
fn agreed<T>(ranks: Option<&Ranks>, made: Result<T>) -> Result<T> {
    match ranks {
        Some(ranks) => ranks.agree(made),
        None => made,
    }
}
