//! The best validation of a run, and whether its state is on disk.

use crate::model::Loss;

/// What is known of a run's validations so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Best {
    loss: Loss,
    /// The best metric.
    metric: Option<f64>,
    /// The metric of the state that is kept as the best one. It is the best metric, unless the run
    /// went on from a checkpoint older than its best state.
    kept: Option<f64>,
    without_gain: u32,
}

impl Best {
    /// Of a run that lowers `loss` and had `validations` (iteration and metric, in order); the state
    /// of iteration `kept` is on disk.
    pub fn recall(loss: Loss, validations: &[(u64, f64)], kept: Option<u64>) -> Self {
        let mut best = Self { loss, metric: None, kept: None, without_gain: 0 };
        for (_, metric) in validations {
            best.take(*metric);
        }
        let on_disk = validations.iter().find(|(iteration, _)| Some(*iteration) == kept);
        best.kept = on_disk.map(|(_, metric)| *metric);
        best
    }

    /// Takes the next validation; true if its state is to be kept.
    pub fn take(&mut self, metric: f64) -> bool {
        if self.beats(metric, self.metric) {
            self.metric = Some(metric);
            self.without_gain = 0;
        } else {
            self.without_gain += 1;
        }
        let keep = self.beats(metric, self.kept);
        if keep {
            self.kept = Some(metric);
        }
        keep
    }

    /// Validations in a row without a better metric.
    pub fn without_gain(&self) -> u32 {
        self.without_gain
    }

    /// Whether `metric` is as good as `target`.
    pub fn reaches(&self, metric: f64, target: f64) -> bool {
        match self.loss {
            Loss::CrossEntropy => metric >= target,
            Loss::Mse => metric <= target,
        }
    }

    fn beats(&self, metric: f64, other: Option<f64>) -> bool {
        !metric.is_nan()
            && other.is_none_or(|other| match self.loss {
                Loss::CrossEntropy => metric > other,
                Loss::Mse => metric < other,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_judges_as_if_it_had_never_stopped() {
        for loss in [Loss::CrossEntropy, Loss::Mse] {
            let metrics = [0.5, 0.4, f64::NAN, 0.6, 0.6, 0.3, 0.7];
            let validations: Vec<(u64, f64)> = (1..).zip(metrics).collect();
            let mut straight = Best::recall(loss, &[], None);
            let mut kept = None;
            for (done, (iteration, metric)) in validations.iter().enumerate() {
                let resumed = Best::recall(loss, &validations[..done], kept);
                assert_eq!(straight, resumed, "after {done}");
                if straight.take(*metric) {
                    kept = Some(*iteration);
                }
            }
            assert_eq!(kept, Some(if loss == Loss::Mse { 6 } else { 7 }));
            assert_eq!(straight.without_gain(), if loss == Loss::Mse { 1 } else { 0 });
        }
    }

    #[test]
    fn a_best_state_that_is_gone_is_replaced_by_the_next_one() {
        let mut best = Best::recall(Loss::CrossEntropy, &[(10, 0.5), (20, 0.9)], None);
        assert!(best.take(0.6) && !best.take(0.55) && best.take(0.7));
        assert_eq!(best.without_gain(), 3, "0.9 was better than all three");
        assert!(best.reaches(0.7, 0.7) && !best.reaches(0.69, 0.7));
    }
}
