//! `shaders/mean_state.wgsl`: the mean of the tasks' optimiser state.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::ordered_sum::OrderedSum;
use crate::kernels::{Argument, Axis, call};

/// Sizes and buffers of a mean over tasks, which may come in several waves.
#[derive(Clone, Copy, Debug)]
pub struct MeanState<'a> {
    /// Runs, and tasks of a run in the wave.
    pub axis: Axis,
    /// Tasks of a run in all waves.
    pub tasks: usize,
    /// Whether the wave begins the sums.
    pub begins: bool,
    /// Whether the wave makes the mean of the sums.
    pub ends: bool,
    /// Vectors of a parameter set.
    pub vectors: usize,
    /// [T, vectors]: the wave's state.
    pub state: &'a wgpu::Buffer,
    /// [R, vectors]: between waves.
    pub sums: &'a wgpu::Buffer,
    /// [R, vectors]: the mean.
    pub shared: &'a wgpu::Buffer,
}

/// Records the mean, or a part of it.
///
/// # Errors
/// See [`call`].
pub fn mean_state(gpu: &Gpu, recording: &mut Recording, c: &MeanState<'_>) -> Result<()> {
    let sizes = [c.axis.runs, c.vectors, c.axis.per_run];
    let sum = OrderedSum::new(gpu, "mean_state", sizes, "outer.meta_batch")?;
    let source = sum
        .of(Source::new("mean_state", shader!("mean_state.wgsl")))
        .constant("VECTORS", c.vectors)
        .constant("TASKS", c.axis.per_run)
        .constant("TASKS_PER_RUN", c.tasks)
        .constant("FIRST", c.begins)
        .constant("LAST", c.ends);
    let arguments = [
        Argument::Buffer("state", c.state),
        Argument::Buffer("sums", c.sums),
        Argument::Buffer("shared_state", c.shared),
    ];
    let sums = c.axis.runs * (usize::from(!c.begins) + 1);
    let work = Work::words(4 * c.vectors * (c.axis.tasks() + sums));
    call(gpu, recording, &source, &arguments, [sum.groups(c.vectors), c.axis.runs, 1], work)
}
