//! Training and comparing the trials of a sweep, rung by rung, into a folder.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::config::{Config, Job};
use crate::data::listed;
use crate::disk::atomic;
use crate::error::{Error, Result};
use crate::experiments::sweep::spec::{SweepSpec, Trial};
use crate::experiments::sweep::state::{Batch, Member, RunScore, Rung, State, TrialScore, ranked};
use crate::experiments::sweep::{Prepared, Report};
use crate::gpu::Gpu;
use crate::meta::{
    Mean, RunSettings, Summary, Trainer, TrainerSetup, TrainingState, evaluate, memory, pooled,
};
use crate::model::Loss;
use crate::rng::Phase;
use crate::store::directory::lock;
use store::file_name;

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rung under way, from 1, and number of rungs.
    pub rung: [usize; 2],
    /// Batch under way, from 1, and number of batches of the rung.
    pub batch: [usize; 2],
    /// Meta-iterations that the batch has done, and those at the end of the rung.
    pub iterations: [u64; 2],
}

/// A sweep in its folder.
#[derive(Debug)]
pub struct Search {
    gpu: Gpu,
    folder: PathBuf,
    spec: SweepSpec,
    job: Job,
    trials: Vec<Trial>,
    /// Meta-iterations after each rung, and the trials that take part.
    rungs: Vec<(u64, usize)>,
    state: State,
    /// Against other writers.
    _lock: File,
}

/// What became of a batch.
enum Trained {
    /// It is at the end of the rung.
    Runs(Box<TrainingState>),
    /// All its runs diverged.
    Nothing,
    /// The observer asked to stop.
    Stopped,
}

impl Search {
    /// Begins a sweep in `folder`, which must be empty or new, on the data of `job`, a job of its base.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for a single run, [`Error::Io`].
    pub fn start(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut search = Self::new(gpu, &sweep, job, folder)?;
        Prepared::check_unused(folder)?;
        search.batches(0)?;
        sweep.save(folder)?;
        if let Some(split) = search.job.stored_split() {
            split.save(folder)?;
        }
        search.state.sweep = sweep.hash();
        search.state.save(folder)?;
        Ok(search)
    }

    /// Goes on with the sweep in `folder`.
    ///
    /// # Errors
    /// [`Error::Data`] if its state is damaged or its files have changed, [`Error::Io`].
    pub fn resume(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        let mut search = Self::new(gpu, &sweep, job, folder)?;
        search.state = State::load(folder)?;
        if search.state.sweep != sweep.hash() {
            let message = "sweep.toml or base.toml is not what the sweep was begun with; put it \
                           back, or begin another one";
            return Err(Error::data(folder, message));
        }
        let changed = listed(search.job.changed_data());
        if !changed.is_empty() && !search.state.changed_data.contains(&changed) {
            search.state.changed_data.push(changed);
        }
        // Of a sweep from before splits were stored.
        if let (None, Some(split)) = (Prepared::split(folder)?, search.job.stored_split()) {
            split.save(folder)?;
        }
        search.remove_leftovers()?;
        Ok(search)
    }

    fn new(gpu: &Gpu, sweep: &Prepared, job: Job, folder: &Path) -> Result<Self> {
        let state = State::default();
        let Prepared { spec, trials, rungs, .. } = sweep;
        let (gpu, folder, _lock) = (gpu.clone(), folder.into(), lock(folder)?);
        let (spec, trials, rungs) = (spec.clone(), trials.clone(), rungs.clone());
        Ok(Self { gpu, folder, spec, job, trials, rungs, state, _lock })
    }

    /// What trains the largest batch of the first rung: what kernels should be tuned for.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for a single run.
    pub fn largest_setup(&self) -> Result<TrainerSetup> {
        let batches = self.batches(0)?;
        let largest = batches.iter().max_by_key(|batch| batch.members.len());
        self.setup(&largest.expect("a sweep has a run").members)
    }

    /// Searches to the end, or until `observe` says false; true at the end. The results are in the
    /// folder: after each rung `results.partial.json` and `results.partial.svg`, at the end both under their names
    /// without `partial`, `best.toml`, which trains as it is, and `best.safetensors`, the state of its first seed.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`Trainer::advance`]; [`Error::Io`].
    pub fn run(&mut self, mut observe: impl FnMut(Progress) -> bool) -> Result<bool> {
        while self.state.rungs.len() < self.rungs.len() {
            let Some(rung) = self.rung(&mut observe)? else { return Ok(false) };
            self.state.rungs.push(rung);
            self.state.scores.clear();
            let old =
                std::mem::replace(&mut self.state.before, std::mem::take(&mut self.state.now));
            self.state.save(&self.folder)?;
            for batch in old {
                atomic::remove(&self.folder.join(batch.file))?;
            }
            self.report().write(&self.folder)?;
        }
        // Again, for a process that was killed between a rung's state and its results.
        self.report().write(&self.folder)?;
        self.write_best()?;
        Ok(true)
    }

