//! Adapting a stored state to many tasks: the user's own arrays, or the run's test tasks.

use crate::config::{Config, Job};
use crate::data::StoredSplit;
use crate::data::arrays::{Targets, TaskArrays};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::InnerRule;
use crate::meta::{
    Adaptation, AdaptationSetup, Origin, Start, StrategySpec, TrainingState, best_entries,
    in_batches,
};
use crate::model::Model;
use crate::rng::Phase;
use crate::session::evaluation::NO_MEMORY;
use crate::store::adapted::{Adapted, Recipe, Settings};
use crate::tasks::Batches;

/// What is adapted to.
#[derive(Clone, Copy, Debug)]
pub enum Tasks<'a> {
    /// Tasks of the user's own.
    Arrays(&'a TaskArrays),
    /// The first so many test tasks of a run.
    Test(&'a Job, usize),
}

impl Tasks<'_> {
    /// Number of tasks.
    pub fn count(&self) -> usize {
        match self {
            Self::Arrays(arrays) => arrays.tasks,
            Self::Test(_, count) => *count,
        }
    }
}

impl Recipe {
    /// The configuration of the base with what the recipe changes.
    fn apply(&self, base: &Config) -> Config {
        let mut config = base.clone();
        if self.rate.is_some() || self.optimizer.is_some() {
            config.strategy = StrategySpec::default();
        }
        config.strategy.refine = self.refine.unwrap_or(config.strategy.refine);
        config.inner.rate = self.rate.unwrap_or(config.inner.rate);
        config.inner.optimizer = self.optimizer.unwrap_or(config.inner.optimizer);
        config.plan = self.plan;
        config
    }

    /// Refuses tasks with labels that the recipe masks.
    fn check_classes(&self, config: &Config, tasks: Tasks<'_>) -> Result<()> {
        let Some(classes) = self.classes else { return Ok(()) };
        let labels = |targets: &Targets| match targets {
            Targets::Labels(labels) => labels.iter().max().map_or(0, |label| *label as usize + 1),
            Targets::Values(_) => 0,
        };
        let way = match tasks {
            // Whatever has an output may come.
            Tasks::Test(job, _) => config.tasks.classes().unwrap_or(job.model().outputs()),
            Tasks::Arrays(arrays) => {
                let query = arrays.query.as_ref().and_then(|query| query.y.as_ref());
                labels(&arrays.support_y).max(query.map_or(0, labels))
            }
        };
        if way <= classes {
            return Ok(());
        }
        let message =
            format!("the tasks have {way} classes, not {classes}; give as many, or leave it out");
        Err(Error::config("classes", message))
    }

    /// The setup of the device, the network with it.
    fn setup(&self, base: &Config, model: &Model, tasks: Tasks<'_>) -> Result<AdaptationSetup> {
        let mut config = self.apply(base);
        config.validate()?;
        let rule = config.strategy.adaptation_rule(&config.inner, config.inner_steps());
        let (rate, plan) = (config.inner.rate, config.plan);
        self.check_classes(&config, tasks)?;
        match tasks {
            Tasks::Test(job, _) => {
                (config.eval.steps, config.eval.batch) = (self.steps, self.batch);
                let setup = job.with(config)?.evaluation(self.run, Phase::Test);
                let classes = self.classes.or(setup.classes);
                Ok(AdaptationSetup { seed: self.seed, scored: false, classes, ..setup })
            }
            Tasks::Arrays(arrays) => Ok(AdaptationSetup {
                model: model.clone(),
                rule,
                rate,
                weight_decay: config.inner.weight_decay,
                plan,
                batches: Batches {
                    way: 1,
                    group: arrays.support,
                    tail: 0,
                    steps: self.steps,
                    batch: self.batch,
                    replacement: config.inner.replacement
                        && arrays.order.is_none()
                        && self.batch <= arrays.support,
                },
                origin: Origin::Rows {
                    queries: arrays.query.as_ref().map_or(0, |query| query.count),
                    ordered: arrays.order.is_some(),
                },
                phase: Phase::Adapt,
                seed: self.seed,
                scored: false,
                transductive: vec![config.eval.transductive],
                classes: self.classes,
                expected_tasks: arrays.tasks,
            }),
        }
    }
}

/// What is adapted: a state of a run in a file.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The run's configuration.
    pub config: &'a Config,
    /// The SHA-256 of the state's file.
    pub digest: &'a str,
    /// What the run kept of its data set: how its inputs were normalised, and those of its tasks are therefore.
    pub split: Option<&'a StoredSplit>,
}

