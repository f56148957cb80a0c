//! Scores over many tasks.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Score};
use crate::meta::source::Origin;
use crate::meta::task_batches::{Start, in_batches, scores_in_batches_async};
use crate::meta::training_state::StartingPoint;
use crate::meta::warm_start::best_entries;
use crate::tasks::{Batches, Episodes};

/// Adapts from `start` to tasks 0..`tasks` of the setup's stream, as many at once as the device
/// allows, and returns for each mode of the setup every task's scores before and after adaptation. The
/// scores do not depend on how the tasks are cut into batches, nor on the other mode.
///
/// # Errors
/// As [`crate::meta::Trainer::new`].
pub fn evaluate<'a>(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: impl Into<Start<'a>>,
    tasks: usize,
) -> Result<Vec<Vec<[Score; 2]>>> {
    scored(gpu, setup, start.into(), tasks, |adaptation, tasks| adaptation.run(tasks.start))
}

/// The async twin of [`evaluate`]: the device is polled and never waited for.
///
/// # Errors
/// As [`evaluate`].
pub async fn evaluate_async<'a>(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: impl Into<Start<'a>>,
    tasks: usize,
) -> Result<Vec<Vec<[Score; 2]>>> {
    let mut scores = vec![Vec::new(); setup.transductive.len()];
    scores_in_batches_async(gpu, setup, start.into(), tasks, |batch, tasks| {
        for (all, batch) in scores.iter_mut().zip(batch) {
            all.extend(batch.into_iter().take(tasks.len()));
        }
    })
    .await?;
    Ok(scores)
}

/// As [`evaluate`], but each task starts from the one of `entries` that fits its support set best.
///
/// # Errors
/// As [`evaluate`]; [`Error::Config`] if there is no entry.
pub fn evaluate_warm(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    entries: &[StartingPoint],
    tasks: usize,
) -> Result<Vec<Vec<[Score; 2]>>> {
    scored(gpu, setup, Start::Each, tasks, |adaptation, tasks| {
        let best = best_entries(gpu, setup, entries, tasks.clone(), |_, _| Ok(()))?;
        let starts: Vec<_> = best.into_iter().map(|entry| entries[entry].clone()).collect();
        adaptation.start_from_each(&starts)?;
        adaptation.run(tasks.start)
    })
}

/// As [`evaluate`], but with `models` (one for each task, `[P]`) in place of an adaptation.
///
/// # Errors
/// As [`evaluate`]; [`Error::Config`] if a model is not as long as the network's parameters.
pub fn evaluate_models(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: &StartingPoint,
    models: &[Vec<f32>],
) -> Result<Vec<Vec<[Score; 2]>>> {
    scored(gpu, setup, start.into(), models.len(), |adaptation, tasks| {
        adaptation.run_models(tasks.start, &models[tasks])
    })
}

/// As [`evaluate`], but on the tasks of `episodes`, whose sizes may differ from those of `setup`. The
/// minibatches of the task at place i of the list have the order of task i of the setup's stream.
///
/// # Errors
/// [`Error::Config`] if the setup's tasks are not drawn from images, [`Error::Data`] if `episodes`
/// does not fit the network, the minibatches or the images on the device, or its lengths are not those it documents; else
/// as [`evaluate`].
pub fn evaluate_episodes(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: &StartingPoint,
    episodes: &Episodes,
) -> Result<Vec<Vec<[Score; 2]>>> {
    let refuse = |message| Error::data(&episodes.path, message);
    let (Origin::Episodes { images, .. } | Origin::Listed { images, .. }) = &setup.origin else {
        let message = "a list of episodes needs a network that was trained on tasks over images";
        return Err(Error::config("tasks.kind", message));
    };
    let batches =
        Batches { way: episodes.way, group: episodes.shots, tail: 0, ..setup.batches.clone() };
    check_sizes(setup, &batches).map_err(refuse)?;
    check_lengths(episodes).map_err(refuse)?;
    let (images, part, queries) = (images.clone(), episodes.part, episodes.queries);
    let numbers = |set: &[u32]| -> Result<Vec<u32>> {
        let number = |image: &u32| {
            images.number(part, *image).ok_or_else(|| {
                refuse(format!(
                    "image {image} is not among the {} images on the device; resolve the list with \
                     the split that they are from",
                    part.name()
                ))
            })
        };
        set.iter().map(number).collect()
    };
    let (support, query) = (numbers(&episodes.support)?, numbers(&episodes.query)?);
    let per_task = [batches.support(), batches.way * queries];
    let origin = Origin::Listed { images, part, queries };
    let setup = AdaptationSetup { batches, origin, scored: true, ..setup.clone() };
    scored(gpu, &setup, start.into(), episodes.len(), |adaptation, tasks| {
        let own = |examples: usize| tasks.start * examples..tasks.end * examples;
        adaptation.tasks().upload_support_numbers(gpu, &support[own(per_task[0])])?;
        adaptation.tasks().upload_query_numbers(gpu, &query[own(per_task[1])])?;
        adaptation.run(tasks.start)
    })
}

/// Whether the lists hold whole tasks, and as many of both kinds.
fn check_lengths(episodes: &Episodes) -> Result<(), String> {
    let Episodes { way, shots, queries, .. } = *episodes;
    let (Some(support), Some(query)) = (way.checked_mul(shots), way.checked_mul(queries)) else {
        return Err(format!(
            "its tasks have {way} classes of {shots} and {queries} examples; list fewer"
        ));
    };
    let tasks = episodes.len();
    let whole = |list: &[u32], one: usize| tasks.checked_mul(one) == Some(list.len());
    if whole(&episodes.support, support) && whole(&episodes.query, query) {
        return Ok(());
    }
    Err(format!(
        "it lists {} support and {} query images, which are no whole tasks of {support} and {query}; list as many of \
         each for every task",
        episodes.support.len(),
        episodes.query.len()
    ))
}

/// Whether listed tasks in minibatches of `batches` fit the network.
fn check_sizes(setup: &AdaptationSetup, batches: &Batches) -> Result<(), String> {
    let (way, outputs) = (batches.way, setup.model.outputs());
    if way != outputs {
        return Err(format!(
            "its tasks have {way} classes, but the network tells {outputs} apart; list tasks of \
             {outputs} classes"
        ));
    }
    if batches.replacement && batches.batch > batches.support() {
        return Err(format!(
            "{} examples cannot be drawn without repeats from the {} support examples of its \
             tasks; lower the minibatch (eval.batch)",
            batches.batch,
            batches.support()
        ));
    }
    Ok(())
}

/// The scores of `tasks` tasks in each mode; `run` adapts to a range of tasks.
fn scored(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tasks: usize,
    run: impl Fn(&mut Adaptation, Range<usize>) -> Result<()>,
) -> Result<Vec<Vec<[Score; 2]>>> {
    let mut scores = vec![Vec::new(); setup.transductive.len()];
    in_batches(gpu, setup, start, tasks, |adaptation, tasks| {
        let count = tasks.len();
        run(adaptation, tasks)?;
        for (all, batch) in scores.iter_mut().zip(adaptation.scores()?) {
            all.extend(batch.into_iter().take(count));
        }
        Ok(())
    })?;
    Ok(scores)
}
