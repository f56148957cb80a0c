//! What the device says of a meta-iteration, brought to the host.

use std::ops::Range;

use crate::error::{Error, Result};

/// What the device says of one meta-iteration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IterationMetrics {
    /// The meta-iteration, counted from 0.
    pub iteration: u64,
    /// [R, K]: loss of each minibatch before its step (and of the query, where a strategy has one), mean
    /// over the tasks.
    pub losses: Vec<f32>,
    /// [R, L]: mean learned rate of each layer that has parameters; empty without a strategy.
    pub rates: Vec<f32>,
    /// [R, L, 3]: norm of the gradients, product of two steps' gradients, and spread of the tasks, of each layer
    /// that has parameters; empty without telemetry.
    pub telemetry: Vec<f32>,
    /// The runs that are lost: a loss is not finite (after the first step that may be, where a guard keeps the
    /// tasks that it is of from the outer update), or a learned rate overflowed.
    pub diverged: Vec<usize>,
}

impl IterationMetrics {
    /// From rows [R, columns], in which the losses come first.
    pub(super) fn new(iteration: u64, rows: &[f32], columns: [usize; 3], guarded: bool) -> Self {
        let [losses, rates, all] = columns;
        let rows: Vec<&[f32]> = rows.chunks_exact(all).collect();
        let checked = if guarded { 1 } else { losses };
        let lost = |&run: &usize| {
            rows[run][..checked].iter().any(|loss| !loss.is_finite())
                || rows[run][losses..rates].iter().any(overflowed)
        };
        let part = |range: Range<usize>| {
            rows.iter().flat_map(|row| &row[range.clone()]).copied().collect()
        };
        Self {
            iteration,
            diverged: (0..rows.len()).filter(lost).collect(),
            losses: part(0..losses),
            rates: part(losses..rates),
            telemetry: part(rates..all),
        }
    }

    /// Says what is wrong with the first run that is lost.
    pub(super) fn check(&self, runs: usize) -> Result<()> {
        let Some(&run) = self.diverged.first() else { return Ok(()) };
        let iteration = self.iteration;
        if self.rates_of(run, runs).iter().any(overflowed) {
            let message = format!(
                "a learned rate of run {run} overflowed at iteration {iteration}: lower inner.rate or \
                 strategy.rate, and leave strategy.guard on; what was saved before is kept"
            );
            return Err(Error::config("strategy.kind", message));
        }
        let losses = self.losses_of(run, runs);
        let loss = losses.iter().copied().find(|loss| !loss.is_finite()).unwrap_or(f32::NAN);
        Err(Error::Diverged { run, iteration, loss })
    }

    /// The losses of one of `runs` runs, step by step; empty if there is no such run.
    pub fn losses_of(&self, run: usize, runs: usize) -> &[f32] {
        part_of(&self.losses, run, runs)
    }

    /// The telemetry of one of `runs` runs, three numbers a layer; empty if there is no such run.
    pub fn telemetry_of(&self, run: usize, runs: usize) -> &[f32] {
        part_of(&self.telemetry, run, runs)
    }

    /// The learned rates of one of `runs` runs, layer by layer; empty if there is no such run.
    pub fn rates_of(&self, run: usize, runs: usize) -> &[f32] {
        part_of(&self.rates, run, runs)
    }
}

/// The share of `run` in the numbers of `runs` runs.
fn part_of(all: &[f32], run: usize, runs: usize) -> &[f32] {
    let one = all.len().checked_div(runs).unwrap_or(0);
    let first = run.saturating_mul(one);
    all.get(first..first.saturating_add(one)).unwrap_or_default()
}

/// What `shaders/strategy_update.wgsl` writes for a layer in which a rate is not finite.
fn overflowed(rate: &f32) -> bool {
    *rate < 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_not_there_has_no_numbers() {
        let metrics = IterationMetrics::new(3, &[1.0, 2.0, 3.0, 4.0], [2, 2, 2], false);
        assert_eq!(metrics.losses_of(1, 2), [3.0, 4.0]);
        for (run, runs) in [(2, 2), (0, 0), (usize::MAX, 2)] {
            assert!(metrics.losses_of(run, runs).is_empty());
            assert!(metrics.rates_of(run, runs).is_empty());
            assert!(metrics.telemetry_of(run, runs).is_empty());
        }
    }
}
