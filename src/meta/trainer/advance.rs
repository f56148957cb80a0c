//! Running meta-iterations: many to a submission, two submissions under way, losses brought back.

use std::collections::VecDeque;
use std::time::Duration;

use super::{IterationMetrics, RING, Trainer};
use web_time::Instant;

use crate::error::Result;
use crate::gpu::{Passes, Pending, Wait, now};
use crate::meta::setup::TrainerSetup;

/// How much work one submission should hold: short enough for drivers' watchdogs and for a host
/// application's frames.
const SUBMIT_TARGET: Duration = Duration::from_millis(50);
/// Floating-point operations that one submission should hold at most, as long as no time is known: a
/// meta-iteration with more is cut into several, since a slow device would be at one for minutes.
const SUBMIT_WORK: u64 = 1 << 33;
/// Compute passes that one submission has at most, if it has more than one meta-iteration: wgpu keeps a command buffer for each
/// as long as the device is open.
const SUBMIT_PASSES: usize = 128;
/// Submissions that may be under way at once.
const IN_FLIGHT: usize = 2;

impl Trainer {
    /// Runs `iterations` meta-iterations, many to a submission, and hands the metrics of each to
    /// `visit` in order. Returns early (with everything submitted done) once `visit` says false.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) at the first loss that is not finite and
    /// [`Error::Config`](crate::Error::Config) at the first learned rate that overflows (unless
    /// [`Trainer::let_runs_diverge`]) and for more meta-iterations in all than the device counts (2³² − 1), [`Error::DeviceLost`](crate::Error::DeviceLost) if the device does not
    /// answer.
    pub fn advance(
        &mut self,
        iterations: u64,
        visit: impl FnMut(&IterationMetrics) -> bool,
    ) -> Result<()> {
        now(self.advance_by(Wait::Blocking, iterations, visit))
    }

    /// The async twin of [`Trainer::advance`]: the device is polled and never waited for.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub async fn advance_async(
        &mut self,
        iterations: u64,
        visit: impl FnMut(&IterationMetrics) -> bool,
    ) -> Result<()> {
        self.advance_by(Wait::Awaiting, iterations, visit).await
    }

    /// Either of them.
    pub(crate) async fn advance_by(
        &mut self,
        wait: Wait,
        iterations: u64,
        mut visit: impl FnMut(&IterationMetrics) -> bool,
    ) -> Result<()> {
        self.check_alone()?;
        let end = self.iteration.saturating_add(iterations);
        let mut flights: VecDeque<Flight> = VecDeque::new();
        let mut going = true;
        let mut last = Instant::now();
        while !flights.is_empty() || (going && self.iteration < end) {
            while going && self.iteration < end && flights.len() < IN_FLIGHT {
                flights.push_back(self.submit(end)?);
            }
            let Some(flight) = flights.pop_front() else { break };
            let (first, count) = (flight.first, flight.count);
            let values: Vec<f32> = match wait {
                Wait::Blocking => {
                    for part in flight.parts {
                        self.gpu.poll(Some(part))?;
                    }
                    flight.metrics.wait(&self.gpu, Some(flight.submission))?
                }
                Wait::Awaiting => flight.metrics.await?,
            };
            self.adjust(last.elapsed(), count);
            last = Instant::now();
            going &= self.visit(first, count, &values, &mut visit)?;
        }
        Ok(())
    }

    /// Hands the metrics of `count` iterations from `first` on to `visit`, and says whether it wants more.
    pub(super) fn visit(
        &self,
        first: u64,
        count: usize,
        values: &[f32],
        visit: &mut impl FnMut(&IterationMetrics) -> bool,
    ) -> Result<bool> {
        let mut going = true;
        for (rows, iteration) in values.chunks_exact(values.len() / count).zip(first..) {
            let guarded = self.setup.strategy.guard() > 0.0;
            let metrics = IterationMetrics::new(iteration, rows, self.setup.columns(), guarded);
            if self.strict {
                metrics.check(self.setup.runs)?;
            }
            going &= visit(&metrics);
        }
        Ok(going)
    }

    /// Records and submits the next batch of iterations, or parts of one; it does not wrap around the
    /// ring.
    fn submit(&mut self, end: u64) -> Result<Flight> {
        let first = self.iteration;
        self.check_count(1)?;
        let slot = (first % RING as u64) as usize;
        let mut parts = Vec::new();
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let all = self.recording.len();
        let at_once = all.div_ceil(self.parts);
        let count = if at_once < all {
            let offset = self.write_settings();
            self.count_iteration();
            for begin in (0..all).step_by(at_once) {
                let part = begin..all.min(begin + at_once);
                let mut passes = Passes::new(&mut encoder, "reptile");
                self.recording.replay_part(&mut passes, offset, part);
                drop(passes);
                if begin + at_once < all {
                    let next = self.gpu.device().create_command_encoder(&Default::default());
                    let done = std::mem::replace(&mut encoder, next).finish();
                    parts.push(self.gpu.submit(done));
                }
            }
            1
        } else {
            let left = usize::try_from(end - first).unwrap_or(usize::MAX);
            let countable = (u64::from(u32::MAX) - first) as usize;
            let count = self.per_submit.min(left).min(countable).min(RING - slot);
            self.record(&mut encoder, count)?;
            count
        };
        let row = self.setup.runs * self.setup.columns()[2];
        let (offset, values) = (slot * row, count * row);
        let metrics = Pending::record(&self.gpu, &mut encoder, &self.metrics, offset, values)?;
        let submission = self.gpu.submit(encoder.finish());
        self.submissions += parts.len() as u64 + 1;
        Ok(Flight { first, count, parts, metrics, submission })
    }

    /// Moves the number of iterations a submission, or of submissions an iteration, towards the target time. On a
    /// software device the work decides into how many an iteration is cut: its time says how busy the cores are.
    pub(super) fn adjust(&mut self, elapsed: Duration, count: usize) {
        let one = elapsed.as_secs_f64().max(1e-6) / count as f64;
        let wanted = (SUBMIT_TARGET.as_secs_f64() / one) as usize;
        let most = (RING / IN_FLIGHT).min((SUBMIT_PASSES / self.recording.passes()).max(1));
        self.per_submit = wanted.clamp(1, (2 * self.per_submit).min(most));
        if !self.gpu.profile().software {
            // Little by little: what was measured may have been the host's pause.
            self.parts = parts_of(one).min(2 * self.parts);
        }
    }
}

/// Submissions of a meta-iteration of `setup` before its time is known.
pub(super) fn parts_unmeasured(setup: &TrainerSetup) -> usize {
    let tasks = (setup.runs * setup.outer.meta_batch) as u64;
    let task_steps = tasks.saturating_mul(setup.batches.steps as u64);
    let step = setup.model.flops_per_step(setup.batches.batch);
    step.saturating_mul(task_steps).div_ceil(SUBMIT_WORK).max(1) as usize
}

/// Submissions of a meta-iteration that takes `seconds`.
fn parts_of(seconds: f64) -> usize {
    (seconds / SUBMIT_TARGET.as_secs_f64()).ceil().max(1.0) as usize
}

/// A submission under way.
struct Flight {
    first: u64,
    count: usize,
    /// Submissions before the last one, where an iteration takes several.
    parts: Vec<wgpu::SubmissionIndex>,
    metrics: Pending<Vec<f32>>,
    submission: wgpu::SubmissionIndex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_iteration_is_cut_by_its_time() {
        assert_eq!([0.0, 0.001, 0.05, 0.051, 1.0].map(parts_of), [1, 1, 1, 2, 20]);
    }
}
