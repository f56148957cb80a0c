//! Scores over many tasks.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pending, Wait, now};
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Score};
use crate::meta::source::Origin;
use crate::meta::task_batches::{Start, TaskBatches};
use crate::meta::training_state::StartingPoint;
use crate::meta::warm_start::best_entries_by;
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
    evaluate_until(gpu, setup, start.into(), Tested::Drawn, 0..tasks, None)
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
    tested_by(Wait::Awaiting, gpu, setup, start.into(), Tested::Drawn, 0..tasks, None).await
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
    evaluate_until(gpu, setup, Start::Each, Tested::Warm(entries), 0..tasks, None)
}

/// The async twin of [`evaluate_warm`].
///
/// # Errors
/// As [`evaluate_warm`].
pub async fn evaluate_warm_async(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    entries: &[StartingPoint],
    tasks: usize,
) -> Result<Vec<Vec<[Score; 2]>>> {
    tested_by(Wait::Awaiting, gpu, setup, Start::Each, Tested::Warm(entries), 0..tasks, None).await
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
    evaluate_until(gpu, setup, start.into(), Tested::Models(models), 0..models.len(), None)
}

/// The async twin of [`evaluate_models`].
///
/// # Errors
/// As [`evaluate_models`].
pub async fn evaluate_models_async(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: &StartingPoint,
    models: &[Vec<f32>],
) -> Result<Vec<Vec<[Score; 2]>>> {
    tested_by(
        Wait::Awaiting,
        gpu,
        setup,
        start.into(),
        Tested::Models(models),
        0..models.len(),
        None,
    )
    .await
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
    evaluate_until(gpu, setup, start.into(), Tested::Listed(episodes), 0..episodes.len(), None)
}

/// The async twin of [`evaluate_episodes`].
///
/// # Errors
/// As [`evaluate_episodes`].
pub async fn evaluate_episodes_async(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: &StartingPoint,
    episodes: &Episodes,
) -> Result<Vec<Vec<[Score; 2]>>> {
    tested_by(
        Wait::Awaiting,
        gpu,
        setup,
        start.into(),
        Tested::Listed(episodes),
        0..episodes.len(),
        None,
    )
    .await
}

/// What is evaluated.
pub(crate) enum Tested<'a> {
    /// Tasks of the setup's stream.
    Drawn,
    /// The same, each from the best of these.
    Warm(&'a [StartingPoint]),
    /// One for each task of the stream, in place of an adaptation.
    Models(&'a [Vec<f32>]),
    /// Tasks of a list.
    Listed(&'a Episodes),
}

/// What [`evaluate`] and the others do, with the tasks of these numbers alone. Once `stop` is true, batches of tasks that are not begun are left out: there are
/// fewer scores than tasks.
///
/// # Errors
/// Those of [`evaluate`] and the others.
pub(crate) fn evaluate_until(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tested: Tested<'_>,
    tasks: Range<usize>,
    stop: Option<&AtomicBool>,
) -> Result<Vec<Vec<[Score; 2]>>> {
    now(tested_by(Wait::Blocking, gpu, setup, start, tested, tasks, stop))
}

/// Either of them.
async fn tested_by(
    wait: Wait,
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tested: Tested<'_>,
    tasks: Range<usize>,
    stop: Option<&AtomicBool>,
) -> Result<Vec<Vec<[Score; 2]>>> {
    let way = match tested {
        Tested::Drawn => Way::Adapted,
        Tested::Warm(entries) => Way::Warm(entries),
        Tested::Models(models) => Way::Models(models),
        Tested::Listed(episodes) => {
            let (setup, way) = listed(setup, episodes)?;
            return scored(wait, gpu, &setup, start, tasks, &way, stop).await;
        }
    };
    scored(wait, gpu, setup, start, tasks, &way, stop).await
}

/// Adapting to the tasks of `episodes`.
fn listed(setup: &AdaptationSetup, episodes: &Episodes) -> Result<(AdaptationSetup, Way<'static>)> {
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
    let lists = [numbers(&episodes.support)?, numbers(&episodes.query)?];
    let examples = [batches.support(), batches.way * queries];
    let origin = Origin::Listed { images, part, queries };
    let setup = AdaptationSetup { batches, origin, scored: true, ..setup.clone() };
    Ok((setup, Way::Listed { lists, examples }))
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

/// What is done with the tasks of a batch.
enum Way<'a> {
    Adapted,
    /// Each from the best of these.
    Warm(&'a [StartingPoint]),
    /// These in place of an adaptation.
    Models(&'a [Vec<f32>]),
    /// To support and query sets with these images, so many of each for a task.
    Listed {
        lists: [Vec<u32>; 2],
        examples: [usize; 2],
    },
}

/// The scores of these tasks in each mode, or of those that were begun before `stop`.
async fn scored(
    wait: Wait,
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tasks: Range<usize>,
    way: &Way<'_>,
    stop: Option<&AtomicBool>,
) -> Result<Vec<Vec<[Score; 2]>>> {
    let stopped = || stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
    let mut scores = vec![Vec::new(); setup.transductive.len()];
    let mut add = |batch: Vec<Vec<[Score; 2]>>, count| {
        for (all, batch) in scores.iter_mut().zip(batch) {
            all.extend(batch.into_iter().take(count));
        }
    };
    let mut batches = TaskBatches::new(gpu, setup, start, tasks);
    let mut under_way: Option<(Asked, usize)> = None;
    while !stopped()
        && let Some((adaptation, tasks)) = batches.next(wait).await?
    {
        let count = tasks.len();
        let asked = submit_batch(wait, gpu, setup, adaptation, tasks, way).await;
        // The device has the next batch while the scores of the one before are fetched.
        if let Some(((pending, submission), count)) = under_way.take() {
            add(wait.take(gpu, pending, submission).await?, count);
        }
        batches.end(asked.map(|asked| under_way = Some((asked, count))))?;
    }
    if let Some(((pending, submission), count)) = under_way {
        add(wait.take(gpu, pending, submission).await?, count);
    }
    Ok(scores)
}

/// The scores of a batch that has been submitted.
type Asked = (Pending<Vec<Vec<[Score; 2]>>>, wgpu::SubmissionIndex);

async fn submit_batch(
    wait: Wait,
    gpu: &Gpu,
    setup: &AdaptationSetup,
    adaptation: &mut Adaptation,
    tasks: Range<usize>,
    way: &Way<'_>,
) -> Result<Asked> {
    let first = tasks.start;
    match way {
        Way::Adapted => adaptation.submit_all(wait, first)?,
        Way::Warm(entries) => {
            let best = best_entries_by(wait, gpu, setup, entries, tasks, |_, _| Ok(())).await?;
            let starts: Vec<_> = best.into_iter().map(|entry| entries[entry].clone()).collect();
            adaptation.start_from_each(&starts)?;
            adaptation.submit_all(wait, first)?;
        }
        Way::Models(models) => adaptation.submit_models(wait, first, &models[tasks])?,
        Way::Listed { lists: [support, query], examples } => {
            let [support_range, query_range] =
                examples.map(|examples| first * examples..tasks.end * examples);
            adaptation.tasks().upload_support_numbers(gpu, &support[support_range])?;
            adaptation.tasks().upload_query_numbers(gpu, &query[query_range])?;
            adaptation.submit_all(wait, first)?;
        }
    }
    gpu.ask(|encoder| adaptation.ask_scores(encoder))
}
