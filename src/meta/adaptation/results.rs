//! What became of the tasks of a batch, brought to the host.

use super::{Adaptation, Score};
use crate::error::Result;
use crate::gpu::{Pending, Wait, now};
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
        let (tasks, queries) = (self.axis.tasks(), self.tasks.queries() as u32);
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
                        queries,
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
        now(self.query_outputs_by(Wait::Blocking))
    }

    /// The async twin of [`Adaptation::query_outputs`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn query_outputs_async(&self) -> Result<[Option<Vec<f32>>; 2]> {
        self.query_outputs_by(Wait::Awaiting).await
    }

    async fn query_outputs_by(&self, wait: Wait) -> Result<[Option<Vec<f32>>; 2]> {
        let first = self.predictions.first();
        let passes = [first.and_then(|one| one.before.as_ref()), first.map(|one| &one.after)];
        let mut outputs = [None, None];
        for (outputs, pass) in outputs.iter_mut().zip(passes) {
            if let Some(pass) = pass {
                let ask = |encoder: &mut _| self.ask_outputs_of(encoder, pass);
                *outputs = Some(wait.answer(&self.gpu, ask).await?);
            }
        }
        Ok(outputs)
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

    /// The async twin of [`Adaptation::run_models`] and the results that follow it, as [`Adaptation::run_async`].
    ///
    /// # Errors
    /// As [`Adaptation::run_models`], and those of `ask`.
    pub async fn run_models_async<T>(
        &self,
        first_task: usize,
        models: &[Vec<f32>],
        ask: impl FnOnce(&Self, &mut wgpu::CommandEncoder) -> Result<Pending<T>>,
    ) -> Result<T> {
        self.submit_models(Wait::Awaiting, first_task, models)?;
        self.gpu.answer_async(|encoder| ask(self, encoder)).await
    }

    /// Inputs `[T, N, in]` and targets `[T, N, out]` of the support sets of a regression.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn support_rows(&self) -> Result<[Vec<f32>; 2]> {
        now(self.tasks.read_support(Wait::Blocking, &self.gpu, &self.setup.model))
    }

    /// The async twin of [`Adaptation::support_rows`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn support_rows_async(&self) -> Result<[Vec<f32>; 2]> {
        self.tasks.read_support(Wait::Awaiting, &self.gpu, &self.setup.model).await
    }

    /// Inputs `[T, Q, in]` and targets `[T, Q, out]` of the query sets of a regression.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn query_rows(&self) -> Result<[Vec<f32>; 2]> {
        now(self.tasks.read_query(Wait::Blocking, &self.gpu, &self.setup.model))
    }

    /// The async twin of [`Adaptation::query_rows`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn query_rows_async(&self) -> Result<[Vec<f32>; 2]> {
        self.tasks.read_query(Wait::Awaiting, &self.gpu, &self.setup.model).await
    }
}
