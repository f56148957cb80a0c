//! `reptile reproduce`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, device_name, load_job, working};
use crate::cli::device_lost::DeviceLost;
use crate::cli::out_folder::OutFolder;
use crate::cli::ranks::{RanksArgs, again, agree, first, introduce, of_first};
use crate::cli::stop::Stop;
use crate::cli::training::{self, On, Reopened, Resuming};
use crate::cli::words::say;
use crate::cluster::Ranks;
use crate::config::{Data, Purpose, overrides, presets};
use crate::data::listed;
use crate::disk::shell::quoted;
use crate::error::Error;
use crate::experiments::reproduce::{Plan, Results, Stored, Training, missing_data, write_table};
use crate::gpu::Gpu;
use crate::session::evaluation::{Evaluation, Test};
use crate::session::{Outcome, Session};
use crate::store::RunDirectory;

/// What is to be done, in the folder of a reproduction.
const PLAN: &str = "reproduce.json";

/// Train and evaluate cells of the paper, and compare.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// Presets to train and evaluate; a cell brings its transductive twin NAME-t, from the same
    /// training (the paper's Omniglot cells by default).
    cells: Vec<String>,
    /// Factor on the number of meta-iterations (1 by default).
    #[arg(long, value_name = "F")]
    scale: Option<f64>,
    /// Number of seeds, trained at once (1 by default).
    #[arg(long, value_name = "S")]
    seeds: Option<usize>,
    /// Number of test tasks a seed (the presets' own by default).
    #[arg(long, value_name = "N")]
    tasks: Option<usize>,
    /// Set a configuration key in all cells, e.g. --set outer.meta_batch=10 (can be repeated).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder of the runs and the table (runs/reproduce by default, with a number if it exists).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with what --out holds: finished trainings and evaluations are kept, the interrupted one
    /// goes on from its checkpoint, cells that are named now are added.
    #[arg(long, requires = "out")]
    resume: bool,
    /// With --resume: go on although classes of the trained runs are missing or their images changed.
    #[arg(long, requires = "resume")]
    changed_data: bool,
    /// With --resume: go on although the trainings were begun by a version whose kernels add numbers in another order.
    #[arg(long, requires = "resume")]
    other_arithmetic: bool,
    #[command(flatten)]
    device_lost: DeviceLost,
    #[command(flatten)]
    ranks: RanksArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Reproduce {
    pub(super) fn run(self) -> Result<ExitCode> {
        let command = OutFolder::command("reproduce", self.out.as_deref(), self.resume);
        self.ranks.on_all(&command, Some(&self.device_lost), |ranks| {
            let first = first(ranks);
            let folder = first.then(|| OutFolder::new(self.out.as_deref(), "reproduce"));
            let folder = agree(ranks, folder.transpose())?;
            // All ranks have the one folder.
            let (out, mut stop) =
                (of_first(ranks, folder.as_ref().map(|it| it.to_path_buf()))?, None);
            self.device_lost.survived(|again| {
                let begun = again && out.join(PLAN).exists();
                self.reproduce(&out, self.resume || begun, ranks, &mut stop)
            })
        })
    }

    /// Begins or goes on, and says what came of it. Of several ranks each takes trainings of its own, then all test what was trained
    /// together; the first writes the table.
    fn reproduce(
        &self,
        out: &Path,
        resume: bool,
        ranks: Option<&Arc<Ranks>>,
        stop: &mut Option<Stop>,
    ) -> Result<ExitCode> {
        let first = first(ranks);
        let plan = || if resume { self.stored_plan(out) } else { self.new_plan(out) };
        let plan = agree(ranks, first.then(plan).transpose())?;
        let plan = of_first(ranks, plan)?;
        let trainings = agree(ranks, plan.trainings().map_err(Into::into))?;
        agree(ranks, check_data(&trainings))?;
        let gpu = agree(ranks, self.device.open_for(ranks))?;
        if let Some(ranks) = ranks {
            introduce(ranks, &gpu, None, None)?;
        }
        let begin = || -> Result<()> {
            std::fs::create_dir_all(out).map_err(Error::io(out))?;
            Ok(plan.save(out)?)
        };
        agree(ranks, if first { begin() } else { Ok(()) })?;
        let (device, stop) = (device_name(&gpu), Stop::once(stop)?);
        let (changed_data, other_arithmetic) = (self.changed_data, self.other_arithmetic);
        let flags = &self.device;
        let work = Work { gpu, flags, ranks, device, stop, out, changed_data, other_arithmetic };
        let table = || match first {
            true => Ok(write_table(out, &plan, &trainings)?),
            false => Ok(String::new()),
        };
        let mut text: String = agree(ranks, table())?;
        let (mut finished, mut failed) = (true, false);
        let [rank, size] = ranks.map_or([0, 1], |ranks| [ranks.rank(), ranks.size()]);
        if trainings.len() < size {
            let (idle, all) = (size - trainings.len(), trainings.len());
            note!(
                "note: {idle} of {size} ranks train nothing, since there are {all} trainings; all of them test"
            );
        }
        for (index, training) in trainings.iter().enumerate().skip(rank).step_by(size) {
            let config = &training.config;
            note!(
                "[{}/{}] {}: {} meta-iterations, {} seeds",
                index + 1,
                trainings.len(),
                training.preset.name(),
                config.iterations,
                config.runs,
            );
            let done = if ranks.is_some() { work.train(training) } else { work.one(training) };
            text = table()?;
            match done.with_context(|| training.preset.name().to_string())? {
                Done::Finished => {}
                Done::Failed => failed = true,
                Done::Stopped => {
                    finished = false;
                    break;
                }
            }
        }
        if let Some(ranks) = ranks {
            let all = ranks.gather(vec![u8::from(finished), u8::from(failed)])?;
            finished = all.iter().all(|one| one.first() == Some(&1));
            failed = all.iter().any(|one| one.get(1) == Some(&1));
            for training in trainings.iter().filter(|_| finished) {
                if !work.evaluate_on(ranks, training)? {
                    finished = false;
                    break;
                }
                table()?;
            }
            text = table()?;
        }
        say(text.trim_end());
        note!("the table and the learning curves are in {}", out.display());
        if !finished {
            note!("go on with: {}", again(ranks, &format!("reproduce --out {}", quoted(out))));
        }
        Ok(match failed {
            _ if !finished => work.stop.code(),
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }

    fn settings(&self) -> Result<Vec<(String, String)>> {
        let pairs = self.set.iter().map(|text| overrides::parse_assignment(text));
        Ok(pairs.collect::<crate::Result<_>>()?)
    }

    /// What the flags ask for, in a folder that holds nothing.
    fn new_plan(&self, out: &Path) -> Result<Plan> {
        if out.join(PLAN).exists() {
            bail!(
                "{}: holds a reproduction already; use --resume to go on with it, or give another \
                 --out",
                out.display()
            );
        }
        if out.exists() && !out.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
            bail!("{}: is not an empty folder; give another --out", out.display());
        }
        let mut plan = Plan {
            cells: self.cells.clone(),
            scale: self.scale.unwrap_or(1.0),
            seeds: self.seeds.unwrap_or(1),
            tasks: self.tasks,
            set: self.settings()?,
            data: self.data.as_ref().map(std::path::absolute).transpose()?,
        };
        if plan.cells.is_empty() {
            let cells = presets::all().iter().map(|preset| preset.name());
            plan.cells = cells.filter(|name| is_omniglot_cell(name)).map(String::from).collect();
        }
        Ok(plan)
    }

    /// What the folder holds, with what may change.
    fn stored_plan(&self, out: &Path) -> Result<Plan> {
        let mut plan = Plan::load(out)?;
        let set = (!self.set.is_empty()).then(|| self.settings()).transpose()?;
        let settings = plan.set.iter().map(|(key, value)| format!("{key}={value}"));
        let settings = settings.collect::<Vec<_>>().join(" --set ");
        for (flag, differs, stored) in [
            ("--scale", self.scale.is_some_and(|it| it != plan.scale), plan.scale.to_string()),
            ("--seeds", self.seeds.is_some_and(|it| it != plan.seeds), plan.seeds.to_string()),
            ("--set", set.is_some_and(|it| it != plan.set), settings),
        ] {
            if differs {
                bail!(
                    "{flag}: {} was begun with `{stored}`; leave the flag out, or give another \
                     --out",
                    out.display()
                );
            }
        }
        plan.tasks = self.tasks.or(plan.tasks);
        plan.data = self.data.as_ref().map(std::path::absolute).transpose()?.or(plan.data);
        plan.add(&self.cells);
        Ok(plan)
    }
}

/// Whether the paper reports an accuracy on Omniglot for the preset.
fn is_omniglot_cell(name: &str) -> bool {
    let preset = presets::find(name);
    preset.is_ok_and(|preset| preset.paper().is_some() && name.starts_with("omniglot-"))
}

/// Refuses a job whose data are not there before any work is done.
fn check_data(trainings: &[Training]) -> Result<()> {
    let missing: Vec<(&str, String)> = trainings
        .iter()
        .filter_map(|training| Some((training.preset.name(), missing_data(&training.config)?)))
        .collect();
    let Some((first, data)) = missing.first() else { return Ok(()) };
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    bail!(
        "{first} needs the data set {data}, which is not there; name its folder with --data DIR, or \
         set REPTILE_DATA to the folder of all data sets, or leave out {}",
        names.join(", ")
    )
}

/// How far a training came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// Trained and evaluated.
    Finished,
    /// It diverged.
    Failed,
    /// The user or a time budget asked to stop.
    Stopped,
}

