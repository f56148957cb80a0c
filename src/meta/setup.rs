//! What a trainer trains, and the memory it takes.

use crate::error::Result;
use crate::gpu::{Gpu, Memory, size_of_f32s};
use crate::kernels::{Axis, InnerRule, OuterRule, RunSteps};
use crate::meta::inner::{choose, plan_memory};
use crate::meta::source::{Origin, TaskBuffers};
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

/// Checks the buffers of a job before anything is made, and returns the bytes of all.
///
/// # Errors
/// [`crate::Error::Limit`] that names the buffer, the needed and the available bytes,
/// [`crate::Error::Config`] if the plan is impossible.
pub fn memory(gpu: &Gpu, setup: &TrainerSetup) -> Result<u64> {
    let axis = Axis { runs: setup.runs, per_run: setup.outer.meta_batch };
    let mut memory = Memory::default();
    let (model, batches) = (&setup.model, &setup.batches);
    let rule = inner_rule(&setup.inner);
    let outer = outer_rule(&setup.outer);
    let sets = size_of_f32s(axis.runs * model.packed_len());
    for used in [
        true,
        rule.has_second(),
        rule.has_first(),
        outer != OuterRule::Interpolation,
        matches!(outer, OuterRule::Adam { .. }),
    ] {
        memory.add("parameters and moments", if used { sets } else { 0 });
    }
    memory.add("metrics", size_of_f32s(RING * axis.runs * batches.steps));
    let (rows, fomaml) = (setup.origin.has_rows(), setup.outer.algorithm == Algorithm::Fomaml);
    let (kind, segments) = choose(gpu, model, rule, rows, setup.plan, batches, fomaml)?;
    plan_memory(&mut memory, gpu, model, rule, axis, &segments, kind)?;
    TaskBuffers::plan(&mut memory, model, &setup.origin, axis, batches, &[]);
    memory.check(gpu, "lower outer.meta_batch or runs")?;
    // Of this one a slot is bound at a time.
    memory.add("iteration settings", RunSteps::bytes(gpu, axis.runs, RING));
    Ok(memory.total() + setup.origin.image_bytes())
}
