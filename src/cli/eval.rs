//! `reptile eval`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::common::{DeviceArgs, Stored, WarmStart, load_job, note_missing_split, working};
use crate::cli::models::Models;
use crate::cli::ranks::{RanksArgs, agree, introduce};
use crate::cli::stop::Stop;
use crate::cli::words::say;
use crate::cluster::Ranks;
use crate::config::Job;
use crate::data::{EpisodeList, StoredSplit, listed};
use crate::disk::partial;
use crate::model::Loss;
use crate::session::evaluation::{self, Evaluation, Origin, PerTask, Test};

/// Adapt a trained network to test tasks.
#[derive(Debug, Args)]
pub struct Eval {
    /// A run's folder, a checkpoint, or a file of models that were adapted to its test tasks (compressed or
    /// not), which are then tested as they are.
    run: PathBuf,
    /// The checkpoint that models were adapted from, or its run's folder.
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["best", "on", "tasks", "episodes", "steps", "batch", "seed"])]
    base: Option<PathBuf>,
    /// Take the state with the best validation (checkpoints/best.safetensors), not the newest one.
    #[arg(long)]
    best: bool,
    /// Test on the tasks of this preset or configuration, which the network must fit, instead of the
    /// run's own.
    #[arg(long, value_name = "PRESET|CONFIG")]
    on: Option<String>,
    /// Number of test tasks (eval.tasks by default).
    #[arg(long)]
    tasks: Option<usize>,
    /// JSON file of test tasks, each a list of {"class", "support", "query"}, one a class, with the
    /// names of files (docs/episodes.md); instead of drawn ones.
    #[arg(long, value_name = "FILE", conflicts_with = "tasks")]
    episodes: Option<PathBuf>,
    /// Inner steps (eval.steps by default).
    #[arg(long)]
    steps: Option<usize>,
    /// Minibatch size (eval.batch by default).
    #[arg(long)]
    batch: Option<usize>,
    /// ARUBA++ with this c: a task's own rates √(b / g) go on, g += c g_k² (strategy.refine by default).
    #[arg(long, value_name = "C", allow_negative_numbers = true, conflicts_with = "base")]
    refine: Option<f32>,
    /// Whether the queries of a task share one batch, and with it the statistics of batch-norms (both
    /// by default, where the network has them).
    #[arg(long, value_name = "true|false")]
    transductive: Option<bool>,
    /// Start each task from the entry of the run's memory that fits its support set best.
    #[arg(long, value_name = "FROM", conflicts_with_all = ["base", "episodes"])]
    warm_start: Option<WarmStart>,
    /// Seed of the test tasks (the run's own by default).
    #[arg(long)]
    seed: Option<u64>,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Test although classes of the run are missing or their images changed; the results say which.
    #[arg(long)]
    changed_data: bool,
    /// Leave out the same steps from the random initialisation, which take as long as the rest.
    #[arg(long)]
    no_baseline: bool,
    /// Also write the scores of every task to this new file, a .csv or .json.
    #[arg(long, value_name = "FILE")]
    per_task: Option<PathBuf>,
    /// Print JSON (docs/program.md).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ranks: RanksArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What is tested.
struct Prepared {
    stored: Stored,
    /// In place of an adaptation.
    models: Option<Models>,
    list: Option<EpisodeList>,
    /// The run's own split.
    own: Option<StoredSplit>,
}

impl Eval {
    pub(super) fn run(self) -> Result<ExitCode> {
        self.ranks.on_all("eval", None, |ranks| self.run_on(ranks))
    }