/// Adapts run `recipe.run` of `snapshot`, the state of `base`, to `tasks`, as many at once as the device allows.
/// `progress` is told the tasks that are done and their number.
///
/// # Errors
/// [`Error::Config`] if there is no such run or a value of the recipe is impossible; as [`Adaptation::new`].
pub fn adapt(
    gpu: &Gpu,
    base: Base<'_>,
    snapshot: &TrainingState,
    recipe: &Recipe,
    tasks: Tasks<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Adapted> {
    let normalization = base.split.and_then(StoredSplit::normalization);
    let normalized = match (tasks, normalization) {
        (Tasks::Arrays(arrays), Some(own)) => Some(arrays.normalized(own)),
        _ => None,
    };
    let tasks = normalized.as_ref().map_or(tasks, Tasks::Arrays);
    let Base { config: base, digest, .. } = base;
    if recipe.run >= snapshot.runs {
        let message = format!(
            "there is no run {}; the checkpoint holds {}, from 0 on",
            recipe.run, snapshot.runs
        );
        return Err(Error::config("run", message));
    }
    let model = Model::new(base.model.clone())?;
    let setup = recipe.setup(base, &model, tasks)?;
    let mut points = match recipe.warm_start {
        true => snapshot.memory_points(&base.memory, base.outer.meta_batch, recipe.run)?,
        false => vec![snapshot.starting_point(recipe.run)?],
    };
    if points.is_empty() {
        return Err(Error::config("memory.capacity", NO_MEMORY));
    }
    // Another optimiser would take the moments for something else.
    let other = recipe.optimizer.is_some_and(|optimizer| optimizer != base.inner.optimizer);
    for start in points.iter_mut().filter(|_| recipe.reset_optimizer || other) {
        start.state = [None, None];
        start.adam_steps = 0;
    }
    let settings = Settings {
        base: digest.to_string(),
        steps: setup.batches.steps,
        batch: setup.batches.batch,
        rate: setup.rate,
        optimizer: match setup.rule {
            InnerRule::Optimizer(inner) => inner.optimizer.to_string(),
            InnerRule::Rates { .. } | InnerRule::Refined { .. } | InnerRule::Query => {
                "learned rates".into()
            }
        },
        seed: setup.seed,
        tasks: match tasks {
            Tasks::Arrays(_) => "arrays".into(),
            Tasks::Test(..) => "test".into(),
        },
        recipe: serde_json::to_string(recipe).expect("a recipe is plain data"),
    };
    let query = match tasks {
        Tasks::Arrays(arrays) => arrays.query.as_ref(),
        Tasks::Test(..) => None,
    };
    let (mut parameters, mut support_loss) = (Vec::new(), Vec::new());
    let mut query_output = query.map(|_| Vec::new());
    let start = if points.len() > 1 { Start::Each } else { Start::Point(&points[0]) };
    in_batches(gpu, &setup, start, tasks.count(), |adaptation, range| {
        let (first, count) = (range.start, range.len());
        if matches!(start, Start::Each) {
            let own = range.clone();
            let best = best_entries(gpu, &setup, &points, own, |scorer, places| match tasks {
                Tasks::Arrays(arrays) => upload_support(gpu, &setup.model, scorer, arrays, places),
                Tasks::Test(..) => Ok(()),
            })?;
            let best: Vec<_> = best.into_iter().map(|entry| points[entry].clone()).collect();
            adaptation.start_from_each(&best)?;
        }
        if let Tasks::Arrays(arrays) = tasks {
            let own: Vec<usize> = range.clone().collect();
            upload_support(gpu, &setup.model, adaptation, arrays, &own)?;
            upload_rest(gpu, &setup.model, adaptation, arrays, first, count)?;
        }
        adaptation.run(first)?;
        let adapted = adaptation.adapted()?;
        let losses = adaptation.support_losses()?;
        let outputs = match query {
            Some(_) => adaptation.query_outputs()?[1].take(),
            None => None,
        };
        parameters
            .extend(adapted.into_iter().take(count).map(|set| setup.unmasked(set, &points[0])));
        support_loss.extend(losses.into_iter().take(count * setup.batches.steps));
        if let (Some(all), Some(query)) = (&mut query_output, query) {
            let wanted = count * query.count * setup.model.outputs();
            all.extend(outputs.unwrap_or_default().into_iter().take(wanted));
        }
        progress(range.end as u64, tasks.count() as u64);
        Ok(())
    })?;
    Ok(Adapted { parameters, support_loss: Some(support_loss), query_output, settings })
}

/// Uploads the support sets of the tasks `of`, one behind the other.
fn upload_support(
    gpu: &Gpu,
    model: &Model,
    adaptation: &Adaptation,
    arrays: &TaskArrays,
    of: &[usize],
) -> Result<()> {
    fn picked<T: Copy>(all: &[T], one: usize, of: &[usize]) -> Vec<T> {
        of.iter().flat_map(|task| &all[task * one..(task + 1) * one]).copied().collect()
    }
    let (tasks, support) = (adaptation.tasks(), arrays.support);
    let x = picked(&arrays.support_x, support * model.inputs(), of);
    tasks.upload_support_x(gpu, model, &x)?;
    match &arrays.support_y {
        Targets::Values(values) => {
            let values = picked(values, support * model.outputs(), of);
            tasks.upload_support_values(gpu, model, &values)
        }
        Targets::Labels(labels) => tasks.upload_support_labels(gpu, &picked(labels, support, of)),
    }
}

/// Uploads queries and minibatches of tasks `first..first + count`.
fn upload_rest(
    gpu: &Gpu,
    model: &Model,
    adaptation: &Adaptation,
    arrays: &TaskArrays,
    first: usize,
    count: usize,
) -> Result<()> {
    let tasks = adaptation.tasks();
    if let Some(query) = &arrays.query {
        let one = query.count * model.inputs();
        tasks.upload_query_x(gpu, model, &query.x[first * one..(first + count) * one])?;
    }
    if let Some(order) = &arrays.order {
        let one = order.steps * order.batch;
        tasks.upload_order(gpu, &order.indices[first * one..(first + count) * one])?;
    }
    Ok(())
}
