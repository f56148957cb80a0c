//! Benchmarks that anyone can run on any device: whole meta-iterations and kernels alone, beside the
//! device's own ceilings. All data is made on the device.
//!
//! [`run`] measures and returns a [`Report`], plain data with a published schema.

mod ceilings;
mod dispatches;
mod exchange;
mod kernels;
mod markdown;
mod page;
mod report;
mod scaling;
mod table;
mod timing;
mod training;
mod workload;

pub use exchange::exchange;
pub use kernels::{Alone, kernels_of};
pub use page::variants;
pub use report::{
    Bound, Ceilings, Device, DispatchTime, Evaluated, FirstResult, Measured, Outcome, Report, Row,
    VERSION, schema,
};
pub use scaling::{Point, Size, scales, scaling};
pub use table::compare;
pub use timing::{Effort, Timing};
pub use workload::Workload;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::Trainer;

/// What is to be measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Trainings and kernels, in the order in which they are measured.
    pub workloads: Vec<Workload>,
    /// Numbers of tasks; those of each workload if empty.
    pub tasks: Vec<usize>,
    /// Fewer sizes.
    pub quick: bool,
    /// How often and how long each time is taken.
    pub effort: Effort,
}

impl Settings {
    /// For figures that will be compared: `workloads` with the numbers of tasks that each has.
    pub fn new(workloads: Vec<Workload>) -> Self {
        Self { workloads, tasks: Vec::new(), quick: false, effort: Effort::FULL }
    }

    /// Every workload and size of it that will be measured.
    pub fn sizes(&self) -> Vec<(Workload, usize)> {
        let sizes = |workload: &Workload| {
            let defaults = workload.default_tasks(self.quick);
            let tasks = if self.tasks.is_empty() { defaults } else { &self.tasks };
            tasks.iter().map(|tasks| (*workload, *tasks)).collect::<Vec<_>>()
        };
        self.workloads.iter().flat_map(sizes).collect()
    }
}

/// Measures everything in `settings`. `progress` is told what comes next; `first_result` measures a
/// first result in processes of their own, where that is wanted.
///
/// What exceeds the device's limits becomes a skipped row.
///
/// # Errors
/// [`Error::DeviceLost`], [`Error::Shader`], and those of `first_result`.
pub fn run(
    gpu: &Gpu,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
    first_result: &mut dyn FnMut(Workload, usize) -> Result<Option<FirstResult>>,
) -> Result<Report> {
    progress("ceilings");
    let ceilings = Ceilings::measure(gpu, settings.effort)?;
    let mut rows = Vec::new();
    let sizes = settings.sizes();
    for (place, (workload, tasks)) in sizes.iter().copied().enumerate() {
        let last = sizes[place + 1..].iter().all(|(other, _)| *other != workload);
        let name = workload.name();
        progress(&format!("{name}, {tasks} tasks"));
        let measured = if workload.is_training() {
            training_row(gpu, workload, tasks, settings.effort, last, first_result)
        } else {
            kernels::measure(gpu, workload, tasks, settings.effort)
        };
        let row = |(shape, outcome)| Row { workload: name.to_string(), tasks, shape, outcome };
        match measured {
            Ok(measured) => rows.extend(
                measured
                    .into_iter()
                    .map(|(shape, one)| row((shape, Outcome::Measured(Box::new(one))))),
            ),
            Err(error @ (Error::Limit { .. } | Error::Config { .. })) => {
                rows.push(row((String::new(), Outcome::Skipped(error.to_string()))));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Report {
        version: VERSION,
        program: format!("reptile {}", env!("CARGO_PKG_VERSION")),
        device: Device::of(gpu),
        quick: settings.quick,
        ceilings,
        rows,
        options: Vec::new(),
        adapters: Vec::new(),
        variants: Vec::new(),
        scaling: Vec::new(),
    })
}

fn training_row(
    gpu: &Gpu,
    workload: Workload,
    tasks: usize,
    effort: Effort,
    evaluated: bool,
    first_result: &mut dyn FnMut(Workload, usize) -> Result<Option<FirstResult>>,
) -> Result<Vec<(String, Measured)>> {
    let setup = workload.training(gpu, tasks)?;
    let shape = format!("{} steps of batch {}", setup.batches.steps, setup.batches.batch);
    let mut measured = training::measure(gpu, setup, effort)?;
    if evaluated {
        measured.evaluation = Some(training::evaluation(gpu, workload.evaluation(gpu)?, effort)?);
    }
    measured.first_result = first_result(workload, tasks)?;
    Ok(vec![(shape, measured)])
}

/// Does one meta-iteration of `workload` and returns: what a first result costs.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::advance`].
pub fn one_iteration(gpu: &Gpu, workload: Workload, tasks: usize) -> Result<()> {
    Trainer::new(gpu, workload.training(gpu, tasks)?)?.advance(1, |_| true)
}
