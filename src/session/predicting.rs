//! Telling examples apart by a few labelled ones: a state of a run, adapted once.

use crate::data::arrays::{Query, Targets, TaskArrays};
use crate::data::{Labelled, Unlabelled};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::TrainingState;
use crate::model::{Loss, Model};
use crate::session::adapting::{Base, Tasks, adapt};
use crate::store::adapted::{Adapted, Recipe};

/// Rows of the batches of queries that are predicted at once.
const ROWS: usize = 4096;

/// Probabilities of the classes, and the model that they come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Predictions {
    /// `[Q, classes]`.
    pub probabilities: Vec<Vec<f64>>,
    /// The adapted network.
    pub adapted: Adapted,
}

/// Adapts run `recipe.run` of `snapshot`, the state of `base`, to `support`, whose classes may be fewer than the network's
/// outputs, and predicts `queries`; `progress` is told how many are done, and their number.
///
/// # Errors
/// [`Error::Config`] if the network tells no classes apart, or fewer; as [`adapt`].
pub fn predict(
    gpu: &Gpu,
    base: Base<'_>,
    snapshot: &TrainingState,
    recipe: &Recipe,
    support: &Labelled,
    queries: Option<&Unlabelled>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Predictions> {
    let model = Model::new(base.config.model.clone())?;
    let classes = support.classes.len();
    tells_apart(&model)?;
    if !(2..=model.outputs()).contains(&classes) {
        let message = format!(
            "{classes} classes, but the run's network tells 2 to {} apart; give as many",
            model.outputs()
        );
        return Err(Error::config("the support set", message));
    }
    let recipe = Recipe {
        batch: recipe.batch.min(support.labels.len()),
        classes: Some(classes).filter(|classes| *classes < model.outputs()),
        ..recipe.clone()
    };
    let inputs = model.inputs();
    let count = queries.map_or(0, |queries| queries.names.len());
    let alone = model.has_batch_statistics() && !base.config.eval.transductive;
    let at_once = match (model.has_batch_statistics(), alone) {
        // All in one batch, whose statistics are those of all.
        (true, false) => count,
        (true, true) => ROWS / (support.labels.len() + 1),
        (false, _) => ROWS,
    };
    let mut at_once = at_once.clamp(1, count.max(1));
    let mut task = TaskArrays {
        tasks: 1,
        support: support.labels.len(),
        support_x: support.x.clone(),
        support_y: Targets::Labels(support.labels.clone()),
        query: None,
        order: None,
        from_bytes: false,
    };
    let mut probabilities = Vec::with_capacity(count);
    let rows = queries.map_or(&[][..], |queries| &queries.x);
    // Rows do not depend on each other where there are no batch statistics, nor where each has a batch of its own.
    let alone = alone || !model.has_batch_statistics();
    let mut adapted = None;
    while probabilities.len() < count {
        let first = probabilities.len();
        let chunk = &rows[first * inputs..(first + at_once).min(count) * inputs];
        let mut x = chunk.to_vec();
        // Always as many, so that kernels stay the same; every chunk is adapted to anew, to the same numbers.
        while x.len() < at_once * inputs {
            x.extend_from_within(..inputs);
        }
        task.query = Some(Query { count: at_once, x, y: None });
        let own = match adapt(gpu, base, snapshot, &recipe, Tasks::Arrays(&task), &mut |_, _| ()) {
            // A device that has no room for so many.
            Err(Error::Limit { .. }) if alone && at_once > 1 => {
                at_once /= 2;
                continue;
            }
            own => own?,
        };
        let logits = own.query_output.as_deref().unwrap_or_default();
        let logits = logits.chunks_exact(model.outputs()).take(chunk.len() / inputs);
        probabilities.extend(logits.map(|row| softmax(&row[..classes])));
        progress(probabilities.len() as u64, count as u64);
        adapted = Some(own);
    }
    let adapted = match adapted {
        Some(adapted) => Adapted { query_output: None, ..adapted },
        None => adapt(gpu, base, snapshot, &recipe, Tasks::Arrays(&task), progress)?,
    };
    Ok(Predictions { probabilities, adapted })
}

/// Refuses a network that tells no classes apart.
///
/// # Errors
/// [`Error::Config`] that says so.
pub fn tells_apart(model: &Model) -> Result<()> {
    if model.loss() == Loss::CrossEntropy {
        return Ok(());
    }
    let message = "the run predicts numbers, not classes; `adapt` takes it to tasks of yours";
    Err(Error::config("model.loss", message))
}

/// Probabilities of `logits`.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|it| f64::from(it - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one() {
        let all = softmax(&[1e4, 1e4 - 1.0, -1e4]);
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((all[0] / all[1] - 1.0_f64.exp()).abs() < 1e-9 && all[2] == 0.0, "{all:?}");
    }
}
