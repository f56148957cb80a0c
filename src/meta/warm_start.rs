//! Starting a task from the entry of a memory that fits its support set best.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Wait, now};
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Starts};
use crate::meta::checks;
use crate::meta::source::Origin;
use crate::meta::training_state::StartingPoint;
use crate::tasks::Batches;

/// For each of `tasks` the place of the entry with the lowest loss on the whole support set: all entries and
/// tasks are scored in one batch, as far as the device has room. `upload` brings what is not drawn: it is
/// told the task in each place of the batch.
///
/// # Errors
/// As [`crate::meta::Trainer::new`]; [`Error::Config`] if there is no entry.
pub fn best_entries(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    entries: &[StartingPoint],
    tasks: Range<usize>,
    upload: impl Fn(&Adaptation, &[usize]) -> Result<()>,
) -> Result<Vec<usize>> {
    now(best_entries_by(Wait::Blocking, gpu, setup, entries, tasks, upload))
}

/// The async twin of [`best_entries`].
///
/// # Errors
/// As [`best_entries`].
pub async fn best_entries_async(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    entries: &[StartingPoint],
    tasks: Range<usize>,
    upload: impl Fn(&Adaptation, &[usize]) -> Result<()>,
) -> Result<Vec<usize>> {
    best_entries_by(Wait::Awaiting, gpu, setup, entries, tasks, upload).await
}

/// Either of them.
pub(super) async fn best_entries_by(
    wait: Wait,
    gpu: &Gpu,
    setup: &AdaptationSetup,
    entries: &[StartingPoint],
    tasks: Range<usize>,
    upload: impl Fn(&Adaptation, &[usize]) -> Result<()>,
) -> Result<Vec<usize>> {
    if entries.is_empty() {
        let message =
            "there are none to start from; train with a memory, and for an iteration at least";
        return Err(Error::config("entries", message));
    }
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    checks::batches(&setup.batches)?;
    let support = setup.batches.support();
    let batches = Batches { steps: 1, batch: support, replacement: false, ..setup.batches.clone() };
    let origin = match &setup.origin {
        Origin::Rows { .. } => Origin::Rows { queries: 0, ordered: false },
        origin => origin.clone(),
    };
    // Of its one step only the loss before it is looked at.
    let setup = AdaptationSetup {
        batches,
        origin,
        scored: false,
        transductive: Vec::new(),
        ..setup.clone()
    };
    let mut best = vec![(f32::INFINITY, 0); tasks.len()];
    let at_once = Adaptation::batch_size(gpu, &setup, tasks.len().saturating_mul(entries.len()));
    let (count, of_entries) = (at_once.min(tasks.len()), (at_once / tasks.len()).max(1));
    for (chunk, starts) in entries.chunks(of_entries).enumerate() {
        let shape = Starts::All(starts.len());
        let mut adaptation = Adaptation::with_starts(gpu, setup.clone(), count, shape)?;
        adaptation.start_from_each(starts)?;
        for first in (0..tasks.len()).step_by(count) {
            let own = first..tasks.len().min(first + count);
            let numbers = tasks.start + own.start..tasks.start + own.end;
            let places: Vec<usize> = (0..starts.len()).flat_map(|_| numbers.clone()).collect();
            upload(&adaptation, &places)?;
            adaptation.submit_all(wait, numbers.start)?;
            let ask = |encoder: &mut _| adaptation.ask_support_losses(encoder);
            let losses = wait.answer(gpu, ask).await?;
            for (entry, losses) in losses.chunks_exact(count).enumerate() {
                for (best, loss) in best[own.clone()].iter_mut().zip(losses) {
                    if *loss < best.0 {
                        *best = (*loss, chunk * of_entries + entry);
                    }
                }
            }
        }
    }
    Ok(best.into_iter().map(|(_, entry)| entry).collect())
}
