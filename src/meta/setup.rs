//! What a trainer trains, and the memory it takes.

use crate::error::{Error, Result};
use crate::kernels::{InnerRule, OuterRule};
use crate::meta::checks;
use crate::meta::source::Origin;
use crate::meta::spec::{Algorithm, InnerSpec, MemorySpec, OuterSpec, PlanKind, StatePolicy};
use crate::meta::strategy_spec::{StrategyKind, StrategySpec};
use crate::model::Model;
use crate::optimizers::OuterOptimizer;
use crate::tasks::Batches;

/// Meta-iterations whose settings and losses the device holds at once.
pub(super) const RING: usize = 1024;

/// Numbers of a layer that telemetry has.
pub(super) const TELEMETRY: usize = 3;

/// What a trainer trains, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrainerSetup {
    /// The network that is trained.
    pub model: Model,
    /// Seed of run 0; run r has `seed + r`.
    pub seed: u64,
    /// Independent runs R.
    pub runs: usize,
    /// Settings of each of the R runs, where they are its own; empty where runs differ in their seed
    /// alone.
    pub own: Vec<RunSettings>,
    /// Meta-iterations that the schedules span.
    pub iterations: u64,
    /// Whether inner loops run fused or layered.
    pub plan: PlanKind,
    /// The inner loop: optimiser, rate and its schedule.
    pub inner: InnerSpec,
    /// The outer step: algorithm, optimiser, rate and tasks of a meta-batch.
    pub outer: OuterSpec,
    /// How inner rates and the outer direction are learned.
    pub strategy: StrategySpec,
    /// The ring of adapted parameter sets.
    pub memory: MemorySpec,
    /// Whether gradients are looked at; the plan is then layered.
    pub telemetry: bool,
    /// Minibatches of a training task; the last one is the query's, if the strategy has one.
    pub batches: Batches,
    /// Where training tasks come from: drawn on the device or uploaded.
    pub origin: Origin,
    /// Number of its first task in a meta-iteration; the tasks before it are other trainers'.
    pub first_task: usize,
    /// Tasks of a run in a meta-iteration that several trainers share, all of them together: what theirs add up to is then
    /// exchanged in its midst ([`Trainer::advance_shared`](crate::meta::Trainer::advance_shared)). None: nothing is shared.
    pub shared_tasks: Option<usize>,
}

/// What may differ between the runs of a trainer; [`TrainerSetup::of_run`] makes it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunSettings {
    /// Seed of the run's initialisation and of its tasks.
    pub seed: u64,
    /// Inner rate α before its schedule.
    pub inner_rate: f32,
    /// Outer rate ε before its schedule.
    pub outer_rate: f32,
    /// β of the strategy.
    pub strategy_rate: f32,
}

impl TrainerSetup {
    /// How `model` is trained on `tasks`, whose support examples become minibatches as `batches` says. What is not said: one
    /// run with seed 0, 30,000 meta-iterations, the faster plan, rates that are not learned, no memory, no telemetry, all tasks
    /// its own.
    pub fn new(
        model: &Model,
        tasks: impl Into<Origin>,
        inner: InnerSpec,
        outer: OuterSpec,
        batches: Batches,
    ) -> Self {
        Self {
            model: model.clone(),
            seed: 0,
            runs: 1,
            own: Vec::new(),
            iterations: 30_000,
            plan: PlanKind::default(),
            inner,
            outer,
            strategy: StrategySpec::default(),
            memory: MemorySpec::default(),
            telemetry: false,
            batches,
            origin: tasks.into(),
            first_task: 0,
            shared_tasks: None,
        }
    }

    /// Checks all that would be undefined on the device: numbers that must not be 0, sizes that it does not count, rates
    /// that are no rates, and tasks that do not fit the network. [`Trainer::new`](crate::meta::Trainer::new) does it
    /// first.
    ///
    /// # Errors
    /// [`Error::Config`] that names the field, [`Error::Limit`] for a size beyond all devices.
    pub fn check(&self) -> Result<()> {
        let (inner, outer) = (&self.inner, &self.outer);
        checks::count("runs", self.runs)?;
        checks::count("outer.meta_batch", outer.meta_batch)?;
        checks::counted("runs × outer.meta_batch", &[self.runs, outer.meta_batch])?;
        self.check_share()?;
        if !self.own.is_empty() && self.own.len() != self.runs {
            let message = format!(
                "{} runs have settings of {}; give one for each, or none",
                self.runs,
                self.own.len()
            );
            return Err(Error::config("runs", message));
        }
        for own in &self.own {
            checks::positive("inner_rate of a run", own.inner_rate)?;
            checks::positive("outer_rate of a run", own.outer_rate)?;
        }
        checks::positive("inner.rate", inner.rate)?;
        checks::positive("inner.weight_decay", inner.weight_decay)?;
        inner.rule().settings.check("inner")?;
        outer.rule().settings.check("outer")?;
        inner.schedule.validate("inner.schedule")?;
        checks::positive("outer.rate", outer.rate)?;
        outer.schedule.validate("outer.schedule")?;
        if matches!(self.origin, Origin::Listed { .. }) {
            let message = "a training draws its images on the device; give episodes, or adapt to lists of your own (`Adaptation`)";
            return Err(Error::config("origin", message));
        }
        self.origin.check(&self.model, &self.batches, false)?;
        if self.strategy.has_query() && self.batches.steps < 2 {
            let message = "the last minibatch is the query's; give 2 or more steps";
            return Err(Error::config("batches.steps", message));
        }
        if self.strategy.kind == StrategyKind::Hypergradient && self.batches.steps < 2 {
            let message = "a hypergradient is of two steps, one behind the other; give 2 or more";
            return Err(Error::config("batches.steps", message));
        }
        self.strategy.check(inner, outer)?;
        if self.strategy.step().is_some() && self.model.has_frozen_layers() {
            let message = "learned rates are of all layers, and some are frozen; train those, or learn no rates";
            return Err(Error::config("strategy.kind", message));
        }
        self.memory.check(outer)?;
        let capacity = self.memory.capacity;
        let (set, steps) = (self.model.packed_len(), self.batches.steps);
        checks::allocatable("parameters", &[self.runs, capacity.max(1), set])?;
        checks::allocatable("inner losses", &[RING, self.runs, outer.meta_batch, steps])?;
        checks::allocatable("minibatch order", &[self.runs, self.batches.order_len()])?;
        let example = self.model.inputs_padded().max(self.model.target_words());
        let examples = self.batches.support().max(self.batches.batch);
        checks::allocatable("a task's examples", &[self.runs, examples, example.max(set)])
    }

