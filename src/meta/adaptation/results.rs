//! What became of the tasks of a batch, brought to the host.

use super::{Adaptation, Score};
use crate::error::Result;
use crate::gpu::Pending;
use crate::meta::query::{DeviceRows, QueryPass};
use crate::meta::source::first_of;
use crate::meta::training_state;

impl Adaptation {
    /// The queries' scores before and after adaptation, for each mode a pair a task; nothing where they
    /// are not wanted.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn scores(&self) -> Result<Vec<Vec<[Score; 2]>>> {
        self.gpu.answer(|encoder| self.ask_scores(encoder))
    }

    /// Asks for the queries' scores, as [`Adaptation::scores`] has them.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room to bring them.
    pub fn ask_scores(
        &self,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Pending<Vec<Vec<[Score; 2]>>>> {
        let tasks = self.axis.tasks();
        let scored =
            self.predictions.iter().filter_map(|one| one.before.as_ref().zip(Some(&one.after)));
        let buffers: Vec<_> = scored
            .flat_map(|(before, after)| [&before.losses, &before.hits, &after.losses, &after.hits])
            .map(|buffer| (buffer, 0, tasks))
            .collect();
        let values = Pending::record_parts(&self.gpu, encoder, &buffers)?;
        Ok(values.and_then(move |values: Vec<f32>| {
            let modes = values.chunks_exact(4 * tasks);
            Ok(modes
                .map(|of| {
                    let score = |task: usize, when: usize| Score {
                        loss: of[2 * when * tasks + task],
                        accuracy: of[(2 * when + 1) * tasks + task],
                    };
                    (0..tasks).map(|task| [score(task, 0), score(task, 1)]).collect()
                })
                .collect())
        }))
    }

    /// The adapted parameters, `[T][P]` canonical.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn adapted(&self) -> Result<Vec<Vec<f32>>> {
        self.gpu.answer(|encoder| self.ask_adapted(encoder))
    }

    /// Asks for the adapted parameters, `[T][P]` canonical.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room to bring them.
    pub fn ask_adapted(
        &self,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Pending<Vec<Vec<f32>>>> {
        let (model, sets) = (&self.setup.model, self.axis.tasks());
        training_state::ask(&self.gpu, encoder, model, &self.inner.theta, 0..sets)
    }

    /// The support losses [T, K]: of each minibatch, before its step.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn support_losses(&self) -> Result<Vec<f32>> {
        self.gpu.answer(|encoder| self.ask_support_losses(encoder))
    }

    /// Asks for the support losses [T, K].
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room to bring them.
    pub fn ask_support_losses(
        &self,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Pending<Vec<f32>>> {
        let count = self.axis.tasks() * self.setup.batches.steps;
        Pending::record(&self.gpu, encoder, &self.inner.losses, 0, count)
    }

    /// Predictions or logits of the queries that are there, in the first mode, `[T, Q, out]`, before (only where scores
    /// are wanted) and after adaptation.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn query_outputs(&self) -> Result<[Option<Vec<f32>>; 2]> {
        let first = self.predictions.first();
        let read = |pass: Option<&QueryPass>| {
            pass.map(|pass| self.gpu.answer(|encoder| self.ask_outputs_of(encoder, pass)))
                .transpose()
        };
        let before = first.and_then(|one| one.before.as_ref());
        Ok([read(before)?, read(first.map(|one| &one.after))?])
    }

    /// Asks for predictions or logits of the queries that are there after adaptation, in the first mode, `[T, Q, out]`;
    /// nothing without queries.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room to bring them.
    pub fn ask_query_outputs(
        &self,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Option<Pending<Vec<f32>>>> {
        let first = self.predictions.first();
        first.map(|one| self.ask_outputs_of(encoder, &one.after)).transpose()
    }

    /// Where the predictions or logits after adaptation are on the device, in the first mode; nothing without queries.
    pub fn outputs(&self) -> Option<DeviceRows<'_>> {
        let pass = &self.predictions.first()?.after;
        Some(pass.rows(&self.setup.model))
    }

    fn ask_outputs_of(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        pass: &QueryPass,
    ) -> Result<Pending<Vec<f32>>> {
        let outputs = self.setup.model.outputs();
        let (used, room) = (self.tasks.used()[1], pass.queries());
        let all = pass.ask_outputs(&self.gpu, encoder, &self.setup.model)?;
        Ok(all.and_then(move |all| Ok(first_of(&all, used * outputs, room * outputs))))
    }

    /// The async twin of [`Adaptation::run`] and the results that follow it: adapts to all tasks of the batch, and awaits
    /// what `ask` asks for.
    ///
    /// # Errors
    /// As [`Adaptation::record`], and those of `ask`.
    pub async fn run_async<T>(
        &self,
        first_task: usize,
        ask: impl FnOnce(&Self, &mut wgpu::CommandEncoder) -> Result<Pending<T>>,
    ) -> Result<T> {
        let record = |encoder: &mut wgpu::CommandEncoder| {
            self.record(encoder, first_task)?;
            ask(self, encoder)
        };
        self.gpu.answer_async(record).await
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
