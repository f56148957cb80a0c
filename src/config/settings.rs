//! Every setting of a run, with its default (docs/config.md).

use serde::{Deserialize, Serialize};

use crate::cluster::DistributedSpec;
use crate::meta::{
    EvalSpec, InnerSpec, MemorySpec, Origin, OuterSpec, PlanKind, StopSpec, StrategySpec,
    TrainerSetup,
};
use crate::model::{Model, ModelSpec};
use crate::tasks::{Batches, TaskSpec};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Seed of run 0, at most 2⁶³ − 1 (TOML's integers); run r has `seed + r`. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Independent runs R in one process. Default 1.
    #[serde(default = "one")]
    pub runs: usize,
    /// Meta-iterations, fewer than 2³² (the device counts in 32 bits).
    pub iterations: u64,
    /// How the inner loops run. Default auto.
    #[serde(default)]
    pub plan: PlanKind,
    /// The network.
    pub model: ModelSpec,
    /// Where tasks come from.
    pub tasks: TaskSpec,
    /// The learner of one task.
    pub inner: InnerSpec,
    /// The meta-learner.
    pub outer: OuterSpec,
    /// How inner rates and the outer direction are learned. Default: not at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: StrategySpec,
    /// The ring of adapted parameter sets. Default: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: MemorySpec,
    /// How several ranks train together. Default: the tasks of each meta-iteration are theirs together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub distributed: DistributedSpec,
    /// Adaptation to test and validation tasks.
    pub eval: EvalSpec,
    /// When to stop early. Default: never.
    #[serde(default)]
    pub stop: StopSpec,
    /// What is written to the run's folder.
    #[serde(default)]
    pub log: LogSpec,
}

/// `[log]`: what is written to the run's folder, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogSpec {
    /// A line of metrics every so many meta-iterations (means since the line before). Default 10.
    pub every: u64,
    /// The inner losses of each step every so many meta-iterations; 0 = never. Default 0.
    pub inner: u64,
    /// A checkpoint every so many meta-iterations. Default 1000.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the newest ones. Default 3.
    pub keep: usize,
    /// Also write TensorBoard's event files. Default false.
    pub tensorboard: bool,
    /// In each line of metrics also norms and products of gradients and the spread of the tasks, by layer; the plan
    /// is then layered. Default false.
    #[serde(skip_serializing_if = "is_default")]
    pub telemetry: bool,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self {
            every: 10,
            inner: 0,
            checkpoint_every: 1000,
            keep: 3,
            tensorboard: false,
            telemetry: false,
        }
    }
}

fn one() -> usize {
    1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Config {
    /// Support examples of a training task.
    pub fn support_samples(&self) -> usize {
        let [way, group, _] = self.tasks.groups();
        way.saturating_mul(group)
    }

    /// Support examples of a test task.
    pub fn eval_support_samples(&self) -> usize {
        let [way, _, group] = self.tasks.groups();
        way.saturating_mul(group)
    }

    /// Inner steps K of a training task.
    pub fn inner_steps(&self) -> usize {
        self.inner.steps(self.support_samples())
    }

    /// What a trainer of `model` on tasks of `origin` is made from.
    pub fn trainer_setup(&self, model: Model, origin: Origin) -> TrainerSetup {
        let [way, group, _] = self.tasks.groups();
        let query = self.strategy.has_query();
        TrainerSetup {
            model,
            seed: self.seed,
            runs: self.runs,
            own: Vec::new(),
            iterations: self.iterations,
            plan: self.plan,
            inner: self.inner.clone(),
            outer: self.outer.clone(),
            strategy: self.strategy.clone(),
            memory: self.memory.clone(),
            telemetry: self.log.telemetry,
            batches: Batches {
                way,
                group,
                tail: if query { self.strategy.query_shots } else { self.outer.tail_shots },
                steps: self.inner_steps() + usize::from(query),
                batch: self.inner.batch,
                replacement: self.inner.replacement,
            },
            origin,
            first_task: 0,
            shared_tasks: None,
        }
    }
}
