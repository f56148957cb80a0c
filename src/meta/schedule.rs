//! How a rate changes over the meta-iterations.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A schedule of a rate over T meta-iterations; `first` is the rate that the configuration names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// first
    #[default]
    Constant,
    /// f · final + (1 − f) · first with f = t / T (the paper's outer step; final = 0: 1 − t / T).
    Linear {
        /// Rate at t = T (`final` in TOML). Default 0.
        #[serde(rename = "final", default)]
        last: f32,
    },
    /// final + (first − final) · (1 + cos π t / T) / 2
    Cosine {
        /// Rate at t = T (`final` in TOML). Default 0.
        #[serde(rename = "final", default)]
        last: f32,
    },
    /// first · ratio^(t / every); with `staircase` the exponent is rounded down.
    Exponential {
        /// Factor on the rate each `every` iterations, above 0.
        ratio: f32,
        /// Meta-iterations to a factor, at least 1.
        every: u64,
        /// Whether the rate falls in steps instead of at every iteration. Default false.
        #[serde(default)]
        staircase: bool,
    },
}

impl Schedule {
    /// The rate of iteration t = `iteration` of T = `total`; from t = T on it stays what it is there.
    pub fn rate(&self, first: f32, iteration: u64, total: u64) -> f32 {
        let iteration = iteration.min(total);
        let start = f64::from(first);
        let share = iteration as f64 / total.max(1) as f64;
        let rate = match *self {
            Self::Constant => start,
            Self::Linear { last } => share * f64::from(last) + (1.0 - share) * start,
            Self::Cosine { last } => {
                let last = f64::from(last);
                last + (start - last) * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
            }
            Self::Exponential { ratio, every, staircase } => {
                let exponent = iteration as f64 / every as f64;
                let exponent = if staircase { exponent.floor() } else { exponent };
                start * f64::from(ratio).powf(exponent)
            }
        };
        rate as f32
    }

    /// Whether the rate of an iteration depends on the total number of iterations.
    pub fn spans_the_run(&self) -> bool {
        matches!(self, Self::Linear { .. } | Self::Cosine { .. })
    }

    /// Checks the numbers; `key` is the schedule's own key.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is out of range.
    pub fn validate(&self, key: &str) -> Result<()> {
        match *self {
            Self::Constant => Ok(()),
            Self::Linear { last } | Self::Cosine { last } => {
                if last.is_finite() && last >= 0.0 {
                    return Ok(());
                }
                Err(Error::config(
                    format!("{key}.final"),
                    format!("{last} is not a rate; give 0 or more"),
                ))
            }
            Self::Exponential { ratio, every, .. } => {
                if !(ratio.is_finite() && ratio > 0.0) {
                    let message = format!("{ratio} is not a ratio; give a number above 0");
                    return Err(Error::config(format!("{key}.ratio"), message));
                }
                if every == 0 {
                    let message = "must be at least 1 iteration";
                    return Err(Error::config(format!("{key}.every"), message));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f32, wanted: f32) {
        assert!((got - wanted).abs() < 1e-6, "{got} instead of {wanted}");
    }

    #[test]
    fn linear_goes_of_first_towards_final() {
        let schedule = Schedule::Linear { last: 0.0 };
        close(schedule.rate(0.1, 0, 100), 0.1);
        close(schedule.rate(0.1, 25, 100), 0.075);
        close(schedule.rate(0.1, 99, 100), 0.001);
        close(Schedule::Linear { last: 0.5 }.rate(1.0, 50, 100), 0.75);
    }

    #[test]
    fn cosine_is_half_way_in_the_middle() {
        let schedule = Schedule::Cosine { last: 0.2 };
        close(schedule.rate(1.0, 0, 10), 1.0);
        close(schedule.rate(1.0, 5, 10), 0.6);
        close(schedule.rate(1.0, 10, 10), 0.2);
    }

    #[test]
    fn exponential_with_staircase_rounds_the_exponent_down() {
        let stairs = Schedule::Exponential { ratio: 0.5, every: 10, staircase: true };
        close(stairs.rate(0.8, 9, 100), 0.8);
        close(stairs.rate(0.8, 10, 100), 0.4);
        close(stairs.rate(0.8, 29, 100), 0.2);
        let smooth = Schedule::Exponential { ratio: 0.25, every: 10, staircase: false };
        close(smooth.rate(0.8, 5, 100), 0.4);
    }

    #[test]
    fn rates_stay_past_the_end() {
        for schedule in [
            Schedule::Linear { last: 0.0 },
            Schedule::Linear { last: 0.5 },
            Schedule::Cosine { last: 0.2 },
            Schedule::Exponential { ratio: 0.5, every: 10, staircase: false },
        ] {
            let end = schedule.rate(0.1, 100, 100);
            assert!(end >= 0.0);
            assert_eq!([101, 150, 1000].map(|t| schedule.rate(0.1, t, 100)), [end; 3]);
        }
    }

    #[test]
    fn bad_numbers_are_refused() {
        let zero = Schedule::Exponential { ratio: 0.5, every: 0, staircase: true };
        let negative = Schedule::Exponential { ratio: -0.5, every: 1, staircase: false };
        for schedule in [zero, negative, Schedule::Linear { last: f32::NAN }] {
            assert!(schedule.validate("outer.schedule").is_err());
        }
    }
}
