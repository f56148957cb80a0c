//! `shaders/outer_sum.wgsl`: what a wave of tasks adds to Δ and to the mean inner losses.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::ordered_sum::OrderedSum;
use crate::kernels::{Argument, Axis, GUARD, RUN_STEP, RunSteps, TASK_SUMS, call, vectors};

/// Sizes and buffers of a wave's sums.
#[derive(Clone, Copy, Debug)]
pub struct OuterSum<'a> {
    /// Runs, and tasks of a run in the wave.
    pub axis: Axis,
    /// Vectors of a parameter set.
    pub vectors: usize,
    /// Inner steps: columns of `losses`.
    pub steps: usize,
    /// Columns of `metrics`, the losses first.
    pub columns: usize,
    /// As in [`StrategySums`](crate::kernels::StrategySums).
    pub guard: f32,
    /// Δ from `anchors` instead of from θ.
    pub fomaml: bool,
    /// The wave that begins the sums.
    pub begins: bool,
    /// [T, vectors]: θ after the inner loop.
    pub adapted: &'a wgpu::Buffer,
    /// [T, vectors]: θ before the last inner step, for FOMAML.
    pub anchors: &'a wgpu::Buffer,
    /// `[R, vectors]`
    pub theta: &'a wgpu::Buffer,
    /// [R, vectors]: Σ over the tasks so far.
    pub sums: &'a wgpu::Buffer,
    /// `[T, steps]`
    pub losses: &'a wgpu::Buffer,
    /// `[slots, R, columns]`
    pub metrics: &'a wgpu::Buffer,
}

/// Records the sums.
///
/// # Errors
/// See [`call`].
pub fn outer_sum(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &OuterSum<'_>,
) -> Result<()> {
    let sizes = [c.axis.runs, c.vectors, c.axis.per_run];
    let sum = OrderedSum::new(gpu, "outer_sum", sizes, "outer.meta_batch")?;
    let source = sum
        .of(Source::new("outer_sum", shader!("outer_sum.wgsl")))
        .library(RUN_STEP)
        .library(GUARD)
        .library(TASK_SUMS)
        .constant("VECTORS", c.vectors)
        .constant("LOSSES", sum.filled(c.vectors))
        .constant("RUNS", c.axis.runs)
        .constant("SETS", c.axis.per_run)
        .constant("TASKS", c.axis.per_run)
        .constant("STEPS", c.steps)
        .constant("COLUMNS", c.columns)
        .constant("GUARD", c.guard)
        .constant("FIRST", c.begins)
        .constant("FOMAML", c.fomaml);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("adapted", c.adapted),
        Argument::Buffer("anchors", c.anchors),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("sums", c.sums),
        Argument::Buffer("losses", c.losses),
        Argument::Buffer("metrics", c.metrics),
    ];
    let grid = [sum.groups(c.vectors) + sum.groups(vectors(c.steps)), c.axis.runs, 1];
    let sets = c.axis.tasks() * (1 + usize::from(c.fomaml));
    // θ is read, Δ is added to.
    let shared = c.axis.runs * (2 + usize::from(!c.begins));
    let losses = (c.axis.tasks() + c.axis.runs) * c.steps;
    let work = Work::words(4 * c.vectors * (sets + shared) + losses);
    call(gpu, recording, &source, &arguments, grid, work)
}
