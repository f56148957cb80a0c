//! Training and comparing the trials of a sweep, rung by rung, into a folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{RunSettings, Score, Snapshot, Summary, Trainer, TrainerSetup, evaluate, memory};
use crate::model::Loss;
use crate::rng::Phase;
use crate::run::checkpoint::Checkpoint;
use crate::run::directory::lock;
use crate::run::{Config, Job, checkpoint_of, snapshot_of, starting_point};
use crate::sweep::Report;
use crate::sweep::spec::{SweepSpec, Trial};
use crate::sweep::state::{Batch, Member, Rung, State, TrialScore};

const SPEC: &str = "sweep.toml";
const BASE: &str = "base.toml";

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Runs(Snapshot),
    /// All its runs diverged.
    Nothing,
    /// The observer asked to stop.
    Stopped,
}

/// A sweep that was read, before it has a device.
#[derive(Debug)]
pub struct Prepared {
    text: String,
    spec: SweepSpec,
    base: Config,
    trials: Vec<Trial>,
    rungs: Vec<(u64, usize)>,
}

impl Prepared {
    /// Reads and checks the sweep in the file `path`.
    ///
    /// # Errors
    /// See [`SweepSpec`]; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let spec = SweepSpec::from_toml(&text, &path.display().to_string())?;
        let base = spec.base(atomic::folder_of(path))?;
        Self::new(text, spec, base)
    }

    /// The sweep that was begun in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none.
    pub fn reopen(folder: &Path) -> Result<Self> {
        let path = folder.join(SPEC);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let spec = SweepSpec::from_toml(&text, &path.display().to_string())?;
        Self::new(text, spec, Config::load(folder.join(BASE))?)
    }

    fn new(text: String, spec: SweepSpec, base: Config) -> Result<Self> {
        let trials = spec.trials(&base)?;
        let rungs = spec.rungs(base.iterations, trials.len())?;
        Ok(Self { text, spec, base, trials, rungs })
    }

    /// The configuration that all trials share.
    pub fn base(&self) -> &Config {
        &self.base
    }

    /// Number of configurations, and of seeds of each.
    pub fn size(&self) -> [usize; 2] {
        [self.trials.len(), self.spec.seeds]
    }

    /// Whether `path` holds the same sweep.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_that_of(&self, path: &Path) -> Result<bool> {
        Ok(std::fs::read_to_string(path).map_err(Error::io(path))? == self.text)
    }
}

impl Search {
    /// Begins a sweep in `folder`, which must be empty or new, on the data of `job`, a job of its base.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for a single run, [`Error::Io`].
    pub fn start(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        let text = sweep.text.clone();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let search = Self::new(gpu, sweep, job, folder)?;
        search.batches(0)?;
        atomic::write(&folder.join(BASE), search.job.config().to_toml().as_bytes())?;
        search.state.save(folder)?;
        atomic::write(&folder.join(SPEC), text.as_bytes())?;
        Ok(search)
    }

    /// Goes on with the sweep in `folder`.
    ///
    /// # Errors
    /// [`Error::Data`] if its state is damaged, [`Error::Io`].
    pub fn resume(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        let mut search = Self::new(gpu, sweep, job, folder)?;
        search.state = State::load(folder)?;
        Ok(search)
    }

    fn new(gpu: &Gpu, sweep: Prepared, job: Job, folder: &Path) -> Result<Self> {
        let state = State::default();
        let Prepared { spec, trials, rungs, .. } = sweep;
        let (gpu, folder, _lock) = (gpu.clone(), folder.into(), lock(folder)?);
        Ok(Self { gpu, folder, spec, job, trials, rungs, state, _lock })
    }

    /// Searches to the end, or until `observe` says false; true at the end. The results are in the
    /// folder then: `results.json`, `results.svg`, and `best.toml`, which trains as it is.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`Trainer::advance`]; [`Error::Io`].
    pub fn run(&mut self, mut observe: impl FnMut(Progress) -> bool) -> Result<bool> {
        while self.state.rungs.len() < self.rungs.len() {
            let Some(rung) = self.rung(&mut observe)? else { return Ok(false) };
            self.state.rungs.push(rung);
            let old =
                std::mem::replace(&mut self.state.before, std::mem::take(&mut self.state.now));
            self.state.save(&self.folder)?;
            for batch in old {
                let path = self.folder.join(batch.file);
                if path.exists() {
                    std::fs::remove_file(&path).map_err(Error::io(path))?;
                }
            }
        }
        self.report().write(&self.folder, &self.trials)?;
        Ok(true)
    }

    /// What is known so far.
    pub fn report(&self) -> Report {
        Report::new(self.job.model().loss(), &self.trials, &self.state.rungs)
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
        let mut scores: BTreeMap<Member, Vec<Score>> = BTreeMap::new();
        for index in 0..self.state.now.len() {
            let snapshot = match self.train(rung, index, observe)? {
                Trained::Stopped => return Ok(None),
                Trained::Nothing => continue,
                Trained::Runs(snapshot) => snapshot,
            };
            for (run, member) in self.state.now[index].members.iter().enumerate() {
                scores.insert(*member, self.score(&snapshot, run, *member)?);
            }
        }
        let of_trial = |trial| self.trial_score(trial, &scores);
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
            trainer.advance(next.min(end) - trainer.iteration(), |losses| {
                for (run, member) in members.iter().enumerate() {
                    let own = losses.of_run(run, members.len());
                    if !own.iter().all(|loss| loss.is_finite()) {
                        diverged.insert(*member);
                    }
                }
                let iterations = [losses.iteration + 1, end];
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
                trainer = self.trainer(left, Some(&snapshot))?;
            }
        }
        if going { Ok(Trained::Runs(trainer.snapshot()?)) } else { Ok(Trained::Stopped) }
    }

