//! What became of the tasks of a batch, brought to the host.

use super::{Adaptation, Score};
use crate::error::Result;
use crate::meta::query::QueryPass;
use crate::meta::source::first_of;
use crate::meta::training_state;

impl Adaptation {
    /// The queries' scores before and after adaptation, for each mode a pair a task; nothing where they
    /// are not wanted.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn scores(&self) -> Result<Vec<Vec<[Score; 2]>>> {
        let read = |pass: &QueryPass| -> Result<Vec<Score>> {
            let losses: Vec<f32> = self.gpu.read(&pass.losses, 0, self.axis.tasks())?;
            let hits: Vec<f32> = self.gpu.read(&pass.hits, 0, self.axis.tasks())?;
            let pairs = losses.into_iter().zip(hits);
            Ok(pairs.map(|(loss, accuracy)| Score { loss, accuracy }).collect())
        };
        let scored =
            self.predictions.iter().filter_map(|one| one.before.as_ref().zip(Some(&one.after)));
        let pairs = scored.map(|(before, after)| {
            Ok(read(before)?.into_iter().zip(read(after)?).map(|(a, b)| [a, b]).collect())
        });
        pairs.collect()
    }

    /// The adapted parameters, `[T][P]` canonical.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn adapted(&self) -> Result<Vec<Vec<f32>>> {
        training_state::download(&self.gpu, &self.setup.model, &self.inner.theta, self.axis.tasks())
    }

    /// The support losses [T, K]: of each minibatch, before its step.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn support_losses(&self) -> Result<Vec<f32>> {
        self.gpu.read(&self.inner.losses, 0, self.axis.tasks() * self.setup.batches.steps)
    }

    /// Predictions or logits of the queries that are there, in the first mode, `[T, Q, out]`, before (only where scores
    /// are wanted) and after adaptation.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn query_outputs(&self) -> Result<[Option<Vec<f32>>; 2]> {
        let read = |pass: Option<&QueryPass>| -> Result<Option<Vec<f32>>> {
            let Some(pass) = pass else { return Ok(None) };
            let all = pass.read_outputs(&self.gpu, &self.setup.model)?;
            let outputs = self.setup.model.outputs();
            let (used, room) = (self.tasks.used()[1], pass.queries());
            Ok(Some(first_of(&all, used * outputs, room * outputs)))
        };
        let first = self.predictions.first();
        let before = first.and_then(|one| one.before.as_ref());
        Ok([read(before)?, read(first.map(|one| &one.after))?])
    }

    /// Inputs `[T, N, in]` and targets `[T, N, out]` of the support sets of a regression.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn support_rows(&self) -> Result<[Vec<f32>; 2]> {
        self.tasks.read_support(&self.gpu, &self.setup.model)
    }

    /// Inputs `[T, Q, in]` and targets `[T, Q, out]` of the query sets of a regression.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn query_rows(&self) -> Result<[Vec<f32>; 2]> {
        self.tasks.read_query(&self.gpu, &self.setup.model)
    }
}
