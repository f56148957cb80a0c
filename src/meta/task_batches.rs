//! Many tasks, as many at once as the device has room for: the one loop of evaluations and adaptations.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Score, Starts};
use crate::meta::budget::halving;
use crate::meta::trainer::Trainer;
use crate::meta::training_state::StartingPoint;

/// What the tasks of an evaluation start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// All from one starting point.
    Point(&'a StartingPoint),
    /// All from what a run of a trainer has learned by now, which stays on the device.
    Run(&'a Trainer, usize),
    /// Each from its own ([`Adaptation::start_from_each`]), set before each batch.
    Each,
}

impl<'a> From<&'a StartingPoint> for Start<'a> {
    fn from(point: &'a StartingPoint) -> Self {
        Self::Point(point)
    }
}

impl Start<'_> {
    fn starts(self) -> Starts {
        match self {
            Self::Point(_) | Self::Run(..) => Starts::One,
            Self::Each => Starts::Each,
        }
    }

    pub(super) fn set(self, gpu: &Gpu, adaptation: &mut Adaptation) -> Result<()> {
        match self {
            Self::Point(point) => adaptation.start_from(point)?,
            Self::Run(trainer, run) if needs_host(trainer) => {
                adaptation.start_from(&trainer.snapshot()?.starting_point(run)?)?;
            }
            Self::Run(..) | Self::Each => self.set_on_device(gpu, adaptation)?,
        }
        Ok(())
    }

    /// The async twin of [`Start::set`].
    async fn set_async(self, gpu: &Gpu, adaptation: &mut Adaptation) -> Result<()> {
        match self {
            Self::Point(point) => adaptation.start_from(point)?,
            Self::Run(trainer, run) if needs_host(trainer) => {
                adaptation.start_from(&trainer.snapshot_async().await?.starting_point(run)?)?;
            }
            Self::Run(..) | Self::Each => self.set_on_device(gpu, adaptation)?,
        }
        Ok(())
    }

    fn set_on_device(self, gpu: &Gpu, adaptation: &mut Adaptation) -> Result<()> {
        match self {
            Self::Run(trainer, run) => {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                adaptation.record_start(&mut encoder, trainer, run)?;
                gpu.queue().submit([encoder.finish()]);
            }
            Self::Point(_) | Self::Each => {}
        }
        Ok(())
    }
}

/// A new task has no slot, and before the first meta-iteration there are no sums: the host has both.
fn needs_host(trainer: &Trainer) -> bool {
    trainer.task_state().is_none() || trainer.iteration() == 0
}

/// Adapts to tasks 0..`tasks` of the setup's stream in batches as [`in_batches`] has them, and calls `each` with the scores of
/// each batch and the range of its tasks; nothing waits.
///
/// # Errors
/// As [`in_batches`].
pub(super) async fn scores_in_batches_async(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tasks: usize,
    mut each: impl FnMut(Vec<Vec<[Score; 2]>>, Range<usize>),
) -> Result<()> {
    let (mut first, mut size) = (0, Adaptation::batch_size(gpu, setup, tasks));
    while first < tasks {
        let made = Adaptation::with_starts(gpu, setup.clone(), size, start.starts());
        let mut adaptation = match made {
            Err(Error::Limit { available: 0, .. }) if size > 1 => {
                size = size.div_ceil(2);
                continue;
            }
            made => made?,
        };
        start.set_async(gpu, &mut adaptation).await?;
        while first < tasks {
            let end = tasks.min(first + size);
            let ask = |done: &Adaptation, encoder: &mut _| done.ask_scores(encoder);
            each(adaptation.run_async(first, ask).await?, first..end);
            first = end;
        }
    }
    Ok(())
}

/// Calls `each` with an adaptation and the range of tasks, of 0..`tasks`, that it is for, as many at a time as the
/// device allows; half as many where its memory runs out.
///
/// # Errors
/// As [`crate::meta::Trainer::new`]; those of `each`.
pub fn in_batches(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tasks: usize,
    mut each: impl FnMut(&mut Adaptation, Range<usize>) -> Result<()>,
) -> Result<()> {
    let mut first = 0;
    halving(Adaptation::batch_size(gpu, setup, tasks), |size| {
        let mut adaptation = Adaptation::with_starts(gpu, setup.clone(), size, start.starts())?;
        start.set(gpu, &mut adaptation)?;
        while first < tasks {
            let end = tasks.min(first + size);
            each(&mut adaptation, first..end)?;
            first = end;
        }
        Ok(())
    })
}
