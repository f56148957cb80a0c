//! `shaders/dense_update.wgsl`: the weights' gradient and the inner optimiser's step on it.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{
    Argument, Axis, INNER_STEP, InnerSteps, RUN_STEP, RunSteps, Tiling, adam_constants, call,
    dense_constants, vectors,
};
use crate::model::Layer;

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

/// Adam's moments, `[T, stride]`; buffers of their own even where they are not used.
#[derive(Clone, Debug)]
pub struct InnerState {
    pub second: wgpu::Buffer,
    pub first: wgpu::Buffer,
}

/// Records the step on one layer: `x` `[T, B, in]`, `dz` `[T, B, out]`, `theta` [T, `stride` vectors].
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn dense_update(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    rule: InnerRule,
    axis: Axis,
    batch: usize,
    stride: usize,
    runs: &RunSteps,
    (inner, step): (&InnerSteps, usize),
    x: &wgpu::Buffer,
    dz: &wgpu::Buffer,
    theta: &wgpu::Buffer,
    state: &InnerState,
) -> Result<()> {
    let source = Source::new("dense_update", include_str!("../../shaders/dense_update.wgsl"))
        .library(RUN_STEP)
        .library(INNER_STEP)
        .constant("TASKS_PER_RUN", axis.per_run)
        .constant("COLUMNS", vectors(layer.outputs()))
        .constant("DEPTH", batch);
    let source = rule.library(dense_constants(source, layer, batch, stride));
    let (source, [rows, columns]) =
        Tiling::of(gpu).outer(source, vectors(layer.inputs()) + 1, vectors(layer.outputs()));
    let arguments = [
        Argument::Runs(runs),
        Argument::Inner(inner, step),
        Argument::In(x),
        Argument::In(dz),
        Argument::Out(theta),
        Argument::Out(&state.second),
        Argument::Out(&state.first),
    ];
    call(gpu, recording, &source, &arguments, [rows, columns, axis.tasks()])
}
