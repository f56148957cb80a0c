//! `shaders/memory_insert.wgsl` and `shaders/memory_sums.wgsl`: the ring of adapted parameter sets.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::ordered_sum::OrderedSum;
use crate::kernels::{Argument, Axis, BLOCK, GUARD, RUN_STEP, RunSteps, call};

/// Sizes and buffers of an insertion.
#[derive(Clone, Copy, Debug)]
pub struct MemoryInsert<'a> {
    /// Runs, and tasks of a run in the wave.
    pub axis: Axis,
    /// Tasks of a run in all waves.
    pub tasks: usize,
    /// Entries n of a run's ring.
    pub capacity: usize,
    /// Vectors of a parameter set.
    pub vectors: usize,
    /// Sets of a task in `sets`, of which the first one is taken.
    pub planes: usize,
    /// Share of the new set where there was one.
    pub blend: f32,
    /// Whether these are the tasks' parameters, and not what belongs to them.
    pub parameters: bool,
    /// Columns of `losses`.
    pub steps: usize,
    /// As in [`StrategySums`](crate::kernels::StrategySums).
    pub guard: f32,
    /// [T, planes, vectors]
    pub sets: &'a wgpu::Buffer,
    /// [R, vectors]: what the tasks started from.
    pub theta: &'a wgpu::Buffer,
    /// `[T, steps]`
    pub losses: &'a wgpu::Buffer,
    /// [R, capacity, vectors]
    pub entries: &'a wgpu::Buffer,
    /// [R, capacity]: the losses of the last step.
    pub entry_losses: &'a wgpu::Buffer,
}

/// Records an insertion.
///
/// # Errors
/// See [`call`].
pub fn memory_insert(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &MemoryInsert<'_>,
) -> Result<()> {
    let source = Source::new("memory_insert", shader!("memory_insert.wgsl"))
        .library(RUN_STEP)
        .library(GUARD)
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", c.vectors)
        .constant("TASKS", c.axis.per_run)
        .constant("TASKS_PER_RUN", c.tasks)
        .constant("CAPACITY", c.capacity)
        .constant("PLANES", c.planes)
        .constant("BLEND", c.blend)
        .constant("PARAMETERS", c.parameters)
        .constant("STEPS", c.steps)
        .constant("GUARD", c.guard);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("sets", c.sets),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("losses", c.losses),
        Argument::Buffer("entries", c.entries),
        Argument::Buffer("entry_losses", c.entry_losses),
    ];
    let theta = if c.parameters { c.axis.runs } else { 0 };
    let work = Work::words(4 * c.vectors * (2 * c.planes * c.axis.tasks() + theta));
    call(gpu, recording, &source, &arguments, [c.vectors.div_ceil(BLOCK), c.axis.tasks(), 1], work)
}

/// Records `sums` [R, 2, vectors] of a strategy over `entries` [R, capacity, vectors] of statistics.
///
/// # Errors
/// See [`call`].
pub fn memory_sums(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    [count, capacity, vectors]: [usize; 3],
    entries: &wgpu::Buffer,
    sums: &wgpu::Buffer,
) -> Result<()> {
    let sum = OrderedSum::new(gpu, "memory_sums", [count, vectors, capacity], "memory.capacity")?;
    let source = sum
        .of(Source::new("memory_sums", shader!("memory_sums.wgsl")))
        .library(RUN_STEP)
        .constant("VECTORS", vectors)
        .constant("CAPACITY", capacity);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("entries", entries),
        Argument::Buffer("sums", sums),
    ];
    let work = Work::words(4 * vectors * count * (capacity + 1));
    call(gpu, recording, &source, &arguments, [sum.groups(vectors), count, 1], work)
}
