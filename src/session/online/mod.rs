//! Online learning over a stream of tasks: the follow-the-meta-leader protocol (Finn et al. 2019, arXiv
//! 1902.08438). A task arrives, is adapted to with its first samples and scored on the rest; then it joins the tasks
//! that meta-steps are taken on. Beside the learner go two others that adapt in the same way: one is trained on all
//! tasks jointly, with as many gradients, and one starts from the initial parameters every time.

mod learning;
mod stage;
mod state;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Job};
use crate::data::arrays::TaskArrays;
use crate::error::Result;
use crate::gpu::Gpu;

pub use learning::Learning;
pub use state::State;

/// The learners, in the order of all lists.
pub const LEARNERS: [&str; 3] = ["reptile", "joint", "scratch"];

/// The tasks of a stream, in the order in which they arrive.
#[derive(Clone, Copy, Debug)]
pub enum Arrivals<'a> {
    /// Test tasks of a configuration.
    Drawn(&'a Job),
    /// One task each, all of the same size.
    Files(&'a [TaskArrays]),
}

/// What is done with each task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Protocol {
    /// Tasks that arrive.
    pub tasks: usize,
    /// Samples (a class, where there are classes) that are adapted with, ascending; the last number counts for the
    /// regret, all of them for the samples to the threshold.
    pub samples: Vec<usize>,
    /// Meta-steps R after each task.
    pub meta_steps: usize,
    /// The error that counts as learned.
    pub threshold: f64,
}

impl Protocol {
    /// `tasks` tasks that are adapted to with `samples` samples each, `meta_steps` meta-steps R after each, and `threshold`
    /// as the error that counts as learned.
    pub fn new(tasks: usize, samples: Vec<usize>, meta_steps: usize, threshold: f64) -> Self {
        Self { tasks, samples, meta_steps, threshold }
    }
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Arrival {
    /// Its place in the stream, counted from 0.
    pub task: usize,
    /// The error (loss, or share of wrong answers) of each learner with all samples.
    pub error: [f64; 3],
    /// The fewest samples with which each one's error is at most the threshold.
    pub samples_to_threshold: [Option<usize>; 3],
}

/// A stream that was learned from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The numbers that the stream was gone through with.
    pub protocol: Protocol,
    /// Whether tasks of the protocol are missing, since the stream was stopped.
    pub partial: bool,
    /// [`LEARNERS`], the order of all lists.
    pub learners: [&'static str; 3],
    /// One a task, in their order; fewer than the protocol has where the stream was stopped.
    pub arrivals: Vec<Arrival>,
    /// Σ over the tasks of the error of the first learner, less that of each: negative where it is ahead.
    pub regret: [f64; 3],
    /// Mean samples to the threshold over the tasks that reach it; none if no task does.
    pub samples: [Option<f64>; 3],
    /// Share of the tasks that reach the threshold.
    pub reached: [f64; 3],
}

impl Report {
    fn new(protocol: Protocol, arrivals: Vec<Arrival>) -> Self {
        let all = arrivals.len().max(1) as f64;
        let each = [0, 1, 2];
        let needed = |learner: usize| -> Vec<f64> {
            let needed = arrivals.iter().filter_map(|one| one.samples_to_threshold[learner]);
            needed.map(|count| count as f64).collect()
        };
        Self {
            regret: each.map(|learner| {
                arrivals.iter().map(|one| one.error[0] - one.error[learner]).sum::<f64>()
            }),
            samples: each.map(|learner| {
                let needed = needed(learner);
                (!needed.is_empty()).then(|| needed.iter().sum::<f64>() / needed.len() as f64)
            }),
            reached: each.map(|learner| needed(learner).len() as f64 / all),
            partial: arrivals.len() < protocol.tasks,
            learners: LEARNERS,
            protocol,
            arrivals,
        }
    }

    /// The mean error of each learner over the arrivals from `first` on.
    pub fn errors_from(&self, first: usize) -> [f64; 3] {
        let late = &self.arrivals[first.min(self.arrivals.len())..];
        [0, 1, 2].map(|learner| {
            late.iter().map(|one| one.error[learner]).sum::<f64>() / late.len().max(1) as f64
        })
    }
}

/// Goes through the stream; `observe` is told each arrival and may stop it.
///
/// # Errors
/// As [`Learning::start`] and [`Learning::next_arrival`].
pub fn learn(
    gpu: &Gpu,
    config: &Config,
    arrivals: Arrivals<'_>,
    protocol: &Protocol,
    mut observe: impl FnMut(&Arrival) -> bool,
) -> Result<Report> {
    let mut learning = Learning::start(gpu, config, arrivals, protocol.clone())?;
    while let Some(arrival) = learning.next_arrival(|| true)? {
        if !observe(arrival) {
            break;
        }
    }
    Ok(learning.report())
}