    /// What is known so far.
    pub fn report(&self) -> Report {
        let (rungs, wanted) = (&self.state.rungs, self.rungs.len());
        let mut report = Report::new(self.job.model().loss(), &self.trials, rungs, wanted);
        report.changed_data.clone_from(&self.state.changed_data);
        report
    }

    /// The trials that take part in a rung, in their order.
    fn survivors(&self, rung: usize) -> Vec<usize> {
        let Some(before) = rung.checked_sub(1) else { return (0..self.trials.len()).collect() };
        let ranked = ranked(self.job.model().loss(), &self.state.rungs[before].scores);
        let mut trials: Vec<usize> =
            ranked.iter().take(self.rungs[rung].1).map(|score| score.trial).collect();
        trials.sort_unstable();
        trials
    }

    /// The runs of a rung in device batches: those of one shape together, as many as the device holds.
    fn batches(&self, rung: usize) -> Result<Vec<Batch>> {
        let mut shapes: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for trial in self.survivors(rung) {
            let members = shapes.entry(shape(&self.trials[trial].config)).or_default();
            let seeds = (0..self.spec.seeds).map(|seed| [trial, seed]);
            members.extend(seeds.filter(|member| !self.state.diverged.contains(member)));
        }
        shapes.retain(|_, members| !members.is_empty());
        let mut batches: Vec<Batch> = Vec::new();
        for members in shapes.into_values() {
            let mut size = members.len();
            while let Err(error) =
                self.setup(&members[..size]).and_then(|it| memory(&self.gpu, &it))
            {
                match error {
                    Error::Limit { .. } if size > 1 => size = size.div_ceil(2),
                    error => return Err(error),
                }
            }
            for members in members.chunks(size) {
                let file = file_name(rung, batches.len(), members.len());
                batches.push(Batch { file, members: members.to_vec() });
            }
        }
        Ok(batches)
    }

    fn seed(&self, seed: usize) -> u64 {
        self.job.config().seed.wrapping_add(seed as u64)
    }

    /// What trains runs of one shape together.
    fn setup(&self, members: &[Member]) -> Result<TrainerSetup> {
        let own = |&[trial, seed]: &Member| {
            let config = &self.trials[trial].config;
            RunSettings {
                seed: self.seed(seed),
                inner_rate: config.inner.rate,
                outer_rate: config.outer.rate,
                strategy_rate: config.strategy.rate(),
            }
        };
        let config = self.trials[members[0][0]].config.clone();
        Ok(TrainerSetup {
            runs: members.len(),
            own: members.iter().map(own).collect(),
            ..self.job.with(config)?.trainer_setup()
        })
    }

    /// Trains and scores the rung under way; nothing if `observe` says false.
    fn rung(&mut self, observe: &mut impl FnMut(Progress) -> bool) -> Result<Option<Rung>> {
        let rung = self.state.rungs.len();
        if self.state.now.is_empty() {
            self.state.now = self.batches(rung)?;
            self.state.save(&self.folder)?;
        }
        for index in 0..self.state.now.len() {
            let snapshot = match self.train(rung, index, observe)? {
                Trained::Stopped => return Ok(None),
                Trained::Nothing => continue,
                Trained::Runs(snapshot) => snapshot,
            };
            let end = self.rungs[rung].0;
            let progress = Progress {
                rung: [rung + 1, self.rungs.len()],
                batch: [index + 1, self.state.now.len()],
                iterations: [end, end],
            };
            for (run, member) in self.state.now[index].members.clone().into_iter().enumerate() {
                if self.state.scores.iter().any(|score| score.member == member) {
                    continue;
                }
                if !observe(progress) {
                    return Ok(None);
                }
                let score = self.score(&snapshot, run, member)?;
                self.state.scores.push(score);
                self.state.save(&self.folder)?;
            }
        }
        let of_trial = |trial| self.trial_score(trial);
        let scores = self.survivors(rung).into_iter().map(of_trial).collect();
        Ok(Some(Rung { iterations: self.rungs[rung].0, scores }))
    }

