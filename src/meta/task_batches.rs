//! Many tasks, as many at once as the device has room for: the one loop of evaluations and adaptations.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::{Gpu, Wait, now};
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Starts};
use crate::meta::budget::Parts;
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

    pub(super) async fn set(
        self,
        wait: Wait,
        gpu: &Gpu,
        adaptation: &mut Adaptation,
    ) -> Result<()> {
        match self {
            Self::Point(point) => adaptation.start_from(point)?,
            Self::Run(trainer, run) if needs_host(trainer) => {
                adaptation.start_from(&trainer.snapshot_by(wait).await?.starting_point(run)?)?;
            }
            Self::Run(trainer, run) => {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                adaptation.record_start(&mut encoder, trainer, run)?;
                gpu.submit(encoder.finish());
            }
            Self::Each => {}
        }
        Ok(())
    }
}

/// A new task has no slot, and before the first meta-iteration there are no sums: the host has both.
fn needs_host(trainer: &Trainer) -> bool {
    trainer.task_state().is_none() || trainer.iteration() == 0
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
    let each = async |adaptation: &mut Adaptation, tasks| each(adaptation, tasks);
    now(in_batches_by(Wait::Blocking, gpu, setup, start, tasks, each))
}

/// The async twin of [`in_batches`].
///
/// # Errors
/// As [`in_batches`].
pub async fn in_batches_async(
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tasks: usize,
    each: impl AsyncFnMut(&mut Adaptation, Range<usize>) -> Result<()>,
) -> Result<()> {
    in_batches_by(Wait::Awaiting, gpu, setup, start, tasks, each).await
}

async fn in_batches_by(
    wait: Wait,
    gpu: &Gpu,
    setup: &AdaptationSetup,
    start: Start<'_>,
    tasks: usize,
    mut each: impl AsyncFnMut(&mut Adaptation, Range<usize>) -> Result<()>,
) -> Result<()> {
    let mut batches = TaskBatches::new(gpu, setup, start, 0..tasks);
    while let Some((adaptation, tasks)) = batches.next(wait).await? {
        let done = each(adaptation, tasks).await;
        batches.end(done)?;
    }
    Ok(())
}

/// Tasks by their numbers, as many at a time as the device allows; half as many where its memory runs out.
pub(super) struct TaskBatches<'a> {
    gpu: &'a Gpu,
    setup: AdaptationSetup,
    start: Start<'a>,
    parts: Parts,
    made: Option<Adaptation>,
}

impl<'a> TaskBatches<'a> {
    pub fn new(
        gpu: &'a Gpu,
        setup: &AdaptationSetup,
        start: Start<'a>,
        tasks: Range<usize>,
    ) -> Self {
        let at_once = Adaptation::batch_size(gpu, setup, tasks.len());
        let expected_tasks = setup.expected_tasks.max(tasks.end);
        let setup = AdaptationSetup { expected_tasks, ..setup.clone() };
        let parts = Parts::new(tasks, at_once);
        Self { gpu, setup, start, parts, made: None }
    }

    /// An adaptation and the range of tasks that it is for next, until all are done.
    ///
    /// # Errors
    /// As [`crate::meta::Trainer::new`].
    pub async fn next(&mut self, wait: Wait) -> Result<Option<(&mut Adaptation, Range<usize>)>> {
        while self.made.is_none() {
            let made = self.make(wait).await;
            self.made = self.parts.or_half(made)?;
        }
        Ok(self.made.as_mut().zip(self.parts.next()))
    }

    async fn make(&self, wait: Wait) -> Result<Adaptation> {
        let (gpu, setup, starts) = (self.gpu, self.setup.clone(), self.start.starts());
        let mut adaptation = Adaptation::with_starts(gpu, setup, self.parts.size(), starts)?;
        self.start.set(wait, gpu, &mut adaptation).await?;
        Ok(adaptation)
    }

    /// Goes on behind the tasks of [`TaskBatches::next`], which came to `done`.
    ///
    /// # Errors
    /// That of `done`, unless fewer tasks may have room.
    pub fn end(&mut self, done: Result<()>) -> Result<()> {
        if self.parts.end(done)?.is_none() {
            self.made = None;
        }
        Ok(())
    }
}
