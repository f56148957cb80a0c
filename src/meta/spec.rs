//! How a run learns: the `[inner]`, `[outer]`, `[eval]` and `[stop]` parts of a configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::meta::schedule::Schedule;
use crate::optimizers::{Inner, InnerOptimizer, Outer, OuterOptimizer, Settings};

/// How the inner loops run on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanKind {
    /// Fused where the network fits and that is the faster plan, as far as is known; else layered.
    #[default]
    Auto,
    /// A task's whole inner loop in one dispatch.
    Fused,
    /// A dispatch a layer and direction.
    Layered,
}

impl PlanKind {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fused => "fused",
            Self::Layered => "layered",
        }
    }
}

impl fmt::Display for PlanKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// What becomes of the inner optimiser's state between tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatePolicy {
    /// Tasks start from a shared state, which becomes the mean of theirs.
    #[default]
    Mean,
    /// Each of the M task slots carries its own state on.
    Slot,
    /// Each task starts from zero.
    Reset,
}

/// `[inner]`: the learner of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InnerSpec {
    /// What makes a step of a gradient.
    pub optimizer: InnerOptimizer,
    /// Inner rate α (the authors' `learning_rate`).
    pub rate: f32,
    /// How the rate changes over the meta-iterations. Default constant.
    #[serde(default)]
    pub schedule: Schedule,
    /// Inner steps K (the authors' `inner_iters`); give this or `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Passes over a task's support examples, each rounded up to whole minibatches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Minibatch size B (the authors' `inner_batch`).
    pub batch: usize,
    /// Adam's β1, the decay of the first moment; 0 (default, the paper's) keeps none.
    #[serde(default)]
    pub beta1: f32,
    /// Adam's β2, the decay of the second moment. Default 0.999.
    #[serde(default = "beta2")]
    pub beta2: f32,
    /// ε of Adam and RMSprop. Default 1e-8.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Momentum's decay μ. Default 0.9.
    #[serde(default = "nine_tenths")]
    pub momentum: f32,
    /// Momentum in Nesterov's form. Default false.
    #[serde(default)]
    pub nesterov: bool,
    /// RMSprop's ρ, the decay of the second moment (PyTorch's `alpha`). Default 0.99.
    #[serde(default = "rho")]
    pub rho: f32,
    /// AdamW's λ (PyTorch's `weight_decay`). Default 0.01.
    #[serde(default = "hundredth")]
    pub decoupled_weight_decay: f32,
    /// What becomes of the optimiser's state between tasks. Default mean.
    #[serde(default)]
    pub state: StatePolicy,
    /// Factor on all parameters before each inner step (the authors' `weight_decay`); 1 (default) = off.
    #[serde(default = "one")]
    pub weight_decay: f32,
    /// Each minibatch is an independent draw, without repeats inside it, instead of a cut of a
    /// shuffled epoch. Default false.
    #[serde(default)]
    pub replacement: bool,
}

impl InnerSpec {
    /// K = `steps` steps of plain SGD on minibatches of `batch`; the other settings at their
    /// defaults.
    pub fn sgd(rate: f32, batch: usize, steps: usize) -> Self {
        Self {
            optimizer: InnerOptimizer::Sgd,
            rate,
            schedule: Schedule::default(),
            steps: Some(steps),
            epochs: None,
            batch,
            beta1: 0.0,
            beta2: beta2(),
            epsilon: epsilon(),
            momentum: nine_tenths(),
            nesterov: false,
            rho: rho(),
            decoupled_weight_decay: hundredth(),
            state: StatePolicy::default(),
            weight_decay: one(),
            replacement: false,
        }
    }

    /// The optimiser with its settings.
    pub fn rule(&self) -> Inner {
        let Self { beta1, beta2, epsilon, momentum, nesterov, rho, .. } = *self;
        let decoupled_weight_decay = self.decoupled_weight_decay;
        let settings =
            Settings { beta1, beta2, epsilon, momentum, nesterov, rho, decoupled_weight_decay };
        Inner::new(self.optimizer, settings)
    }

    /// Takes the optimiser `rule` with its settings.
    pub fn set_rule(&mut self, rule: Inner) {
        let Settings { beta1, beta2, epsilon, momentum, nesterov, rho, decoupled_weight_decay } =
            rule.settings;
        self.optimizer = rule.optimizer;
        (self.beta1, self.beta2, self.epsilon) = (beta1, beta2, epsilon);
        (self.momentum, self.nesterov, self.rho) = (momentum, nesterov, rho);
        self.decoupled_weight_decay = decoupled_weight_decay;
    }

    /// Inner steps K on a task with `samples` support examples: an epoch is ⌈samples / B⌉ steps.
    pub fn steps(&self, samples: usize) -> usize {
        match (self.steps, self.epochs) {
            (Some(steps), _) => steps,
            (None, Some(epochs)) => epochs.saturating_mul(samples.div_ceil(self.batch.max(1))),
            (None, None) => 0,
        }
    }
}

/// The meta-gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Δ_i = θ_i^K − θ
    #[default]
    Reptile,
    /// Δ_i = θ_i^K − θ_i^{K−1}
    Fomaml,
}

/// `[outer]`: the meta-learner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OuterSpec {
    /// The meta-gradient. Default reptile.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// FOMAML: examples a class that only the last minibatch holds (the authors' `foml_tail`);
    /// 0 (default) = none.
    #[serde(default)]
    pub tail_shots: usize,
    /// What makes a step of Δ. Default interpolation.
    #[serde(default)]
    pub optimizer: OuterOptimizer,
    /// Outer rate ε (the authors' `meta_step`).
    pub rate: f32,
    /// How the rate changes over the meta-iterations. Default constant.
    #[serde(default)]
    pub schedule: Schedule,
    /// Tasks a meta-iteration M (the authors' `meta_batch`).
    pub meta_batch: usize,
    /// Momentum's decay μ. Default 0.9.
    #[serde(default = "nine_tenths")]
    pub momentum: f32,
    /// Adam's β1. Default 0.9.
    #[serde(default = "nine_tenths")]
    pub beta1: f32,
    /// Adam's β2. Default 0.999.
    #[serde(default = "beta2")]
    pub beta2: f32,
    /// Adam's ε. Default 1e-8.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
}