/// What all trainings share.
struct Work<'a> {
    gpu: Gpu,
    flags: &'a DeviceArgs,
    /// That test together.
    ranks: Option<&'a Arc<Ranks>>,
    device: String,
    stop: &'a Stop,
    out: &'a Path,
    changed_data: bool,
    other_arithmetic: bool,
}

impl Work<'_> {
    /// Trains and evaluates what is not done yet.
    fn one(&self, training: &Training) -> Result<Done> {
        match self.train(training)? {
            Done::Finished => {
                let path = self.out.join(training.preset.name());
                let mut results = Results::load(&path)?;
                let whole = self.evaluate(training, &path, &mut results)?;
                Ok(if whole { Done::Finished } else { Done::Stopped })
            }
            other => Ok(other),
        }
    }

    /// Evaluates on all `ranks` what one of them has trained, unless that diverged; false if one of them is to stop.
    fn evaluate_on(&self, ranks: &Arc<Ranks>, training: &Training) -> Result<bool> {
        let path = self.out.join(training.preset.name());
        let load = || -> Result<Results> { Ok(Results::load(&path)?) };
        let results = agree(Some(ranks), first(Some(ranks)).then(load).transpose())?;
        let mut results = of_first(Some(ranks), results)?;
        if results.finished.is_none() {
            return Ok(true);
        }
        self.evaluate(training, &path, &mut results)
    }

    /// Whether somebody asked to stop, of any rank.
    fn asked(&self) -> Result<bool> {
        let own = self.stop.asked();
        let Some(ranks) = self.ranks else { return Ok(own) };
        Ok(ranks.gather(vec![u8::from(own)])?.iter().any(|one| one.first() == Some(&1)))
    }

    /// Trains what is not done yet.
    fn train(&self, training: &Training) -> Result<Done> {
        let path = self.out.join(training.preset.name());
        let begun = RunDirectory::open(&path).is_ok();
        let mut results = if begun { Results::load(&path)? } else { Results::default() };
        if results.finished.is_none() {
            let mut session = self.session(training, &path, begun)?;
            results.note_changes(session.changed_data());
            if !results.devices.contains(&self.device) {
                results.devices.push(self.device.clone());
            }
            results.failure = None;
            results.save(&path)?;
            match training::train(&mut session, self.stop, false) {
                Ok(Outcome::Interrupted | Outcome::Time) => return Ok(Done::Stopped),
                Ok(_) => results.finished = Some(session.trainer().iteration()),
                Err(error) => {
                    let Some(Error::Diverged { .. }) = error.downcast_ref() else {
                        return Err(error);
                    };
                    note!("{error:#}");
                    results.failure = error.downcast_ref().map(Error::to_string);
                    results.save(&path)?;
                    return Ok(Done::Failed);
                }
            }
            results.save(&path)?;
        }
        Ok(Done::Finished)
    }

    fn on(&self) -> On<'_> {
        On { device: self.flags, gpu: &self.gpu, ranks: None }
    }

    fn session(&self, training: &Training, path: &Path, begun: bool) -> Result<Session> {
        let config = training.config.clone();
        if !begun {
            // Found out before hours of training: whether there are test tasks.
            return training::start(self.on(), config, path, Purpose::All, None);
        }
        let run = training::reopen(&config, path, None)?;
        let how = Resuming {
            purpose: Purpose::All,
            changed_data: self.changed_data,
            other_arithmetic: self.other_arithmetic,
        };
        training::resume(self.on(), config, run, how)
    }

    /// Evaluates the last state in the modes of the cells, seed by seed; each seed is kept at once. False if it is to stop.
    fn evaluate(&self, training: &Training, path: &Path, results: &mut Results) -> Result<bool> {
        let config = &training.config;
        let mut modes = Vec::new();
        for cell in &training.cells {
            modes.push(cell.config()?.eval.transductive);
        }
        let missing = |results: &Results, run: usize| -> Vec<bool> {
            let missing =
                modes.iter().filter(|mode| results.evaluation(config, run, **mode).is_none());
            missing.copied().collect()
        };
        if (0..config.runs).all(|run| missing(results, run).is_empty()) {
            return Ok(true);
        }
        let iteration = results.finished.context("an evaluation follows a training")?;
        let file = RunDirectory::open(path)?.checkpoint_path(iteration);
        let Reopened { checkpoint, split, directory: _held } = match self.ranks {
            None => training::reopen(config, path, Some(&file))?,
            Some(ranks) => training::reopen_on(ranks, config, path, Some(&file))?,
        };
        let snapshot = checkpoint.context("the trained state is gone")?.state;
        let data =
            Data { split: split.as_ref(), changed: self.changed_data, purpose: Purpose::Test };
        let job = agree(self.ranks, load_job(&self.gpu, config.clone(), data))?;
        for run in 0..config.runs {
            if self.asked()? {
                return Ok(false);
            }
            let modes = missing(results, run);
            let tasks = config.eval.tasks;
            let seed = config.seed.wrapping_add(run as u64);
            let spinner = working(format!("evaluating seed {seed} on {tasks} tasks"));
            let began = Instant::now();
            let ranks = self.ranks.map(|ranks| &**ranks);
            let test = Test { stop: Some(self.stop.flag()), ranks, ..Test::new(&modes) };
            let evaluations = Evaluation::trained(&self.gpu, &job, &snapshot, run, test)?;
            spinner.finish_and_clear();
            if evaluations.iter().any(|one| one.scores.len() < tasks) {
                return Ok(false);
            }
            // One adaptation serves all modes.
            let seconds = began.elapsed().as_secs_f64() / modes.len().max(1) as f64;
            results.evaluations.retain(|old| old.run != run || !modes.contains(&old.transductive));
            results.evaluations.extend(evaluations.iter().map(|one| Stored {
                run,
                transductive: one.transductive,
                iteration,
                tasks,
                steps: config.eval.steps,
                batch: config.eval.batch,
                device: self.device.clone(),
                seconds,
                changed_data: listed(job.changed_data()),
                scores: one.scored(job.model().loss()),
            }));
            if first(self.ranks) {
                results.save(path)?;
            }
        }
        Ok(true)
    }
}