    /// Tests, on all `ranks` if there are several: each has a part of the tasks, and the first says what came of them.
    fn run_on(&self, ranks: Option<&Arc<Ranks>>) -> Result<ExitCode> {
        let per_task = self.per_task.as_deref().filter(|_| ranks.is_none_or(|it| it.rank() == 0));
        let format = agree(ranks, per_task.map(PerTask::check).transpose().map_err(Into::into))?;
        let Prepared { stored, models, list, own } = agree(ranks, self.prepare())?;
        let snapshot = agree(ranks, stored.snapshot())?;
        let gpu = agree(ranks, self.device.open_for(ranks))?;
        let job = agree(ranks, load_job(&gpu, stored.config.clone(), stored.data()))?;
        if let Some(ranks) = ranks {
            introduce(ranks, &gpu, Some(&job), Some(("checkpoint", stored.file.path())))?;
        }
        if let (Some(own), Some(tested), true) = (&own, job.stored_split(), self.on.is_some())
            && let trained @ [_, ..] = &own.trained_on(tested)[..]
        {
            note!("warning: the run was trained on test classes of --on: {}", listed(trained));
        }
        let episodes = list.map(|list| job.episodes(&list)).transpose()?;
        let loss = job.model().loss();
        let modes = match self.transductive {
            Some(mode) => vec![mode],
            None => evaluation::modes(&job),
        };
        let (mut evaluations, began) = (Vec::new(), Instant::now());
        let stop = Stop::on_signals()?;
        let test = Test {
            seed: self.seed,
            episodes: episodes.as_ref(),
            stop: Some(stop.flag()),
            ranks: ranks.map(|ranks| &**ranks),
            ..Test::new(&modes)
        };
        if let Some(models) = &models {
            let recipe = models.settings().recipe()?;
            let sets = models.restore(&gpu, &stored)?.parameters;
            let test = Test { seed: Some(recipe.seed), ..test };
            evaluations.extend(Evaluation::models(&gpu, &job, &snapshot, recipe.run, &sets, test)?);
        }
        for run in (0..snapshot.runs).filter(|_| models.is_none()) {
            let spinner = working(format!("run {run} on {} tasks", job.config().eval.tasks));
            let evaluate = match self.warm_start {
                Some(WarmStart::Memory) => Evaluation::warm,
                None => Evaluation::trained,
            };
            evaluations.extend(evaluate(&gpu, &job, &snapshot, run, test)?);
            spinner.finish_and_clear();
        }
        if !self.no_baseline && models.is_none() {
            let spinner = working("the random initialisation".into());
            evaluations.extend(Evaluation::random(&gpu, &job, test)?);
            spinner.finish_and_clear();
        }
        let seconds = began.elapsed().as_secs_f64();
        // Tasks are missing only where somebody asked to stop.
        let wanted = stored.config.eval.tasks;
        let whole = evaluations.iter().all(|one| one.scores.len() == wanted);
        evaluations.retain(|one| !one.scores.is_empty());
        // Both modes of a task are one adaptation.
        let tested = evaluations.iter().filter(|one| one.transductive == modes[0]);
        let tasks: usize = tested.map(|one| one.scores.len()).sum();
        note!("{tasks} tasks in {seconds:.1} s, {:.0} tasks/s", tasks as f64 / seconds);
        evaluations.sort_by_key(|one| one.transductive);
        if let (Some(format), Some(path)) = (format, per_task) {
            let path = partial::place(path, whole);
            format.write(&path, &evaluations, loss)?;
            note!("the scores of every task are in {}", path.display());
        }
        if self.json {
            let value = self.to_json(&stored, &modes, &evaluations, loss, &job, whole);
            say(serde_json::to_string_pretty(&value)?);
        } else {
            let eval = &stored.config.eval;
            let warm = self.warm_start.map_or("", |_| " from the best entry of the memory");
            let how = match stored.config.strategy.refine {
                0.0 => warm.to_string(),
                c => format!("{warm}, ARUBA++ with c = {c}"),
            };
            say(format_args!(
                "{}: iteration {}, {} test tasks, {} steps of batch {}{how}, ± = 95 % over tasks",
                stored.file.path().display(),
                stored.header.iteration,
                eval.tasks,
                eval.steps,
                eval.batch,
            ));
            let name_modes = job.model().has_batch_statistics();
            evaluations.iter().for_each(|one| print(one, wanted, loss, name_modes, self.remedy()));
            if let changed @ [_, ..] = job.changed_data() {
                say(format_args!("  not on the data it was trained on: {}", listed(changed)));
            }
        }
        let without =
            |one: &&Evaluation| one.origin == Origin::Trained && one.diverged() == one.scores.len();
        if let Some(one) = evaluations.iter().find(without) {
            bail!(
                "{}: all {} test tasks of run {} diverged; {}, or adapt with fewer steps (--steps)",
                stored.file.path().display(),
                one.scores.len(),
                one.run,
                self.remedy()
            );
        }
        if !whole {
            note!("interrupted: the results are partial; start the command again for all tasks");
            return Ok(stop.code());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What is tested, as the files and flags say it.
    fn prepare(&self) -> Result<Prepared> {
        let data = self.data.as_deref();
        let path = match (Models::are_in(&self.run), &self.base) {
            (true, Some(base)) => base,
            (false, None) => &self.run,
            (true, None) => bail!(
                "{}: holds adapted models; name the checkpoint that they were adapted from as --base",
                self.run.display()
            ),
            (false, Some(base)) if self.run.is_file() => {
                Models::open(&self.run, &Stored::open(base, data)?)?;
                base
            }
            (false, Some(_)) if !self.run.exists() => bail!("{}: no such file", self.run.display()),
            (false, Some(_)) => bail!(
                "{}: --base goes with a file that `reptile adapt` or `reptile compress` wrote",
                self.run.display()
            ),
        };
        let mut stored = match self.best {
            true => Stored::open_best(path, data)?,
            false => Stored::open(path, data)?,
        };
        let models = self.base.as_ref().map(|_| Models::of_test_tasks(&self.run, &stored));
        let models = models.transpose()?;
        stored.changed_data = self.changed_data;
        let own = stored.split.clone();
        match &self.on {
            Some(other) => stored.take_tasks(other, data)?,
            None => note_missing_split(&stored.config.tasks, stored.split.as_ref()),
        }
        let list = self.episodes.as_ref().map(EpisodeList::load).transpose()?;
        let config = &mut stored.config;
        let tasks = list.as_ref().map(EpisodeList::len).or(self.tasks);
        let tasks = tasks.or(models.as_ref().map(Models::count));
        if let Some(models) = &models {
            let recipe = models.settings().recipe()?;
            (config.eval.steps, config.eval.batch) = (recipe.steps, recipe.batch);
        }
        config.eval.tasks = tasks.unwrap_or(config.eval.tasks);
        config.eval.steps = self.steps.unwrap_or(config.eval.steps);
        config.eval.batch = self.batch.unwrap_or(config.eval.batch);
        config.strategy.refine = self.refine.unwrap_or(config.strategy.refine);
        Ok(Prepared { stored, models, list, own })
    }

    /// What helps where tasks diverge.
    fn remedy(&self) -> &'static str {
        if self.base.is_some() { "adapt again with a lower --rate" } else { "lower inner.rate" }
    }

    /// The first mode at the top; a second one, which is transductive, below `transduction`.
    fn to_json(
        &self,
        stored: &Stored,
        modes: &[bool],
        evaluations: &[Evaluation],
        loss: Loss,
        job: &Job,
        whole: bool,
    ) -> Value {
        let of = |mode: bool, origin: Origin| -> Vec<Value> {
            let chosen =
                evaluations.iter().filter(|one| (one.transductive, one.origin) == (mode, origin));
            let scored = |one: &Evaluation| {
                let mut value = json!(one.scored(loss));
                if !whole {
                    value["tasks"] = one.scores.len().into();
                }
                value
            };
            chosen.map(scored).collect()
        };
        let eval = &stored.config.eval;
        let mut value = json!({
            "checkpoint": stored.file.path(),
            "models": self.base.as_ref().map(|_| &self.run),
            "iteration": stored.header.iteration,
            "changed_data": job.changed_data(),
            "partial": !whole,
            "tasks": eval.tasks,
            "episodes": self.episodes.as_ref().map(|path| path.display().to_string()),
            "steps": eval.steps,
            "batch": eval.batch,
            "warm_start": self.warm_start.is_some(),
            "refine": stored.config.strategy.refine,
            "transductive": modes[0],
            "runs": of(modes[0], Origin::Trained),
            "random_initialisation": of(modes[0], Origin::Random).first(),
        });
        if let Some(second) = modes.get(1) {
            value["transduction"] = json!({
                "runs": of(*second, Origin::Trained),
                "random_initialisation": of(*second, Origin::Random).first(),
            });
        }
        value
    }
}

/// The mode in words, where there is more than one way.
pub(super) fn mode_name(more_than_one: bool, transductive: bool) -> &'static str {
    match (more_than_one, transductive) {
        (false, _) => "",
        (true, false) => ", each query with the support set",
        (true, true) => ", transductive",
    }
}

