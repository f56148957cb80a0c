//! The inner optimiser as kernels know it, and what each kernel with a step of it needs.

use crate::gpu::Source;
use crate::kernels::{Argument, Axis, RUN_STEP, RunSteps, adam_constants};

/// The inner optimiser as kernels know it; its rate comes with each iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerRule {
    Sgd,
    /// Adam in TensorFlow's form; β1 = 0 keeps no first moment.
    Adam {
        beta1: f32,
        beta2: f32,
        epsilon: f32,
    },
}

impl InnerRule {
    /// Whether a second moment is kept.
    pub fn has_second(&self) -> bool {
        matches!(self, Self::Adam { .. })
    }

    /// Whether a first moment is kept.
    pub fn has_first(&self) -> bool {
        matches!(self, Self::Adam { beta1, .. } if *beta1 > 0.0)
    }

    /// Adds the `update` function and its constants.
    pub(super) fn library(&self, source: Source) -> Source {
        match *self {
            Self::Sgd => source.library(include_str!("../../shaders/lib/update_sgd.wgsl")),
            Self::Adam { beta1, beta2, epsilon } => adam_constants(source, beta1, beta2, epsilon)
                .library(include_str!("../../shaders/lib/update_adam.wgsl")),
        }
    }
}

/// Adam's moments, `[T, packed]`; buffers of their own even where they are not used.
#[derive(Clone, Debug)]
pub struct InnerState {
    pub second: wgpu::Buffer,
    pub first: wgpu::Buffer,
}

/// An inner step on parameters.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    pub rule: InnerRule,
    pub axis: Axis,
    pub runs: &'a RunSteps,
    /// `[T, packed]`: changed in place.
    pub theta: &'a wgpu::Buffer,
    pub state: &'a InnerState,
}

impl<'a> Update<'a> {
    /// Adds what the step needs to `source`.
    pub(super) fn library(&self, source: Source) -> Source {
        let source = source.library(RUN_STEP).constant("TASKS_PER_RUN", self.axis.per_run);
        self.rule.library(source)
    }

    /// Bindings 4 to 6.
    pub(super) fn arguments(&self) -> [Argument<'a>; 3] {
        [
            Argument::Out(self.theta),
            Argument::Out(&self.state.second),
            Argument::Out(&self.state.first),
        ]
    }
}
