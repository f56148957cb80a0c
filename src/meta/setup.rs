//! What a trainer trains, and the memory it takes.

use crate::error::Result;
use crate::gpu::{Gpu, Memory, size_of_f32s};
use crate::kernels::{Axis, InnerRule, OuterRule};
use crate::meta::source::Origin;
use crate::meta::spec::{
    Algorithm, InnerOptimizer, InnerSpec, OuterOptimizer, OuterSpec, PlanKind,
};
use crate::meta::trainer::RING;
use crate::model::Model;
use crate::tasks::Batches;

/// What a trainer trains, and how.
#[derive(Clone, Debug)]
pub struct TrainerSetup {
    pub model: Model,
    /// Seed of run 0; run r has `seed + r`.
    pub seed: u64,
    /// Independent runs R.
    pub runs: usize,
    /// Meta-iterations that the schedules span.
    pub iterations: u64,
    pub plan: PlanKind,
    pub inner: InnerSpec,
    pub outer: OuterSpec,
    /// Minibatches of a training task.
    pub batches: Batches,
    pub origin: Origin,
}

/// The inner optimiser as kernels know it.
pub fn inner_rule(spec: &InnerSpec) -> InnerRule {
    match spec.optimizer {
        InnerOptimizer::Sgd => InnerRule::Sgd,
        InnerOptimizer::Adam => {
            InnerRule::Adam { beta1: spec.beta1, beta2: spec.beta2, epsilon: spec.epsilon }
        }
    }
}

/// The outer optimiser as kernels know it.
pub(super) fn outer_rule(spec: &OuterSpec) -> OuterRule {
    match spec.optimizer {
        OuterOptimizer::Interpolation => OuterRule::Interpolation,
        OuterOptimizer::Momentum => OuterRule::Momentum { momentum: spec.momentum },
        OuterOptimizer::Adam => {
            OuterRule::Adam { beta1: spec.beta1, beta2: spec.beta2, epsilon: spec.epsilon }
        }
    }
}

/// Checks the large buffers of a job before anything is made, and returns their sizes.
///
/// # Errors
/// [`Error::Limit`] that names the buffer, the needed and the available bytes.
pub fn memory(gpu: &Gpu, setup: &TrainerSetup) -> Result<u64> {
    let axis = Axis { runs: setup.runs, per_run: setup.outer.meta_batch };
    let mut memory = Memory::default();
    let model = &setup.model;
    let rule = inner_rule(&setup.inner);
    let sets = size_of_f32s(axis.tasks() * model.packed_len());
    memory.add("adapted parameters", sets);
    if rule.has_second() {
        memory.add("second moments", sets);
    }
    if rule.has_first() {
        memory.add("first moments", sets);
    }
    if setup.outer.algorithm == Algorithm::Fomaml {
        memory.add("parameters before the last step", sets);
    }
    let batch = setup.batches.segments(true).iter().map(|s| s.batch).max().unwrap_or(0);
    let widest = model.layers().iter().map(|l| l.outputs_padded().max(l.inputs_padded())).max();
    memory.add("activations", size_of_f32s(axis.tasks() * batch * widest.unwrap_or(0)));
    memory.add("metrics", size_of_f32s(RING * axis.runs * setup.batches.steps));
    memory.check(gpu, "lower outer.meta_batch or runs")?;
    Ok(memory.total())
}
