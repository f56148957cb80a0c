//! How many meta-iterations fit into a part of a frame.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use web_time::Instant;

use super::Trainer;
use crate::error::Result;
use crate::gpu::{Gpu, Pending};

/// Frames of one meta-iteration or none, with which times begin.
const FIRST: u32 = 3;

/// What earlier frames took.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Seconds of a meta-iteration, once one was timed.
    one: Option<f64>,
    /// How many frames were timed.
    times: u32,
    /// Seconds that were given and not used.
    saved: f64,
    /// Meta-iterations of the frame that is timed, and its time.
    timed: Option<(usize, Timing)>,
}

/// A time on its way.
#[derive(Debug)]
enum Timing {
    /// What the device says.
    Device(Pending<Vec<u64>>),
    /// From recording to the end of the submission, where the device has no timestamps: with all else in it.
    Host(Instant, Arc<OnceLock<Instant>>),
}

impl Pace {
    /// Takes the time of an earlier frame, if it has arrived.
    fn update(&mut self, gpu: &Gpu) {
        let Some((count, timing)) = &mut self.timed else { return };
        let seconds = match timing {
            Timing::Device(pending) => match pending.try_take() {
                None => return,
                Some(Ok(times)) => {
                    let period = 1e-9 * f64::from(gpu.queue().get_timestamp_period());
                    times[1].saturating_sub(times[0]) as f64 * period
                }
                // The next frame is timed instead.
                Some(Err(_)) => {
                    self.timed = None;
                    return;
                }
            },
            Timing::Host(begin, ended) => match ended.get() {
                Some(end) => end.duration_since(*begin).as_secs_f64(),
                // Nobody is left to tell it: the encoder was not submitted.
                None if Arc::strong_count(ended) == 1 => {
                    self.timed = None;
                    return;
                }
                None => return,
            },
        };
        let one = seconds.max(1e-9) / *count as f64;
        // What is slower counts at once, what is faster little by little; but a driver may compile kernels at their first use.
        let settled = self.one.filter(|_| self.times >= FIRST);
        self.one = Some(settled.map_or(one, |before| one.max(0.5 * (before + one))));
        self.times += 1;
        self.timed = None;
    }

    /// How many meta-iterations `budget` allows, of at most `most`.
    fn count(&mut self, budget: Duration, most: usize) -> usize {
        let Some(one) = self.one.filter(|_| self.times >= FIRST) else {
            // One at a time, until some are timed.
            return usize::from(self.timed.is_none()).min(most);
        };
        let budget = budget.as_secs_f64();
        // What is saved for an iteration longer than a frame's budget; no more, or a pause would be made up for.
        let given = (self.saved + budget).min(budget + one);
        let count = ((given / one) as usize).min(most);
        self.saved = if count == most { 0.0 } else { given - count as f64 * one };
        count
    }
}

impl Trainer {
    /// Records as many meta-iterations into the caller's encoder as take about `budget` on the device, by what earlier
    /// frames took, and returns how many; neither submits nor waits. Where one takes longer than the budget, some frames get
    /// none. The first frames get one or none, until some are timed.
    ///
    /// Times are the device's own where it has timestamps ([`Gpu::device_descriptor`] asks for them), else from the recording
    /// to the end of the submission, which counts everything else in it as well.
    ///
    /// # Errors
    /// As [`Trainer::record`].
    pub fn record_within(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        budget: Duration,
    ) -> Result<usize> {
        self.record_within_at_most(encoder, budget, Self::most_recorded())
    }

    /// As [`Trainer::record_within`], of at most `most` meta-iterations.
    ///
    /// # Errors
    /// As [`Trainer::record`].
    pub fn record_within_at_most(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        budget: Duration,
        most: usize,
    ) -> Result<usize> {
        let pace = self.pace.get_mut().unwrap_or_else(PoisonError::into_inner);
        pace.update(&self.gpu);
        let count = pace.count(budget, most.min(Self::most_recorded()));
        if count == 0 {
            return Ok(0);
        }
        if pace.timed.is_some() {
            self.record(encoder, count)?;
            return Ok(count);
        }
        let timing = if self.gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let gpu = self.gpu.clone();
            let stamps = gpu.stamps("a frame's meta-iterations", 2)?;
            stamps.write(encoder, 0);
            self.record(encoder, count)?;
            stamps.write(encoder, 1);
            Timing::Device(stamps.ask(&gpu, encoder)?)
        } else {
            self.record(encoder, count)?;
            let ended = Arc::new(OnceLock::new());
            let told = ended.clone();
            encoder.on_submitted_work_done(move || {
                // Nobody else tells it.
                let _ = told.set(Instant::now());
            });
            Timing::Host(Instant::now(), ended)
        };
        let pace = self.pace.get_mut().unwrap_or_else(PoisonError::into_inner);
        pace.timed = Some((count, timing));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn counts(one: f64, budget: Duration, frames: usize) -> Vec<usize> {
        let mut pace = Pace { one: Some(one), times: FIRST, ..Pace::default() };
        (0..frames).map(|_| pace.count(budget, 1024)).collect()
    }

    #[test]
    fn a_budget_is_filled_and_not_exceeded() {
        assert_eq!(counts(1e-4, 4 * MILLISECOND, 3), [40, 40, 40]);
        assert_eq!(counts(1e-9, 4 * MILLISECOND, 2), [1024, 1024], "no more than the ring holds");
    }

    #[test]
    fn an_iteration_longer_than_the_budget_waits_for_its_turn() {
        assert_eq!(counts(2.5e-3, MILLISECOND, 8), [0, 0, 1, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn the_first_frame_gets_one_and_those_behind_it_none_until_it_is_timed() {
        let mut pace = Pace::default();
        assert_eq!(pace.count(MILLISECOND, 1024), 1);
        pace.timed = Some((1, Timing::Host(Instant::now(), Arc::default())));
        assert_eq!(pace.count(MILLISECOND, 1024), 0);
    }
}
