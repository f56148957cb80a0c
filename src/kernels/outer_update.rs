//! `shaders/outer_update.wgsl`: Δ, the outer step on θ, and the mean inner losses.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::ordered_sum::OrderedSum;
use crate::kernels::{Argument, Axis, GUARD, RUN_STEP, RunSteps, TASK_SUMS, call, vectors};
use crate::optimizers::{Kept, Outer, decay_constants};

/// The outer optimiser as the kernel knows it; its rate comes with each iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OuterRule {
    /// One of the registry, [`OuterOptimizer`](crate::optimizers::OuterOptimizer).
    Optimizer(Outer),
    /// The direction of a learned strategy: θ ← θ + ε μ with the exponential mean μ ← γ μ + (1 − γ) Δ.
    Mean {
        /// γ.
        decay: f32,
    },
}

impl OuterRule {
    /// The paper's: θ ← θ + ε Δ.
    pub const INTERPOLATION: Self = Self::Optimizer(Outer::INTERPOLATION);

    /// What it keeps of Δ; a mean direction as a first moment.
    pub fn kept(&self) -> Kept {
        match self {
            Self::Optimizer(outer) => outer.kept(),
            Self::Mean { .. } => Kept { first: true, second: false },
        }
    }

    fn library(&self, source: Source) -> Source {
        match *self {
            Self::Optimizer(outer) => outer.library(source),
            Self::Mean { decay } => {
                decay_constants(source, ["MOMENTUM", "MOMENTUM_REST", "LOG_MOMENTUM"], decay)
                    .library(shader!("lib/outer_mean.wgsl"))
            }
        }
    }
}

/// Sizes and buffers of the outer update.
#[derive(Clone, Copy, Debug)]
pub struct OuterUpdate<'a> {
    /// The outer optimiser.
    pub rule: OuterRule,
    /// Runs, and tasks of a run.
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
    /// Whether `adapted` holds the sums `[R, vectors]` of [`outer_sum`](crate::kernels::outer_sum()), and
    /// `metrics` those of the losses.
    pub summed: bool,
    /// Entries of a run's memory, if `adapted` is that, `[R, capacity, vectors]`; else 0.
    pub capacity: usize,
    /// [T, vectors]: θ after the inner loop.
    pub adapted: &'a wgpu::Buffer,
    /// [T, vectors]: θ before the last inner step, for FOMAML.
    pub anchors: &'a wgpu::Buffer,
    /// `[R, vectors]`
    pub theta: &'a wgpu::Buffer,
    /// [R, vectors]: the rule's first moment (the u of momentum).
    pub first: &'a wgpu::Buffer,
    /// [R, vectors]: its second moment.
    pub second: &'a wgpu::Buffer,
    /// `[T, steps]`
    pub losses: &'a wgpu::Buffer,
    /// `[slots, R, columns]`
    pub metrics: &'a wgpu::Buffer,
}

/// Records the outer update.
///
/// # Errors
/// See [`call`].
pub fn outer_update(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &OuterUpdate<'_>,
) -> Result<()> {
    let tasks = if c.summed { 0 } else { c.axis.per_run };
    let (sets, key) = match c.capacity {
        0 => (tasks, "outer.meta_batch"),
        capacity => (capacity.max(tasks), "memory.capacity"),
    };
    let sum = OrderedSum::new(gpu, "outer_update", [c.axis.runs, c.vectors, sets], key)?;
    let source = sum
        .of(Source::new("outer_update", shader!("outer_update.wgsl")))
        .library(RUN_STEP)
        .library(GUARD)
        .library(TASK_SUMS)
        .constant("VECTORS", c.vectors)
        .constant("LOSSES", sum.filled(c.vectors))
        .constant("RUNS", c.axis.runs)
        .constant("SETS", if c.capacity > 0 { c.capacity } else { tasks })
        .constant("TASKS", tasks)
        .constant("SUMMED", c.summed)
        .constant("CAPACITY", c.capacity)
        .constant("STEPS", c.steps)
        .constant("COLUMNS", c.columns)
        // What a memory holds has been judged.
        .constant("GUARD", if c.capacity > 0 { 0.0 } else { c.guard })
        .constant("FOMAML", c.fomaml);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("adapted", c.adapted),
        Argument::Buffer("anchors", c.anchors),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("first", c.first),
        Argument::Buffer("second", c.second),
        Argument::Buffer("losses", c.losses),
        Argument::Buffer("metrics", c.metrics),
    ];
    let grid = [sum.groups(c.vectors) + sum.groups(vectors(c.steps)), c.axis.runs, 1];
    // A full memory, or Δ, takes the place of the tasks' sets.
    let sets = match (c.capacity, c.summed) {
        (0, true) => c.axis.runs,
        (0, false) => c.axis.tasks() * (1 + usize::from(c.fomaml)),
        (capacity, _) => c.axis.runs * capacity,
    };
    let losses = c.axis.runs * tasks * c.steps;
    let kept = c.rule.kept();
    let states = usize::from(kept.first) + usize::from(kept.second);
    let shared = 2 * c.axis.runs * (1 + states);
    let work = Work::words(4 * c.vectors * (sets + shared) + losses + c.axis.runs * c.steps);
    call(gpu, recording, &c.rule.library(source), &arguments, grid, work)
}
