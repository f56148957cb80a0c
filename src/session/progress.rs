//! What a training tells while it runs, and why it ends.

use crate::store::metrics::Record;

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All iterations are done.
    Finished,
    /// The time budget is spent.
    Time,
    /// The validation metric reached the target.
    Target,
    /// The validation metric stopped improving.
    Patience,
    /// The observer asked to stop.
    Interrupted,
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Meta-iterations wanted.
    pub iterations: u64,
    /// Loss of the first and of the last minibatch, mean over runs and tasks.
    pub loss: [f64; 2],
    /// Tasks a second since the session began.
    pub tasks_per_second: f64,
}

/// What an observer hears.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A meta-iteration is done.
    Iteration(Progress),
    /// A line was added to the metrics.
    Record(&'a Record),
    /// An exchange between ranks begins, at which all of them can stop.
    Exchange,
}