impl OuterSpec {
    /// Reptile with interpolation over M = `meta_batch` tasks; the other settings at their defaults.
    pub fn interpolation(rate: f32, meta_batch: usize) -> Self {
        Self {
            algorithm: Algorithm::default(),
            tail_shots: 0,
            optimizer: OuterOptimizer::default(),
            rate,
            schedule: Schedule::default(),
            meta_batch,
            momentum: nine_tenths(),
            beta1: nine_tenths(),
            beta2: beta2(),
            epsilon: epsilon(),
        }
    }

    /// Takes the optimiser `rule` with its settings.
    pub fn set_rule(&mut self, rule: Outer) {
        let Settings { beta1, beta2, epsilon, momentum, .. } = rule.settings;
        self.optimizer = rule.optimizer;
        (self.beta1, self.beta2) = (beta1, beta2);
        (self.epsilon, self.momentum) = (epsilon, momentum);
    }

    /// The optimiser with its settings.
    pub fn rule(&self) -> Outer {
        let Self { beta1, beta2, epsilon, momentum, .. } = *self;
        let settings = Settings { beta1, beta2, epsilon, momentum, ..Settings::DEFAULT };
        Outer::new(self.optimizer, settings)
    }
}

/// `[eval]`: adaptation to test and validation tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EvalSpec {
    /// Test tasks. Default 1000.
    #[serde(default = "thousand")]
    pub tasks: usize,
    /// Inner steps (the authors' `eval_iters`).
    pub steps: usize,
    /// Minibatch size (the authors' `eval_batch`).
    pub batch: usize,
    /// As `inner.replacement`. Default false.
    #[serde(default)]
    pub replacement: bool,
    /// Queries of a task share one batch, and with it the statistics of batch-norms. By default each
    /// is predicted in a batch of its own with the support set (the authors' `transductive`).
    #[serde(default)]
    pub transductive: bool,
    /// Validate every so many meta-iterations; 0 (default) = never.
    #[serde(default)]
    pub every: u64,
    /// Tasks of one validation. Default 100.
    #[serde(default = "hundred")]
    pub validation_tasks: usize,
}

/// `[stop]`: when to stop before all iterations are done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StopSpec {
    /// Time budget of one session in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Stop once the validation metric is this good: accuracy (above 0, at most 1) for
    /// cross-entropy, loss for MSE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Stop after so many validations in a row without a better metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
}

fn beta2() -> f32 {
    Settings::DEFAULT.beta2
}

fn epsilon() -> f32 {
    Settings::DEFAULT.epsilon
}

fn rho() -> f32 {
    Settings::DEFAULT.rho
}

fn hundredth() -> f32 {
    Settings::DEFAULT.decoupled_weight_decay
}

fn one() -> f32 {
    1.0
}

fn nine_tenths() -> f32 {
    0.9
}

fn thousand() -> usize {
    1000
}

fn hundred() -> usize {
    100
}

/// The most entries: the device counts slots of a product of two such numbers.
const MOST_ENTRIES: usize = 65_535;

/// `[memory]`: a ring of adapted parameter sets. Task i of meta-iteration t has slot (t · M + i) mod n.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MemorySpec {
    /// Entries n of a run, at least `outer.meta_batch`; 0 (default) = no memory.
    pub capacity: usize,
    /// β of u ← (1 − β) u + β U^K(θ) for a task's entry u; the outer step is ε (mean u − θ). With 1 (default) and
    /// n = M it is Reptile's.
    pub blend: f32,
}

impl Default for MemorySpec {
    fn default() -> Self {
        Self { capacity: 0, blend: 1.0 }
    }
}

impl MemorySpec {
    /// Checks it for training with `outer`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub(crate) fn check(&self, outer: &OuterSpec) -> Result<()> {
        if !(self.blend > 0.0 && self.blend <= 1.0) {
            let message =
                format!("{} is not possible; give a share above 0 and up to 1", self.blend);
            return Err(Error::config("memory.blend", message));
        }
        if self.capacity == 0 {
            return Ok(());
        }
        if !(outer.meta_batch..=MOST_ENTRIES).contains(&self.capacity) {
            let message = format!(
                "{} entries; give {} (outer.meta_batch: every task of a meta-iteration has its entry) to \
                 {MOST_ENTRIES}, or 0 for none",
                self.capacity, outer.meta_batch
            );
            return Err(Error::config("memory.capacity", message));
        }
        if outer.algorithm != Algorithm::Reptile {
            return Err(Error::config("outer.algorithm", "a memory goes with \"reptile\""));
        }
        Ok(())
    }

    /// Entries of a run that hold something after `iterations` meta-iterations of `tasks` tasks.
    pub fn filled(&self, iterations: u64, tasks: usize) -> usize {
        iterations.saturating_mul(tasks as u64).min(self.capacity as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_shown_by_their_names_in_a_configuration() {
        for (plan, name) in
            [(PlanKind::Auto, "auto"), (PlanKind::Fused, "fused"), (PlanKind::Layered, "layered")]
        {
            assert_eq!(plan.to_string(), name);
            assert_eq!(serde_json::to_value(plan).unwrap(), name);
        }
        assert_eq!(format!("{:>6}", PlanKind::Fused), " fused");
    }
}