    /// Trains a batch to the end of the rung. Runs that diverge leave it.
    fn train(
        &mut self,
        rung: usize,
        index: usize,
        observe: &mut impl FnMut(Progress) -> bool,
    ) -> Result<Trained> {
        let members = self.state.now[index].members.clone();
        if members.is_empty() {
            return Ok(Trained::Nothing);
        }
        let file = self.folder.join(&self.state.now[index].file);
        let from = match rung {
            _ if file.exists() => Some(self.load(&file)?),
            0 => None,
            _ => Some(self.handed_on(&members)?),
        };
        let mut trainer = self.trainer(&members, from.as_ref())?;
        let place = [index + 1, self.state.now.len()];
        let (end, rung) = (self.rungs[rung].0, [rung + 1, self.rungs.len()]);
        let every = self.job.config().log.checkpoint_every.max(1);
        let mut going = true;
        while going && trainer.iteration() < end {
            let next = (trainer.iteration() / every + 1) * every;
            let members = self.state.now[index].members.clone();
            let mut diverged = BTreeSet::new();
            trainer.advance(next.min(end) - trainer.iteration(), |metrics| {
                diverged.extend(metrics.diverged.iter().map(|run| members[*run]));
                let iterations = [metrics.iteration + 1, end];
                going &= observe(Progress { rung, batch: place, iterations });
                going && diverged.is_empty()
            })?;
            self.state.diverged.extend(diverged);
            let snapshot = self.save(&trainer, index)?;
            let left = &self.state.now[index].members;
            if left.is_empty() {
                return Ok(Trained::Nothing);
            }
            if left.len() < members.len() {
                drop(trainer);
                trainer = self.trainer(left, Some(&snapshot))?;
            }
        }
        if going { Ok(Trained::Runs(Box::new(trainer.snapshot()?))) } else { Ok(Trained::Stopped) }
    }

    fn trainer(&self, members: &[Member], from: Option<&TrainingState>) -> Result<Trainer> {
        let mut trainer = Trainer::new(&self.gpu, self.setup(members)?)?;
        trainer.let_runs_diverge();
        from.map_or(Ok(()), |from| trainer.restore(from))?;
        Ok(trainer)
    }

    /// What a run is worth on its validation tasks.
    fn score(&self, snapshot: &TrainingState, run: usize, member: Member) -> Result<RunScore> {
        let [trial, seed] = member;
        let config = Config { seed: self.seed(seed), ..self.trials[trial].config.clone() };
        let tasks = config.eval.validation_tasks;
        let setup = self.job.with(config)?.evaluation(0, Phase::Validation);
        let scores = evaluate(&self.gpu, &setup, &snapshot.starting_point(run)?, tasks)?;
        let summary = Summary::of(scores.iter().flatten().map(|[_, after]| *after));
        let loss = self.job.model().loss();
        let (mean, classes) = (summary.metric(loss), loss == Loss::CrossEntropy);
        Ok(RunScore {
            member,
            metric: mean.mean,
            interval: mean.interval,
            diverged_tasks: summary.diverged,
            right: classes.then_some([summary.right, summary.answers]),
        })
    }

    /// The mean of a trial's seeds.
    fn trial_score(&self, trial: usize) -> TrialScore {
        let of_seed = |seed| self.state.scores.iter().find(|score| score.member == [trial, seed]);
        let seeds: Vec<Option<&RunScore>> = (0..self.spec.seeds).map(of_seed).collect();
        // No score: the seed diverged.
        let nothing = Mean { mean: f64::NAN, interval: f64::NAN };
        let of_score = |score: &RunScore| Mean { mean: score.metric, interval: score.interval };
        let means = seeds.iter().map(|score| score.map_or(nothing, of_score));
        let Mean { mean, interval } = Mean::of_means(means.clone());
        let counts: Option<Vec<[u64; 2]>> =
            seeds.iter().map(|score| score.as_ref()?.right).collect();
        TrialScore {
            trial,
            // As many right answers are as good.
            metric: counts.and_then(|counts| pooled(&counts)).unwrap_or(mean),
            seeds: means.map(|one| one.mean).collect(),
            interval,
            diverged_tasks: seeds.iter().flatten().map(|score| score.diverged_tasks).sum(),
        }
    }
}

/// What runs of one batch have in common.
fn shape(config: &Config) -> String {
    let mut same = config.clone();
    same.inner.rate = 1.0;
    same.outer.rate = 1.0;
    same.strategy.rate = Some(1.0);
    same.to_toml()
}