    /// Checks its part of tasks that several trainers share.
    fn check_share(&self) -> Result<()> {
        let end = self.first_task.saturating_add(self.outer.meta_batch);
        checks::counted("first_task + outer.meta_batch", &[end])?;
        let Some(tasks) = self.shared_tasks else { return Ok(()) };
        checks::counted("runs × shared_tasks", &[self.runs, tasks])?;
        if tasks < end {
            let message = format!(
                "{tasks} tasks are shared, and this trainer's are {} to {}; give the number of all",
                self.first_task,
                end - 1
            );
            return Err(Error::config("shared_tasks", message));
        }
        self.check_shareable()
    }

    /// Refuses what several trainers do not have together.
    pub(crate) fn check_shareable(&self) -> Result<()> {
        let (key, message) = if self.inner.state == StatePolicy::Slot && self.rule().kept().any() {
            (
                "inner.state",
                "every task has a state of its own, which is not shared; set it to `mean` or `reset`",
            )
        } else if self.memory.capacity > 0 {
            ("memory.capacity", "trainers that share tasks have no memory together; set it to 0")
        } else if self.telemetry {
            ("log.telemetry", "it is of one trainer's tasks; leave it out where several share them")
        } else {
            return Ok(());
        };
        Err(Error::config(key, message))
    }

    /// Tasks of a run in a meta-iteration, those of all trainers that share them.
    pub(super) fn all_tasks(&self) -> usize {
        self.shared_tasks.unwrap_or(self.outer.meta_batch)
    }

    /// The settings of run `run`.
    pub fn of_run(&self, run: usize) -> RunSettings {
        self.own.get(run).copied().unwrap_or(RunSettings {
            seed: self.seed.wrapping_add(run as u64),
            inner_rate: self.inner.rate,
            outer_rate: self.outer.rate,
            strategy_rate: self.strategy.rate(),
        })
    }

    /// The inner optimiser of training as kernels know it.
    pub(crate) fn rule(&self) -> InnerRule {
        match self.strategy.step() {
            Some(step) => InnerRule::Rates { statistic: Some(step.statistic()), learned: None },
            None => InnerRule::Optimizer(self.inner.rule()),
        }
    }

    /// The outer optimiser as kernels know it.
    pub(super) fn outer_rule(&self) -> OuterRule {
        match self.outer.optimizer {
            OuterOptimizer::Interpolation if self.strategy.momentum > 0.0 => {
                OuterRule::Mean { decay: self.strategy.momentum }
            }
            _ => OuterRule::Optimizer(self.outer.rule()),
        }
    }

    /// Whether the last minibatch is a segment of its own: FOMAML's, or the strategy's query.
    pub(super) fn splits_last(&self) -> bool {
        self.outer.algorithm == Algorithm::Fomaml || self.strategy.has_query()
    }

    /// The plan that is asked for.
    pub(super) fn wanted_plan(&self) -> PlanKind {
        if self.telemetry { PlanKind::Layered } else { self.plan }
    }

    /// Where the parts of a run's row of metrics end: losses, learned rates, telemetry.
    pub(super) fn columns(&self) -> [usize; 3] {
        let layers = self.model.layers_with_parameters().count();
        let losses = self.batches.steps;
        let rates = losses + self.strategy.step().map_or(0, |_| layers);
        [losses, rates, rates + if self.telemetry { TELEMETRY * layers } else { 0 }]
    }

    /// The same with the network as it reads the tasks.
    pub(super) fn on_device(&self) -> Self {
        Self { model: self.origin.read_by(&self.model), ..self.clone() }
    }
}

/// Which settings make a training's buffer smaller. The tasks of a run do not: they come in waves.
pub(super) fn remedy(buffer: &str) -> &'static str {
    match buffer {
        "metrics" | "inner losses" | "inner accuracies" => {
            "lower inner.steps (or inner.epochs), or runs"
        }
        "memory" => "lower memory.capacity, the layers' sizes, or runs",
        "minibatch order" => "lower inner.steps (or inner.epochs), inner.batch, or runs",
        "support and query sets" => {
            "lower the examples of a task (tasks.points, tasks.way, tasks.train_shots), or runs"
        }
        "minibatch inputs" | "minibatch targets" | "activations" | "pre-activations"
        | "batch statistics" | "gradients" => "lower inner.batch or the layers' sizes",
        _ => "lower the layers' sizes, or runs",
    }
}
