//! How a batch of tasks is adapted to, and whether that is possible.

use crate::error::{Error, Result};
use crate::kernels::{Axis, InnerRule};
use crate::meta::checks;
use crate::meta::query::QueryBatches;
use crate::meta::source::Origin;
use crate::meta::spec::PlanKind;
use crate::meta::training_state::StartingPoint;
use crate::model::{Layer, Model};
use crate::rng::Phase;
use crate::tasks::Batches;

/// How tasks are adapted to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdaptationSetup {
    /// The network that is adapted.
    pub model: Model,
    /// The inner optimiser.
    pub rule: InnerRule,
    /// Inner rate α.
    pub rate: f32,
    /// Factor on all parameters before each inner step; 1 = off.
    pub weight_decay: f32,
    /// Whether inner loops run fused or layered.
    pub plan: PlanKind,
    /// Inner steps, and how a task's support examples become their minibatches.
    pub batches: Batches,
    /// Where the tasks come from: drawn on the device or uploaded.
    pub origin: Origin,
    /// Which stream tasks (or the order of their minibatches) come from.
    pub phase: Phase,
    /// Seed of the stream.
    pub seed: u64,
    /// Whether tasks have query targets, so that loss and accuracy are wanted.
    pub scored: bool,
    /// The modes in which queries are predicted, one or both: `true` where the queries of a task share
    /// one batch, and with it the statistics of batch-norms; `false` where each has a batch of its own
    /// with the task's support set.
    pub transductive: Vec<bool>,
    /// Classes of the tasks, where they are fewer than the network's outputs: the spare ones, the last, are masked in
    /// loss and accuracy. Needs a dense last layer.
    pub classes: Option<usize>,
    /// Tasks that will be adapted to in all, in this batch and in others; 0 where nobody knows. [`crate::meta::evaluate`] and
    /// [`crate::meta::in_batches`] count their own. Some kernels for long jobs take longer to compile and less time a step; they
    /// add numbers in another order, so that parts of one job should expect the same.
    pub expected_tasks: usize,
}

impl AdaptationSetup {
    /// How `model` is adapted to `tasks` by `rule` with the rate α = `rate`, in minibatches of `batches`. What is not said: no
    /// weight decay, the faster plan, the stream for the caller's own tasks with seed 0, no scores, and queries in batches
    /// of their own.
    pub fn new(
        model: &Model,
        tasks: impl Into<Origin>,
        rule: InnerRule,
        rate: f32,
        batches: Batches,
    ) -> Self {
        Self {
            model: model.clone(),
            rule,
            rate,
            weight_decay: 1.0,
            plan: PlanKind::Auto,
            batches,
            origin: tasks.into(),
            phase: Phase::Adapt,
            seed: 0,
            scored: false,
            transductive: vec![false],
            classes: None,
            expected_tasks: 0,
        }
    }

    /// Checks all that would be undefined on the device, for a batch of `tasks` tasks; returns its axis.
    pub(super) fn check(&self, tasks: usize, starts: Starts) -> Result<Axis> {
        let axis = match starts {
            Starts::One => Axis { runs: 1, per_run: tasks },
            Starts::Each => Axis { runs: tasks, per_run: 1 },
            Starts::All(count) => Axis { runs: count, per_run: tasks },
        };
        checks::count("starts", axis.runs)?;
        checks::count("tasks", axis.per_run)?;
        checks::counted("starts × tasks", &[axis.runs, axis.per_run])?;
        checks::positive("rate", self.rate)?;
        checks::positive("weight_decay", self.weight_decay)?;
        if let InnerRule::Optimizer(inner) = self.rule {
            inner.settings.check("rule")?;
        }
        if self.rule == InnerRule::Query {
            let message = "a query's step is no optimiser; give that of the inner steps";
            return Err(Error::config("rule", message));
        }
        self.origin.check(&self.model, &self.batches, true)?;
        self.classes.map_or(Ok(0..0), |classes| self.model.spare_biases(classes))?;
        let (model, queries) = (&self.model, self.origin.queries(self.batches.way));
        let values = |layer: &Layer| layer.inputs_padded().max(layer.outputs_padded());
        let widest = model.layers().iter().map(values).max().unwrap_or(1).max(model.packed_len());
        let support = self.batches.support().saturating_add(1);
        let rows = queries.saturating_mul(support).max(self.batches.order_len()).max(support);
        checks::allocatable("tasks", &[axis.runs, axis.per_run, rows, widest])?;
        Ok(axis)
    }

    /// Adapted `parameters` `[P]` with the spare outputs that the network has in `start`.
    #[must_use]
    pub fn unmasked(&self, mut parameters: Vec<f32>, start: &StartingPoint) -> Vec<f32> {
        let spare = self.classes.and_then(|classes| self.model.spare_biases(classes).ok());
        if let Some(spare) = spare {
            parameters[spare.clone()].copy_from_slice(&start.parameters[spare]);
        }
        parameters
    }

    /// In which batches the queries of `tasks` tasks are predicted, for each mode. Without batch
    /// statistics a query does not depend on the others, and one batch is the least work.
    pub(super) fn query_batches(&self, tasks: usize) -> impl Iterator<Item = QueryBatches> {
        let queries = self.origin.queries(self.batches.way);
        self.transductive.iter().map(move |transductive| {
            let alone = self.model.has_batch_statistics() && !transductive;
            QueryBatches { tasks, queries, support: alone.then(|| self.batches.support()) }
        })
    }
}

/// What the T tasks of a batch start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// All from one starting point.
    One,
    /// Each from its own.
    Each,
    /// All of them from each of so many: the batch has T tasks for each.
    All(usize),
}
