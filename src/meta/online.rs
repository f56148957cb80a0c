//! Learning from a stream of tasks that have arrived, a few of them at a time.

use crate::error::Result;
use crate::gpu::{Gpu, Passes, Pending, Recording, Wait, now, size_of_f32s};
use crate::kernels::{Axis, OuterRule, OuterUpdate, RunStep, RunSteps, broadcast, outer_update};
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Starts};
use crate::meta::checks;
use crate::meta::training_state;
use crate::model::Model;

/// A learner that follows the meta-leader (Finn et al. 2019, arXiv 1902.08438): Reptile's meta-steps on tasks that
/// are named by their numbers, all on the device. The inner optimiser starts from zero for every task.
#[derive(Debug)]
pub struct Leader {
    gpu: Gpu,
    model: Model,
    adaptation: Adaptation,
    /// `[packed]`
    theta: wgpu::Buffer,
    runs: RunSteps,
    before: Recording,
    after: Recording,
    outer_rate: f32,
    tasks: usize,
    visits: u32,
}

impl Leader {
    /// Learns from `tasks` tasks a meta-step, adapted to as `setup` says, with outer rate ε = `outer_rate`, from
    /// `parameters` `[P]` on.
    ///
    /// # Errors
    /// As [`Adaptation::new`]; [`crate::Error::Config`] for an impossible rate, and if `parameters` are not those of the
    /// network.
    pub fn new(
        gpu: &Gpu,
        setup: AdaptationSetup,
        tasks: usize,
        outer_rate: f32,
        parameters: &[f32],
    ) -> Result<Self> {
        checks::positive("outer_rate", outer_rate)?;
        let start = [parameters.to_vec()];
        training_state::check_sets("parameters", &setup.model, start.iter(), 1)?;
        let steps = setup.batches.steps;
        let setup = AdaptationSetup { scored: false, transductive: Vec::new(), ..setup };
        let model = setup.origin.read_by(&setup.model);
        let adaptation = Adaptation::with_starts(gpu, setup, tasks, Starts::Each)?;
        let vectors = model.packed_len() / 4;
        let theta = gpu.storage("parameters", size_of_f32s(model.packed_len()))?;
        let none = || gpu.storage("unused", 0);
        let (anchors, first, second) = (none()?, none()?, none()?);
        let metrics = gpu.storage("metrics", size_of_f32s(steps))?;
        let runs = RunSteps::new(gpu, 1, 1)?;
        let axis = Axis { runs: 1, per_run: tasks };
        let (mut before, mut after) = (Recording::default(), Recording::default());
        let starts = adaptation.starting_parameters();
        broadcast(gpu, &mut before, axis, vectors, tasks, None, &runs, &theta, starts)?;
        let update = OuterUpdate {
            rule: OuterRule::INTERPOLATION,
            axis,
            vectors,
            steps,
            columns: steps,
            guard: 0.0,
            fomaml: false,
            summed: false,
            capacity: 0,
            adapted: adaptation.parameters(),
            anchors: &anchors,
            theta: &theta,
            first: &first,
            second: &second,
            losses: adaptation.losses(),
            metrics: &metrics,
        };
        outer_update(gpu, &mut after, &runs, &update)?;
        training_state::upload(gpu, &model, &theta, &start);
        let gpu = gpu.clone();
        Ok(Self {
            gpu,
            model,
            adaptation,
            theta,
            runs,
            before,
            after,
            outer_rate,
            tasks,
            visits: 0,
        })
    }

    /// Goes on as behind so many more meta-steps: the minibatches of the next one are drawn as those of the step behind them.
    pub fn skip(&mut self, steps: u64) {
        // Visits are counted modulo 2³².
        self.visits = self.visits.wrapping_add(steps as u32);
    }

    /// The tasks' buffers, for uploads.
    pub fn adaptation(&self) -> &Adaptation {
        &self.adaptation
    }

    /// Takes a meta-step on the tasks with the numbers `tasks`, and waits for the device.
    ///
    /// # Errors
    /// As [`Leader::record`], and [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn step(&mut self, tasks: &[u32]) -> Result<()> {
        now(self.step_by(Wait::Blocking, tasks))
    }

    /// The async twin of [`Leader::step`].
    ///
    /// # Errors
    /// As [`Leader::step`].
    pub async fn step_async(&mut self, tasks: &[u32]) -> Result<()> {
        self.step_by(Wait::Awaiting, tasks).await
    }

    async fn step_by(&mut self, wait: Wait, tasks: &[u32]) -> Result<()> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.record(&mut encoder, tasks)?;
        self.gpu.submit(encoder.finish());
        wait.until_done(&self.gpu).await
    }

    /// Records a meta-step on the tasks with the numbers `tasks` into the caller's encoder; neither submits nor waits.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if they are not as many as [`Leader::new`] was told, [`crate::Error::DeviceLost`].
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, tasks: &[u32]) -> Result<()> {
        let axis = Axis { runs: 1, per_run: self.tasks };
        let phase = self.adaptation.phase();
        let step = RunStep { outer_rate: self.outer_rate, ..RunStep::new(0, phase, axis) };
        let offset = self.runs.record(&self.gpu, encoder, 0, &[step])?;
        self.before.replay(&mut Passes::new(encoder, "reptile"), offset);
        self.adaptation.record_tasks(encoder, tasks, self.visits)?;
        self.after.replay(&mut Passes::new(encoder, "reptile"), offset);
        self.visits = self.visits.wrapping_add(1);
        Ok(())
    }

    /// The parameters, `[P]`.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        self.gpu.answer(|encoder| self.ask_parameters(encoder))
    }

    /// Asks for the parameters, `[P]`, as they are at this place of `encoder`.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room to bring them.
    pub fn ask_parameters(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Pending<Vec<f32>>> {
        let sets = training_state::ask(&self.gpu, encoder, &self.model, &self.theta, 0..1)?;
        Ok(sets.and_then(|mut sets| Ok(sets.swap_remove(0))))
    }
}
