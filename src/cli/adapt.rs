//! `reptile adapt`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};

use crate::cli::common::{DeviceArgs, Stored, WarmStart, counting, load_job, note_missing_split};
use crate::config::Config;
use crate::data::arrays::TaskArrays;
use crate::disk::{atomic, read};
use crate::meta::{InnerOptimizer, PlanKind, TrainingState};
use crate::session::adapting::{Base, Tasks, adapt};
use crate::store::adapted::{Adapted, Recipe, Settings};

/// Adapt a checkpoint to tasks of your own, or to its test tasks.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true)))]
pub struct Adapt {
    /// A checkpoint, or a run's folder.
    checkpoint: PathBuf,
    /// safetensors file with support_x, support_y and optionally query_x, query_y, order.
    #[arg(long, value_name = "FILE", group = "source")]
    tasks: Option<PathBuf>,
    /// Adapt to so many of the run's test tasks instead, the first ones that `reptile eval` takes.
    #[arg(long, value_name = "T", group = "source", value_parser = clap::value_parser!(u32).range(1..))]
    test_tasks: Option<u32>,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// safetensors file to write: adapted parameters, support_loss, query_output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Inner steps K (eval.steps by default, or what `order` has).
    #[arg(long)]
    steps: Option<usize>,
    /// Minibatch size B (eval.batch by default, or what `order` has).
    #[arg(long)]
    batch: Option<usize>,
    /// Inner rate α (the run's own, or the rates that it has learned, by default).
    #[arg(long, allow_negative_numbers = true)]
    rate: Option<f32>,
    /// Inner optimiser (the run's own by default; with one named, learned rates are not used).
    #[arg(long, value_parser = optimizer())]
    optimizer: Option<InnerOptimizer>,
    /// ARUBA++ with this c: a task's own rates √(b / g) go on, g += c g_k² (strategy.refine by default).
    #[arg(long, value_name = "C", allow_negative_numbers = true, conflicts_with_all = ["rate", "optimizer"])]
    refine: Option<f32>,
    /// Start the optimiser's moments from zero instead of from the checkpoint's state.
    #[arg(long)]
    reset_optimizer: bool,
    /// Start each task from the entry of the run's memory that fits its support set best.
    #[arg(long, value_name = "FROM")]
    warm_start: Option<WarmStart>,
    /// Write the models in the run's memory as they are, slot by slot.
    #[arg(long, group = "source", conflicts_with_all = ["steps", "batch", "rate", "optimizer", "refine", "seed", "warm_start", "reset_optimizer", "plan", "data", "way"])]
    memory: bool,
    /// Classes of the tasks, where they are fewer than the network's outputs: the others are masked.
    #[arg(long, value_name = "N")]
    way: Option<usize>,
    /// Seed of the minibatches (the run's own by default).
    #[arg(long)]
    seed: Option<u64>,
    /// Which of the checkpoint's runs to start from.
    #[arg(long, default_value_t = 0)]
    run: usize,
    /// How the inner loops run.
    #[arg(long)]
    plan: Option<Plan>,
    /// With --test-tasks: although classes of the run are missing or their images changed.
    #[arg(long)]
    changed_data: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// An inner optimiser by its name.
fn optimizer() -> impl TypedValueParser<Value = InnerOptimizer> {
    let names = InnerOptimizer::ALL.iter().map(|optimizer| optimizer.name());
    PossibleValuesParser::new(names).map(|name| {
        let mut all = InnerOptimizer::ALL.iter();
        *all.find(|optimizer| optimizer.name() == name).expect("it is one of the possible values")
    })
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Plan {
    Auto,
    Fused,
    Layered,
}

impl Adapt {
    pub(super) fn run(self) -> Result<ExitCode> {
        atomic::check_new(&self.out)?;
        let mut stored = Stored::open(&self.checkpoint, self.data.as_deref())?;
        stored.changed_data = self.changed_data;
        let snapshot = stored.snapshot()?;
        if let Some(rate) = self.rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            bail!("--rate {rate}: must be a number above 0");
        }
        let (base, digest) = (&stored.config, stored.file.sha256());
        if self.memory {
            return self.export(base, digest, &snapshot);
        }
        let split = stored.split.as_ref();
        let from = Base { config: base, digest: &digest, split };
        let adapted = match &self.tasks {
            Some(path) => {
                let arrays = TaskArrays::load(path, &base.validate()?)?;
                arrays.note(path).iter().for_each(|note| note!("{note}"));
                let recipe = self.recipe(base, Some((path, &arrays)))?;
                let gpu = self.device.open()?;
                let tasks = Tasks::Arrays(&arrays);
                counting("adapting", |progress| {
                    adapt(&gpu, from, &snapshot, &recipe, tasks, progress)
                })?
            }
            None => {
                let recipe = self.recipe(base, None)?;
                let models = u64::from(self.test_tasks.unwrap_or(1));
                let bytes = models.saturating_mul(4 * base.validate()?.parameter_count() as u64);
                // A file that could not be read again.
                read::FILE.check(&self.out, "would hold", bytes)?;
                let gpu = self.device.open()?;
                note_missing_split(&base.tasks, split);
                let job = load_job(&gpu, base.clone(), stored.data())?;
                let tasks = Tasks::Test(&job, self.test_tasks.unwrap_or(1) as usize);
                counting("adapting", |progress| {
                    adapt(&gpu, from, &snapshot, &recipe, tasks, progress)
                })?
            }
        };
        warn_if_not_finite(&adapted);
        adapted.write_new(&base.validate()?, &self.out)?;
        note!("{} tasks adapted, written to {}", adapted.parameters.len(), self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    /// Writes the entries of the memory.
    fn export(&self, base: &Config, digest: String, snapshot: &TrainingState) -> Result<ExitCode> {
        if self.run >= snapshot.runs {
            bail!("--run {}: the checkpoint holds {} runs, from 0 on", self.run, snapshot.runs);
        }
        let entries = snapshot.memory_points(&base.memory, base.outer.meta_batch, self.run)?;
        if entries.is_empty() {
            bail!("--memory: the run has none; train with memory.capacity");
        }
        let recipe = self.recipe(base, None)?;
        let settings = Settings {
            base: digest,
            steps: base.inner_steps(),
            batch: base.inner.batch,
            rate: base.inner.rate,
            optimizer: "training".into(),
            seed: recipe.seed,
            tasks: "memory".into(),
            recipe: serde_json::to_string(&recipe)?,
        };
        let parameters: Vec<_> = entries.into_iter().map(|entry| entry.parameters).collect();
        let adapted = Adapted { parameters, support_loss: None, query_output: None, settings };
        adapted.write_new(&base.validate()?, &self.out)?;
        note!("{} entries, written to {}", adapted.parameters.len(), self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    /// From the flags, the arrays' `order` and the run's evaluation settings.
    fn recipe(&self, base: &Config, arrays: Option<(&PathBuf, &TaskArrays)>) -> Result<Recipe> {
        let mut recipe = Recipe {
            run: self.run,
            steps: self.steps.unwrap_or(base.eval.steps),
            batch: self.batch.unwrap_or(base.eval.batch),
            rate: self.rate,
            optimizer: self.optimizer,
            refine: self.refine,
            reset_optimizer: self.reset_optimizer,
            warm_start: self.warm_start.is_some(),
            seed: self.seed.unwrap_or(base.seed.wrapping_add(self.run as u64)),
            plan: self.plan.map_or(base.plan, |plan| match plan {
                Plan::Auto => PlanKind::Auto,
                Plan::Fused => PlanKind::Fused,
                Plan::Layered => PlanKind::Layered,
            }),
            classes: self.way,
        };
        if let Some((path, arrays)) = arrays {
            recipe.batch = self.batch.unwrap_or(base.eval.batch.min(arrays.support));
            if let Some(order) = &arrays.order {
                let given =
                    [("--steps", self.steps, order.steps), ("--batch", self.batch, order.batch)];
                for (flag, wanted, found) in given {
                    if wanted.is_some_and(|wanted| wanted != found) {
                        bail!(
                            "{flag} {}: the tensor `order` of {} has {found}; leave the flag out",
                            wanted.unwrap_or(0),
                            path.display()
                        );
                    }
                }
                (recipe.steps, recipe.batch) = (order.steps, order.batch);
            }
        }
        if recipe.steps == 0 || recipe.batch == 0 {
            bail!("--steps and --batch must be at least 1");
        }
        Ok(recipe)
    }
}

/// Warns of models that no command reads back.
fn warn_if_not_finite(adapted: &Adapted) {
    let count = adapted.parameters.len();
    let broken = |values: &[f32]| values.iter().any(|value| !value.is_finite());
    let own = |values: &Option<Vec<f32>>, task: usize| {
        values.as_ref().is_some_and(|all| {
            let one = all.len() / count.max(1);
            broken(&all[task * one..][..one])
        })
    };
    let diverged = |task: &usize| {
        broken(&adapted.parameters[*task])
            || own(&adapted.support_loss, *task)
            || own(&adapted.query_output, *task)
    };
    let tasks: Vec<usize> = (0..count).filter(diverged).collect();
    if let Some(first) = tasks.first() {
        let remedy = match adapted.settings.optimizer.as_str() {
            "learned rates" => {
                "its learned rates are too large for it: give a lower --rate instead"
            }
            _ => "lower --rate",
        };
        note!(
            "warning: {} of {count} tasks diverged (the first is task {first}); {remedy}",
            tasks.len(),
        );
    }
}
