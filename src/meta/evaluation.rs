//! Scores over many tasks, with intervals.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Score, StartingPoint};

/// A mean over tasks and the half-width of its 95 % interval, 1.96 · s / √n.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Mean {
    pub mean: f64,
    pub interval: f64,
}

impl Mean {
    /// Of `values`; the interval of fewer than two is 0.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / count;
        let squares: f64 = values.map(|value| (f64::from(value) - mean).powi(2)).sum();
        let deviation = if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Self { mean, interval: 1.96 * deviation / count.sqrt() }
    }
}

/// Loss and accuracy over tasks.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    pub loss: Mean,
    pub accuracy: Mean,
}

impl Summary {
    /// Of one score a task.
    pub fn of(scores: impl Iterator<Item = Score> + Clone) -> Self {
        Self {
            loss: Mean::of(scores.clone().map(|score| score.loss)),
            accuracy: Mean::of(scores.map(|score| score.accuracy)),
        }
    }
}

/// Adapts from `start` to tasks 0..`tasks` of the setup's stream, as many at once as the device
/// allows, and returns each task's scores before and after adaptation. The scores do not depend on
/// how the tasks are cut into batches.
///
/// # Errors
/// As [`crate::meta::Trainer::new`].
pub fn evaluate(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: &StartingPoint,
    tasks: usize,
) -> Result<Vec<[Score; 2]>> {
    let batch = Adaptation::batch_size(gpu, setup, tasks);
    let mut adaptation = Adaptation::new(gpu, setup.clone(), batch)?;
    adaptation.start_from(start);
    let mut scores = Vec::with_capacity(tasks);
    while scores.len() < tasks {
        adaptation.run(scores.len())?;
        scores.extend(adaptation.scores()?);
    }
    scores.truncate(tasks);
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_a_known_sample() {
        let mean = Mean::of([1.0_f32, 2.0, 3.0, 4.0].into_iter());
        assert!((mean.mean - 2.5).abs() < 1e-12);
        assert!((mean.interval - 1.96 * (5.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-12);
    }
}
