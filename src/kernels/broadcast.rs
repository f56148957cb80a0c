//! `shaders/broadcast.wgsl`: every task gets its copy of a parameter set or of a state.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, Axis, BLOCK, RUN_STEP, RunSteps, call};

/// Records target [T, `vectors`] = source [T / `sharers`, `vectors`], vectors from `decayed` on times the run's weight decay,
/// or none.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn broadcast(
    gpu: &Gpu,
    recording: &mut Recording,
    axis: Axis,
    vectors: usize,
    sharers: usize,
    decayed: Option<usize>,
    runs: &RunSteps,
    source: &wgpu::Buffer,
    target: &wgpu::Buffer,
) -> Result<()> {
    let kernel = Source::new("broadcast", shader!("broadcast.wgsl"))
        .library(RUN_STEP)
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", vectors)
        .constant("SHARERS", sharers)
        .constant("DECAYED", decayed.unwrap_or(vectors))
        .constant("TASKS_PER_RUN", axis.per_run);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("source", source),
        Argument::Buffer("target_sets", target),
    ];
    let work = Work::words(4 * vectors * (axis.tasks() + axis.tasks().div_ceil(sharers)));
    call(gpu, recording, &kernel, &arguments, [vectors.div_ceil(BLOCK), axis.tasks(), 1], work)
}
