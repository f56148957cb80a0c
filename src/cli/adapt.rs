//! `reptile adapt`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, Stored};
use crate::gpu::Gpu;
use crate::kernels::InnerRule;
use crate::meta::{
    Adaptation, AdaptationSetup, InnerOptimizer, Origin, PlanKind, StartingPoint, StrategySpec,
};
use crate::model::Model;
use crate::rng::Phase;
use crate::run::adapted::{Adapted, Settings, sha256_file};
use crate::run::{Config, atomic, starting_point};
use crate::tasks::Batches;
use crate::tasks::arrays::{Targets, TaskArrays};

/// Adapt a checkpoint to tasks of your own.
#[derive(Debug, Args)]
pub struct Adapt {
    /// A checkpoint, or a run's folder.
    checkpoint: PathBuf,
    /// safetensors file with support_x, support_y and optionally query_x, query_y, order.
    #[arg(long, value_name = "FILE")]
    tasks: PathBuf,
    /// safetensors file to write: adapted parameters, support_loss, query_output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Inner steps K (eval.steps by default, or what `order` has).
    #[arg(long)]
    steps: Option<usize>,
    /// Minibatch size B (eval.batch by default, or what `order` has).
    #[arg(long)]
    batch: Option<usize>,
    /// Inner rate α (the run's own by default).
    #[arg(long, allow_negative_numbers = true)]
    rate: Option<f32>,
    /// Inner optimiser (the run's own by default).
    #[arg(long)]
    optimizer: Option<Optimizer>,
    /// Start Adam from zero instead of from the checkpoint's state.
    #[arg(long)]
    reset_optimizer: bool,
    /// Seed of the minibatches (the run's own by default).
    #[arg(long)]
    seed: Option<u64>,
    /// Which of the checkpoint's runs to start from.
    #[arg(long, default_value_t = 0)]
    run: usize,
    /// How the inner loops run.
    #[arg(long)]
    plan: Option<Plan>,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Optimizer {
    Sgd,
    Adam,
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
        let stored = Stored::open(&self.checkpoint, None)?;
        let mut config = stored.config.clone();
        self.apply(&mut config)?;
        let snapshot = stored.snapshot()?;
        if self.run >= snapshot.runs {
            bail!("--run {}: the checkpoint holds {} runs, from 0 on", self.run, snapshot.runs);
        }
        let model = config.validate()?;
        let arrays = TaskArrays::load(&self.tasks, &model)?;
        let batches = self.batches(&config, &arrays)?;
        let mut start = starting_point(&snapshot, self.run);
        if self.reset_optimizer {
            start.state = [None, None];
            start.adam_steps = 0;
        }
        let seed = self.seed.unwrap_or(config.seed.wrapping_add(self.run as u64));
        let setup = AdaptationSetup {
            model: model.clone(),
            rule: config.strategy.adaptation_rule(&config.inner),
            rate: config.inner.rate,
            weight_decay: config.inner.weight_decay,
            plan: config.plan,
            origin: Origin::Rows {
                queries: arrays.query.as_ref().map_or(0, |query| query.count),
                ordered: arrays.order.is_some(),
            },
            phase: Phase::Adapt,
            seed,
            scored: false,
            transductive: vec![config.eval.transductive],
            batches,
        };
        let gpu = self.device.open()?;
        let settings = Settings {
            base: sha256_file(&stored.file)?,
            steps: setup.batches.steps,
            batch: setup.batches.batch,
            rate: setup.rate,
            optimizer: match setup.rule {
                InnerRule::Sgd => "sgd".into(),
                InnerRule::Adam { .. } => "adam".into(),
                InnerRule::Rates(_) | InnerRule::Query => "learned rates".into(),
            },
            seed,
        };
        let adapted = adapt_all(&gpu, &setup, &start, &arrays, settings)?;
        warn_if_not_finite(&adapted);
        adapted.write_new(&model, &self.out)?;
        eprintln!("{} tasks adapted, written to {}", arrays.tasks, self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    fn apply(&self, config: &mut Config) -> Result<()> {
        if self.rate.is_some() || self.optimizer.is_some() {
            // In place of the rates that the run has learned.
            config.strategy = StrategySpec::default();
        }
        if let Some(rate) = self.rate {
            if !(rate.is_finite() && rate > 0.0) {
                bail!("--rate {rate}: must be a number above 0");
            }
            config.inner.rate = rate;
        }
        if let Some(optimizer) = self.optimizer {
            config.inner.optimizer = match optimizer {
                Optimizer::Sgd => InnerOptimizer::Sgd,
                Optimizer::Adam => InnerOptimizer::Adam,
            };
        }
        if let Some(plan) = self.plan {
            config.plan = match plan {
                Plan::Auto => PlanKind::Auto,
                Plan::Fused => PlanKind::Fused,
                Plan::Layered => PlanKind::Layered,
            };
        }
        Ok(())
    }

    /// Minibatches from `order`, the flags and the run's evaluation settings.
    fn batches(&self, config: &Config, arrays: &TaskArrays) -> Result<Batches> {
        let (steps, batch) = match &arrays.order {
            Some(order) => {
                let given =
                    [("--steps", self.steps, order.steps), ("--batch", self.batch, order.batch)];
                for (flag, wanted, found) in given {
                    if wanted.is_some_and(|wanted| wanted != found) {
                        bail!(
                            "{flag} {}: the tensor `order` of {} has {found}; leave the flag out",
                            wanted.unwrap_or(0),
                            self.tasks.display()
                        );
                    }
                }
                (order.steps, order.batch)
            }
            None => (
                self.steps.unwrap_or(config.eval.steps),
                self.batch.unwrap_or(config.eval.batch.min(arrays.support)),
            ),
        };
        if steps == 0 || batch == 0 {
            bail!("--steps and --batch must be at least 1");
        }
        Ok(Batches {
            way: 1,
            group: arrays.support,
            tail: 0,
            steps,
            batch,
            replacement: config.inner.replacement
                && arrays.order.is_none()
                && batch <= arrays.support,
        })
    }
}

/// Adapts to all tasks, as many at once as the device allows.
fn adapt_all(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: &StartingPoint,
    arrays: &TaskArrays,
    settings: Settings,
) -> Result<Adapted> {
    let size = Adaptation::batch_size(gpu, setup, arrays.tasks);
    let mut adaptation = Adaptation::new(gpu, setup.clone(), size)?;
    adaptation.start_from(start);
    let mut parameters = Vec::new();
    let mut support_loss = Vec::new();
    let mut query_output = arrays.query.as_ref().map(|_| Vec::new());
    for first in (0..arrays.tasks).step_by(size) {
        let count = size.min(arrays.tasks - first);
        upload(gpu, &setup.model, &adaptation, arrays, first, count);
        adaptation.run(first)?;
        parameters.extend(adaptation.adapted()?.into_iter().take(count));
        support_loss
            .extend(adaptation.support_losses()?.into_iter().take(count * setup.batches.steps));
        if let (Some(all), Some(query)) = (&mut query_output, &arrays.query) {
            let [_, outputs] = adaptation.query_outputs()?;
            let wanted = count * query.count * setup.model.outputs();
            all.extend(outputs.unwrap_or_default().into_iter().take(wanted));
        }
    }
    Ok(Adapted { parameters, support_loss, query_output, settings })
}

/// Uploads tasks `first..first + count`.
fn upload(
    gpu: &Gpu,
    model: &Model,
    adaptation: &Adaptation,
    arrays: &TaskArrays,
    first: usize,
    count: usize,
) {
    let tasks = adaptation.tasks();
    let support = |width: usize| {
        let one = arrays.support * width;
        first * one..(first + count) * one
    };
    tasks.upload_support_x(gpu, model, &arrays.support_x[support(model.inputs())]);
    match &arrays.support_y {
        Targets::Values(values) => {
            tasks.upload_support_values(gpu, model, &values[support(model.outputs())]);
        }
        Targets::Labels(labels) => tasks.upload_support_labels(gpu, &labels[support(1)]),
    }
    if let Some(query) = &arrays.query {
        let one = query.count * model.inputs();
        tasks.upload_query_x(gpu, model, &query.x[first * one..(first + count) * one]);
    }
    if let Some(order) = &arrays.order {
        let one = order.steps * order.batch;
        tasks.upload_order(gpu, &order.indices[first * one..(first + count) * one]);
    }
}

fn warn_if_not_finite(adapted: &Adapted) {
    let broken = |set: &Vec<f32>| set.iter().any(|value| !value.is_finite());
    let tasks: Vec<usize> =
        (0..adapted.parameters.len()).filter(|task| broken(&adapted.parameters[*task])).collect();
    if let Some(first) = tasks.first() {
        eprintln!(
            "warning: {} of {} tasks diverged (the first is task {first}); lower --rate",
            tasks.len(),
            adapted.parameters.len()
        );
    }
}
