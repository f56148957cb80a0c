//! How the cost of a task-step grows with one size at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::experiments::bench::timing::{Effort, Timing};
use crate::experiments::bench::workload::Workload;
use crate::gpu::Gpu;
use crate::meta::{Trainer, TrainerSetup};
use crate::model::{LayerSpec, Model, ModelSpec};

/// A size that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Tasks M of a meta-iteration.
    Tasks,
    /// Inner steps K.
    Steps,
    /// Examples of a minibatch.
    Batch,
    /// Units of the hidden layers, or filters of the convolutions.
    Width,
}

impl Size {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks M",
            Self::Steps => "inner steps K",
            Self::Batch => "minibatch",
            Self::Width => "width",
        }
    }
}

/// One value of one size, the others as the workload has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Name of the workload, as `--workload` takes it.
    pub workload: String,
    /// The size that is varied.
    pub size: Size,
    /// The value that this size has here.
    pub value: usize,
    /// Plan of the inner loops: `fused` or `layered`.
    pub plan: String,
    /// Inner steps of all tasks in a meta-iteration.
    pub task_steps: u64,
    /// Floating-point operations of one.
    pub flops_per_task_step: u64,
    /// Of a meta-iteration.
    pub time: Timing,
}

/// What is measured: the workload, its number of tasks, and the values of each size.
type Series = (Workload, usize, [(Size, &'static [usize]); 4]);

const SERIES: [Series; 2] = [
    (
        Workload::Sine,
        64,
        [
            (Size::Tasks, &[1, 2, 4, 16, 64, 256, 1024]),
            (Size::Steps, &[1, 4, 16, 64, 256]),
            (Size::Batch, &[1, 2, 5, 10, 20, 50]),
            (Size::Width, &[16, 32, 64, 128, 256]),
        ],
    ),
    (
        Workload::Omniglot,
        5,
        [
            (Size::Tasks, &[1, 2, 5, 16, 32]),
            (Size::Steps, &[1, 2, 5, 10]),
            (Size::Batch, &[5, 10, 20, 50]),
            (Size::Width, &[16, 32, 64, 128]),
        ],
    ),
];

/// Whether there are sizes of `workload` to vary.
pub fn scales(workload: Workload) -> bool {
    SERIES.iter().any(|(it, ..)| *it == workload)
}

/// Measures every point of the workloads among `workloads` that have series. `progress` is told what
/// comes next; what exceeds the device is left out.
///
/// # Errors
/// [`Error::DeviceLost`], [`Error::Shader`].
pub fn scaling(
    gpu: &Gpu,
    workloads: &[Workload],
    effort: Effort,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for (workload, tasks, sizes) in SERIES.iter().filter(|(it, ..)| workloads.contains(it)) {
        for (size, values) in sizes {
            for value in *values {
                progress(&format!("{}, {} = {value}", workload.name(), size.name()));
                match point(gpu, *workload, *tasks, *size, *value, effort) {
                    Ok(point) => points.push(point),
                    Err(Error::Limit { .. } | Error::Config { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(points)
}

fn point(
    gpu: &Gpu,
    workload: Workload,
    tasks: usize,
    size: Size,
    value: usize,
    effort: Effort,
) -> Result<Point> {
    let mut setup = workload.training(gpu, if size == Size::Tasks { value } else { tasks })?;
    match size {
        Size::Tasks => {}
        Size::Steps => setup.batches.steps = value,
        Size::Batch => setup.batches.batch = value,
        Size::Width => widen(&mut setup, value)?,
    }
    let task_steps = (setup.outer.meta_batch * setup.batches.steps) as u64;
    let flops_per_task_step = setup.model.flops_per_step(setup.batches.batch);
    let mut trainer = Trainer::new(gpu, setup)?;
    let plan = trainer.plan().to_string();
    let time = Timing::of(effort, |iterations| trainer.advance(iterations, |_| true))?;
    let workload = workload.name();
    Ok(Point {
        workload: workload.to_string(),
        size,
        value,
        plan,
        task_steps,
        flops_per_task_step,
        time,
    })
}

/// Gives all hidden layers `width` units or filters.
fn widen(setup: &mut TrainerSetup, width: usize) -> Result<()> {
    let mut spec: ModelSpec = setup.model.spec().clone();
    let last = spec.layers.len() - 1;
    for layer in &mut spec.layers[..last] {
        match layer {
            LayerSpec::Dense(dense) => dense.units = width,
            LayerSpec::Conv2d(conv) => conv.filters = width,
            _ => {}
        }
    }
    setup.model = Model::new(spec)?;
    Ok(())
}
