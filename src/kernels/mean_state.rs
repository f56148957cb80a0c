//! `shaders/mean_state.wgsl`: the mean of the tasks' optimiser state.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{Argument, Axis, BLOCK, call};

/// Records shared [R, `vectors`] = mean over the run's tasks of state [R, M, `vectors`].
///
/// # Errors
/// See [`call`].
pub fn mean_state(
    gpu: &Gpu,
    recording: &mut Recording,
    axis: Axis,
    vectors: usize,
    state: &wgpu::Buffer,
    shared: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("mean_state", include_str!("../../shaders/mean_state.wgsl"))
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", vectors)
        .constant("TASKS_PER_RUN", axis.per_run);
    let arguments = [Argument::In(state), Argument::Out(shared)];
    call(gpu, recording, &source, &arguments, [vectors.div_ceil(BLOCK), axis.runs, 1])
}
