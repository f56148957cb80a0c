//! Means over tasks with their intervals, and tasks that diverged.

use crate::meta::adaptation::Score;
use crate::model::Loss;

/// A mean over tasks and the half-width of its 95 % interval, 1.96 · s / √n. What is undefined is NaN.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Mean {
    /// NaN if there are no values.
    pub mean: f64,
    /// The half-width; NaN for fewer than two values.
    pub interval: f64,
}

impl Mean {
    /// Of `values`; NaN are the mean of none and the interval of fewer than two.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / count;
        let squares: f64 = values.map(|value| (f64::from(value) - mean).powi(2)).sum();
        // Of one value 0 / 0.
        let deviation = (squares / (count - 1.0)).sqrt();
        Self { mean, interval: 1.96 * deviation / count.sqrt() }
    }

    /// The mean of independent means, such as those of seeds: their variances add up.
    pub fn of_means(means: impl Iterator<Item = Self> + Clone) -> Self {
        let count = means.clone().count() as f64;
        let mean = means.clone().map(|one| one.mean).sum::<f64>() / count;
        let squares: f64 = means.map(|one| one.interval.powi(2)).sum();
        Self { mean, interval: squares.sqrt() / count }
    }

    /// A share as a percentage.
    pub fn percent(self) -> Self {
        Self { mean: 100.0 * self.mean, interval: 100.0 * self.interval }
    }

    /// `mean ± interval` with so many `digits` after the point, and `unit`; `–` stands for what is
    /// undefined.
    pub fn text(self, digits: usize, unit: &str) -> String {
        let mean = number(self.mean, digits);
        match self.mean.is_finite() {
            true => format!("{mean} ± {}{unit}", number(self.interval, digits)),
            false => mean,
        }
    }
}

/// `value` with so many `digits` after the point; `–` if it is not finite.
pub fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "–".into() }
}

/// Loss and accuracy over tasks.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Of the mean query loss of each task.
    pub loss: Mean,
    /// Of the share of right answers in each task; 0 for regression. The mean is `right` / `answers`, rounded once, so that
    /// as many right answers are as good.
    pub accuracy: Mean,
    /// Right answers of the tasks that are left.
    pub right: u64,
    /// Their queries.
    pub answers: u64,
    /// Tasks that are left out because their loss is not finite.
    pub diverged: usize,
}

impl Summary {
    /// Of one score a task, without the tasks whose loss is not finite.
    pub fn of(scores: impl Iterator<Item = Score> + Clone) -> Self {
        let left = scores.clone().filter(|score| score.loss.is_finite());
        let right: u64 = left.clone().map(|score| score.right()).sum();
        let answers: u64 = left.clone().map(|score| u64::from(score.queries)).sum();
        let interval = Mean::of(left.clone().map(|score| score.accuracy)).interval;
        Self {
            loss: Mean::of(left.clone().map(|score| score.loss)),
            accuracy: Mean { mean: right as f64 / answers as f64, interval },
            right,
            answers,
            diverged: scores.count() - left.count(),
        }
    }

    /// What a network that lowers `loss` is judged by: accuracy for classes, else loss.
    pub fn metric(&self, loss: Loss) -> Mean {
        if loss == Loss::CrossEntropy { self.accuracy } else { self.loss }
    }
}

/// The share of right answers over `counts` (right answers, and all) of runs that were asked equally much, rounded once: a mean of
/// shares would call one of two equal sums of right answers better. None if they were not, or nobody was asked.
pub fn pooled(counts: &[[u64; 2]]) -> Option<f64> {
    let answers = counts.first()?[1];
    let equal = answers > 0 && counts.iter().all(|[_, own]| *own == answers);
    let right: u64 = counts.iter().map(|[right, _]| right).sum();
    equal.then(|| right as f64 / (answers * counts.len() as u64) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f32]) -> Mean {
        Mean::of(values.iter().copied())
    }

    #[test]
    fn interval_of_a_known_sample() {
        let mean = mean(&[1.0, 2.0, 3.0, 4.0]);
        assert!((mean.mean - 2.5).abs() < 1e-12);
        assert!((mean.interval - 1.96 * (5.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-12);
    }

    #[test]
    fn fewer_than_two_values_have_no_interval() {
        let [none, one, two] = [&[][..], &[0.5], &[0.5, 1.5]].map(mean);
        assert!(none.mean.is_nan() && none.interval.is_nan());
        assert!(one.mean == 0.5 && one.interval.is_nan());
        assert!(two.mean == 1.0 && (two.interval - 0.98).abs() < 1e-12, "{two:?}");
        assert_eq!(serde_json::to_string(&one).unwrap(), r#"{"mean":0.5,"interval":null}"#);
        let texts = [none, one, two].map(|mean| mean.text(2, ""));
        assert_eq!(texts, ["–", "0.50 ± –", "1.00 ± 0.98"]);
        assert_eq!(two.percent().text(1, " %"), "100.0 ± 98.0 %");
        assert_eq!(none.text(1, " %"), "–");
    }

    #[test]
    fn the_mean_of_means_has_an_interval_if_each_has_one() {
        let one = |mean, interval| Mean { mean, interval };
        let of = |means: &[Mean]| Mean::of_means(means.iter().copied());
        assert_eq!(of(&[one(1.0, 3.0), one(2.0, 4.0)]), one(1.5, 2.5));
        let without = of(&[one(1.0, 3.0), one(2.0, f64::NAN)]);
        assert!(without.mean == 1.5 && without.interval.is_nan());
        assert!(of(&[]).mean.is_nan());
    }

    #[test]
    fn as_many_right_answers_are_as_good() {
        // 17 of 60 in tasks of 5, in two ways; shares in f32.
        let of = |right: [u8; 12]| {
            let scores = right.map(|right| Score::new(1.0, f32::from(right) / 5.0, 5));
            Summary::of(scores.into_iter())
        };
        let [one, other] =
            [[1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 1, 1], [5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 2]];
        let (one, other) = (of(one), of(other));
        assert_eq!((one.right, one.answers), (17, 60));
        assert_eq!(one.accuracy.mean, other.accuracy.mean);
        assert_eq!(pooled(&[[5, 60], [7, 60], [6, 60]]), pooled(&[[6, 60]; 3]));
        assert_eq!((pooled(&[[5, 60], [7, 59]]), pooled(&[])), (None, None));
        let seven = Summary::of([Score::new(1.0, 0.7, 10); 6].into_iter());
        assert_eq!(seven.accuracy.mean, 0.7, "a target of 0.7 is met");
    }

    #[test]
    fn tasks_that_diverged_are_left_out_and_counted() {
        let score = |loss, accuracy| Score::new(loss, accuracy, 4);
        let diverged = [score(f32::NAN, 0.0), score(f32::INFINITY, 1.0)];
        let good = [score(1.0, 0.25), score(3.0, 0.75)];
        let of = |scores: &[Score]| Summary::of(scores.iter().copied());
        let some = of(&[diverged[0], good[0], diverged[1], good[1]]);
        assert_eq!(some, Summary { diverged: 2, ..of(&good) });
        assert_eq!((some.loss.mean, some.accuracy.mean), (2.0, 0.5));
        assert_eq!((some.right, some.answers), (4, 8));
        let none = of(&diverged);
        assert!(none.diverged == 2 && none.loss.mean.is_nan() && none.accuracy.mean.is_nan());
        assert!(none.metric(Loss::CrossEntropy).mean.is_nan());
    }
}