/// Prints the scores on `wanted` tasks, or on those of them that there are.
fn print(evaluation: &Evaluation, wanted: usize, loss: Loss, name_mode: bool, remedy: &str) {
    let [before, after] = evaluation.summaries();
    let name = match evaluation.origin {
        Origin::Trained => format!("run {}", evaluation.run),
        Origin::Random => "random initialisation".into(),
    };
    let mode = mode_name(name_mode, evaluation.transductive);
    let partial = match evaluation.scores.len() {
        all if all == wanted => String::new(),
        some => format!(", partial: {some} of {wanted} tasks"),
    };
    say(format_args!("{name} (seed {}){mode}{partial}", evaluation.seed));
    let [before_loss, after_loss] = [&before, &after].map(|it| it.loss.text(4, ""));
    say(format_args!("  loss      before {before_loss:<20} after {after_loss}"));
    if loss == Loss::CrossEntropy {
        let [before, after] = [before, after].map(|it| it.accuracy.percent().text(2, " %"));
        say(format_args!("  accuracy  before {before:<20} after {after}"));
    }
    if evaluation.diverged() > 0 {
        let (some, all) = (evaluation.diverged(), evaluation.scores.len());
        say(format_args!("  diverged  {some} of {all} tasks, left out of the means; {remedy}"));
    }
}
