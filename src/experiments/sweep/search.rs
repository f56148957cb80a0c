//! Training and comparing the trials of a sweep, rung by rung, into a folder.

mod rounds;
mod store;
mod team;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cluster::Ranks;
use crate::config::{Config, Job};
use crate::data::listed;
use crate::disk::atomic;
use crate::error::{Error, Result};
use crate::experiments::sweep::spec::{MOST_RUNS, SweepSpec, Trial};
use crate::experiments::sweep::state::{Batch, Member, RunScore, Rung, State, TrialScore, ranked};
use crate::experiments::sweep::{Prepared, Report};
use crate::gpu::Gpu;
use crate::meta::{
    Mean, RunSettings, Summary, Trainer, TrainerSetup, TrainingState, evaluate, memory, pooled,
};
use crate::model::Loss;
use crate::rng::Phase;
use crate::store::directory::lock;
use rounds::Trained;
use store::file_name;
use team::Team;

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
    team: Team,
    /// Against other writers; none where another rank writes.
    _lock: Option<File>,
}

impl Search {
    /// Begins a sweep in `folder`, which must be empty or new, on the data of `job`, a job of its base.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for a single run, [`Error::Io`].
    pub fn start(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        Self::start_on(gpu, sweep, job, folder, None)
    }

    /// The same on all `ranks`, if there are several, of which the first has the folder: each trains a part of the runs.
    ///
    /// # Errors
    /// As [`Search::start`]; [`Error::Ranks`] if another rank cannot.
    pub fn start_on(
        gpu: &Gpu,
        sweep: Prepared,
        job: Job,
        folder: &Path,
        ranks: Option<Arc<Ranks>>,
    ) -> Result<Self> {
        let team = Team::new(ranks);
        team.same("sweep", &sweep.hash())?;
        let begun = Self::begin(gpu, &sweep, job, folder, team.clone());
        team.agree(begun)
    }

    fn begin(gpu: &Gpu, sweep: &Prepared, job: Job, folder: &Path, team: Team) -> Result<Self> {
        if team.writes() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let mut search = Self::new(gpu, sweep, job, folder, team)?;
        search.state.sweep = sweep.hash();
        if search.team.writes() {
            Prepared::check_unused(folder)?;
            search.batches(0)?;
            sweep.save(folder)?;
            if let Some(split) = search.job.stored_split() {
                split.save(folder)?;
            }
        }
        search.save_state()?;
        Ok(search)
    }

    /// Goes on with the sweep in `folder`.
    ///
    /// # Errors
    /// [`Error::Data`] if its state is damaged or its files have changed, [`Error::Io`].
    pub fn resume(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        Self::resume_on(gpu, sweep, job, folder, None)
    }

    /// The same on all `ranks`, if there are several; there may be more or fewer of them than before.
    ///
    /// # Errors
    /// As [`Search::resume`]; [`Error::Ranks`] if another rank cannot.
    pub fn resume_on(
        gpu: &Gpu,
        sweep: Prepared,
        job: Job,
        folder: &Path,
        ranks: Option<Arc<Ranks>>,
    ) -> Result<Self> {
        let team = Team::new(ranks);
        team.same("sweep", &sweep.hash())?;
        let reopened = Self::reopen(gpu, &sweep, job, folder, team.clone());
        let mut search = team.agree(reopened)?;
        search.state = team.of_first(&search.state)?;
        Ok(search)
    }

    fn reopen(gpu: &Gpu, sweep: &Prepared, job: Job, folder: &Path, team: Team) -> Result<Self> {
        let mut search = Self::new(gpu, sweep, job, folder, team)?;
        if !search.team.writes() {
            return Ok(search);
        }
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

    fn new(gpu: &Gpu, sweep: &Prepared, job: Job, folder: &Path, team: Team) -> Result<Self> {
        let state = State::default();
        let Prepared { spec, trials, rungs, .. } = sweep;
        let _lock = team.writes().then(|| lock(folder)).transpose()?;
        let (gpu, folder) = (gpu.clone(), folder.into());
        let (spec, trials, rungs) = (spec.clone(), trials.clone(), rungs.clone());
        Ok(Self { gpu, folder, spec, job, trials, rungs, state, team, _lock })
    }

    /// Stores what is known, where this process is the one that writes.
    fn save_state(&self) -> Result<()> {
        if self.team.writes() { self.state.save(&self.folder) } else { Ok(()) }
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

    /// How many runs like those of `setup` the device has room for at once, of as many as a sweep may have.
    pub fn most_at_once(&self, setup: &TrainerSetup) -> usize {
        let fits = |runs: &usize| {
            let own = setup.own.iter().cycle().take(*runs).copied().collect();
            memory(&self.gpu, &TrainerSetup { runs: *runs, own, ..setup.clone() }).is_ok()
        };
        let (mut fitting, mut too_many) = (setup.runs, MOST_RUNS + 1);
        while too_many - fitting > 1 {
            let middle = fitting.midpoint(too_many);
            if fits(&middle) { fitting = middle } else { too_many = middle }
        }
        fitting
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
            self.save_state()?;
            if self.team.writes() {
                for batch in old {
                    atomic::remove(&self.folder.join(batch.file))?;
                }
                self.report().write(&self.folder)?;
            }
        }
        if self.team.writes() {
            // Again, for a process that was killed between a rung's state and its results.
            self.report().write(&self.folder)?;
            self.write_best()?;
        }
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

    /// The runs of a rung in device batches: those of one shape together, as many as the device holds, but no more than leave
    /// something to do for each rank.
    fn batches(&self, rung: usize) -> Result<Vec<Batch>> {
        let mut shapes: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for trial in self.survivors(rung) {
            let members = shapes.entry(shape(&self.trials[trial].config)).or_default();
            let seeds = (0..self.spec.seeds).map(|seed| [trial, seed]);
            members.extend(seeds.filter(|member| !self.state.diverged.contains(member)));
        }
        shapes.retain(|_, members| !members.is_empty());
        let mut batches: Vec<Batch> = Vec::new();
        let share = shapes.values().map(Vec::len).sum::<usize>().div_ceil(self.team.size());
        for members in shapes.into_values() {
            let mut size = members.len().min(share.max(1));
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

    /// Trains and scores the rung under way; nothing if an observer says false.
    fn rung(&mut self, observe: &mut impl FnMut(Progress) -> bool) -> Result<Option<Rung>> {
        let rung = self.state.rungs.len();
        if self.state.now.is_empty() {
            // The first rank's device decides.
            let batches = if self.team.writes() { self.batches(rung) } else { Ok(Vec::new()) };
            let batches = self.team.agree(batches)?;
            self.state.now = self.team.of_first(&batches)?;
            self.save_state()?;
        }
        let (count, at_once) = (self.state.now.len(), self.team.size());
        for first in (0..count).step_by(at_once) {
            let round = first..count.min(first + at_once);
            let snapshot = match self.train(rung, round.clone(), observe)? {
                Trained::Stopped => return Ok(None),
                Trained::Nothing => None,
                Trained::Runs(snapshot) => Some(snapshot),
            };
            if !self.score_round(rung, round, snapshot.as_deref(), observe)? {
                return Ok(None);
            }
        }
        let of_trial = |trial| self.trial_score(trial);
        let scores = self.survivors(rung).into_iter().map(of_trial).collect();
        Ok(Some(Rung { iterations: self.rungs[rung].0, scores }))
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