    fn trainer(&self, members: &[Member], from: Option<&Snapshot>) -> Result<Trainer> {
        let mut trainer = Trainer::new(&self.gpu, self.setup(members)?)?;
        trainer.let_runs_diverge();
        from.map_or(Ok(()), |from| trainer.restore(from))?;
        Ok(trainer)
    }

    /// Saves the runs of a batch that have not diverged, which make up the batch from then on.
    fn save(&mut self, trainer: &Trainer, index: usize) -> Result<Snapshot> {
        let snapshot = trainer.snapshot()?;
        let members = self.state.now[index].members.clone();
        for (run, member) in members.iter().enumerate() {
            if snapshot.parameters[run].iter().any(|value| !value.is_finite()) {
                self.state.diverged.insert(*member);
            }
        }
        let alive = (0..members.len()).filter(|run| !self.state.diverged.contains(&members[*run]));
        let alive: Vec<usize> = alive.collect();
        let old = self.folder.join(&self.state.now[index].file);
        let batch = &mut self.state.now[index];
        batch.members = alive.iter().map(|run| members[*run]).collect();
        if alive.is_empty() {
            self.state.save(&self.folder)?;
            return Ok(snapshot);
        }
        // Another number of runs is another file, so that state and file fit together at any moment.
        let fewer = alive.len() < members.len();
        if fewer {
            batch.file = file_name(self.state.rungs.len(), index, alive.len());
        }
        let path = self.folder.join(&batch.file);
        let runs: Vec<_> = alive.iter().map(|run| (&snapshot, *run)).collect();
        let snapshot = Snapshot::of_runs(&runs);
        let config = &self.trials[members[0][0]].config;
        let config = Config { runs: alive.len(), ..config.clone() };
        checkpoint_of(&config, snapshot.clone()).save(trainer.model(), path)?;
        self.state.save(&self.folder)?;
        if fewer && old.exists() {
            std::fs::remove_file(&old).map_err(Error::io(old))?;
        }
        Ok(snapshot)
    }

    fn load(&self, path: &Path) -> Result<Snapshot> {
        Ok(snapshot_of(Checkpoint::load(self.job.model(), path)?))
    }

    /// What `members` have after the rung before.
    fn handed_on(&self, members: &[Member]) -> Result<Snapshot> {
        let mut files: HashMap<&str, Snapshot> = HashMap::new();
        let mut places = Vec::new();
        for member in members {
            let mut batches = self.state.before.iter();
            let found = batches.find_map(|batch| {
                let run = batch.members.iter().position(|it| it == member)?;
                Some((batch.file.as_str(), run))
            });
            let Some((file, run)) = found else {
                let message = format!("does not say where trial {} is", member[0]);
                return Err(Error::data(&self.folder, message));
            };
            if !files.contains_key(file) {
                files.insert(file, self.load(&self.folder.join(file))?);
            }
            places.push((file, run));
        }
        let runs: Vec<_> = places.iter().map(|(file, run)| (&files[file], *run)).collect();
        Ok(Snapshot::of_runs(&runs))
    }

    /// The queries' scores of a run on its validation tasks.
    fn score(&self, snapshot: &Snapshot, run: usize, [trial, seed]: Member) -> Result<Vec<Score>> {
        let config = Config { seed: self.seed(seed), ..self.trials[trial].config.clone() };
        let tasks = config.eval.validation_tasks;
        let setup = self.job.with(config)?.evaluation(0, Phase::Validation);
        let scores = evaluate(&self.gpu, &setup, &starting_point(snapshot, run), tasks)?;
        Ok(scores.into_iter().flatten().map(|[_, after]| after).collect())
    }

    fn trial_score(&self, trial: usize, scores: &BTreeMap<Member, Vec<Score>>) -> TrialScore {
        let classes = self.job.model().loss() == Loss::CrossEntropy;
        let mean = |scores: &[Score]| {
            let summary = Summary::of(scores.iter().copied());
            if classes { summary.accuracy } else { summary.loss }
        };
        let of_seeds = (0..self.spec.seeds).map(|seed| scores.get(&[trial, seed]));
        let of_seeds: Vec<Option<&Vec<Score>>> = of_seeds.collect();
        let metric = |scores: &Option<&Vec<Score>>| scores.map_or(f64::NAN, |it| mean(it).mean);
        let seeds: Vec<f64> = of_seeds.iter().map(metric).collect();
        let all: Vec<Score> = of_seeds.into_iter().flatten().flatten().copied().collect();
        TrialScore {
            trial,
            metric: seeds.iter().sum::<f64>() / seeds.len() as f64,
            seeds,
            interval: mean(&all).interval,
        }
    }
}

/// The best first; without a metric last.
pub(super) fn ranked(loss: Loss, scores: &[TrialScore]) -> Vec<&TrialScore> {
    let mut ranked: Vec<&TrialScore> = scores.iter().collect();
    let badness = |score: &TrialScore| match loss {
        _ if score.metric.is_nan() => f64::INFINITY,
        Loss::CrossEntropy => -score.metric,
        Loss::Mse => score.metric,
    };
    ranked.sort_by(|a, b| badness(a).total_cmp(&badness(b)).then(a.trial.cmp(&b.trial)));
    ranked
}

fn file_name(rung: usize, batch: usize, runs: usize) -> String {
    format!("rung-{}-batch-{}-runs-{runs}.safetensors", rung + 1, batch + 1)
}

/// What runs of one batch have in common.
fn shape(config: &Config) -> String {
    let mut same = config.clone();
    same.inner.rate = 1.0;
    same.outer.rate = 1.0;
    same.to_toml()
}
