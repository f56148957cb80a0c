//! Repeated measurement of one thing.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How long a measurement may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effort {
    /// Repeats that the median is taken of.
    pub repeats: usize,
    /// Time that one repeat should take at least.
    pub slice: Duration,
}

impl Effort {
    /// For figures that will be compared.
    pub const FULL: Self = Self { repeats: 7, slice: Duration::from_millis(400) };
    /// For a first look.
    pub const QUICK: Self = Self { repeats: 3, slice: Duration::from_millis(100) };
    /// As little as is possible: each thing once, after its warm-up.
    pub const ONCE: Self = Self { repeats: 1, slice: Duration::ZERO };
}

/// Time of one iteration, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Timing {
    /// Median over the repeats.
    pub median: f64,
    /// The fastest repeat.
    pub minimum: f64,
    /// Distance of the quartiles as a share of the median.
    pub spread: f64,
    /// Processor time of the whole process, median; on a CPU that plays GPU it moves less than wall
    /// time when the machine is busy.
    pub cpu: f64,
    /// Repeats behind the median.
    pub repeats: usize,
    /// Iterations of a repeat.
    pub iterations: u64,
}

impl Timing {
    /// Runs `work`, which does so many iterations and waits for them: first until their time is known,
    /// then `effort.repeats` times as many as fill a slice.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn of(effort: Effort, mut work: impl FnMut(u64) -> Result<()>) -> Result<Self> {
        let mut iterations = 1;
        loop {
            let start = Instant::now();
            work(iterations)?;
            let seconds = start.elapsed().as_secs_f64().max(1e-9);
            let wanted = iterations as f64 * effort.slice.as_secs_f64() / seconds;
            if wanted < 1.5 * iterations as f64 {
                break;
            }
            // The first iterations are slower than the others.
            iterations = (wanted.ceil() as u64).min(8 * iterations);
        }
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..effort.repeats.max(1) {
            let (start, processor) = (Instant::now(), ProcessTime::now());
            work(iterations)?;
            wall.push(start.elapsed().as_secs_f64() / iterations as f64);
            cpu.push(processor.elapsed().as_secs_f64() / iterations as f64);
        }
        let repeats = wall.len();
        wall.sort_by(f64::total_cmp);
        cpu.sort_by(f64::total_cmp);
        let median = quantile(&wall, 0.5);
        Ok(Self {
            median,
            minimum: wall[0],
            spread: (quantile(&wall, 0.75) - quantile(&wall, 0.25)) / median,
            cpu: quantile(&cpu, 0.5),
            repeats,
            iterations,
        })
    }
}

/// The median.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The quantile of sorted values, between neighbours in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, rest) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + rest * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(&values, share)), [1.0, 3.0, 8.0]);
        assert_eq!(quantile(&[5.0], 0.75), 5.0);
    }

    #[test]
    fn a_repeat_fills_its_slice() {
        let effort = Effort { repeats: 3, slice: Duration::from_millis(20) };
        let mut done = 0;
        let timing = Timing::of(effort, |iterations| {
            done += iterations;
            std::thread::sleep(Duration::from_millis(iterations));
            Ok(())
        })
        .unwrap();
        // A sleep may take longer than it should, on a busy machine much longer.
        assert!((2..=20).contains(&timing.iterations), "{timing:?}");
        assert!(done >= 3 * timing.iterations && timing.repeats == 3);
        assert!(timing.minimum >= 1e-3 && timing.minimum <= timing.median);
    }
}
