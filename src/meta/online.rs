//! Learning from a stream of tasks that have arrived, a few of them at a time.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Passes, Pending, Recording, Wait, now, size_of_f32s};
use crate::kernels::{
    Axis, OuterRule, OuterSum, OuterUpdate, RunStep, RunSteps, broadcast, outer_sum, outer_update,
};
use crate::meta::adaptation::{Adaptation, AdaptationSetup, Starts};
use crate::meta::budget::halving;
use crate::meta::checks;
use crate::meta::source::TaskBuffers;
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
    /// What the tasks that are adapted to at a time add to Δ, if not all are at once.
    sums: Vec<Recording>,
    after: Recording,
    outer_rate: f32,
    /// Of a meta-step, and those that are adapted to at a time.
    tasks: usize,
    at_once: usize,
    visits: u32,
}

impl Leader {
    /// Learns from `tasks` tasks a meta-step, adapted to as `setup` says, with outer rate ε = `outer_rate`, from
    /// `parameters` `[P]` on. Where the device's memory runs out, half as many are adapted to at a time.
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
        halving(tasks, |at_once| {
            Self::with_at_once(gpu, setup.clone(), [tasks, at_once], outer_rate, parameters)
        })
    }

    /// As [`Leader::new`], of which so many tasks are adapted to at a time. The meta-steps are the same.
    ///
    /// # Errors
    /// As [`Leader::new`].
    pub fn with_at_once(
        gpu: &Gpu,
        setup: AdaptationSetup,
        [tasks, at_once]: [usize; 2],
        outer_rate: f32,
        parameters: &[f32],
    ) -> Result<Self> {
        checks::positive("outer_rate", outer_rate)?;
        let at_once = at_once.min(tasks);
        let start = [parameters.to_vec()];
        training_state::check_sets("parameters", &setup.model, start.iter(), 1)?;
        let steps = setup.batches.steps;
        let setup = AdaptationSetup { scored: false, transductive: Vec::new(), ..setup };
        let model = setup.origin.read_by(&setup.model);
        let adaptation = Adaptation::with_starts(gpu, setup, at_once, Starts::Each)?;
        let vectors = model.packed_len() / 4;
        let theta = gpu.storage("parameters", size_of_f32s(model.packed_len()))?;
        let none = || gpu.storage("unused", 0);
        let (anchors, first, second) = (none()?, none()?, none()?);
        let metrics = gpu.storage("metrics", size_of_f32s(steps))?;
        let runs = RunSteps::new(gpu, 1, 1)?;
        let axis = |per_run| Axis { runs: 1, per_run };
        let (mut before, mut after) = (Recording::default(), Recording::default());
        let starts = adaptation.starting_parameters();
        broadcast(gpu, &mut before, axis(at_once), vectors, at_once, None, &runs, &theta, starts)?;
        let summed = at_once < tasks;
        let delta = match summed {
            true => gpu.storage("outer differences", size_of_f32s(model.packed_len()))?,
            false => none()?,
        };
        let mut sums = Vec::new();
        for first in (0..tasks).step_by(at_once.max(1)).filter(|_| summed) {
            let sum = OuterSum {
                axis: axis(at_once.min(tasks - first)),
                vectors,
                steps,
                columns: steps,
                guard: 0.0,
                fomaml: false,
                begins: first == 0,
                adapted: adaptation.parameters(),
                anchors: &anchors,
                theta: &theta,
                sums: &delta,
                losses: adaptation.losses(),
                metrics: &metrics,
            };
            let mut recording = Recording::default();
            outer_sum(gpu, &mut recording, &runs, &sum)?;
            sums.push(recording);
        }
        let update = OuterUpdate {
            rule: OuterRule::INTERPOLATION,
            axis: axis(tasks),
            vectors,
            steps,
            columns: steps,
            guard: 0.0,
            fomaml: false,
            summed,
            capacity: 0,
            adapted: if summed { &delta } else { adaptation.parameters() },
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
            sums,
            after,
            outer_rate,
            tasks,
            at_once,
            visits: 0,
        })
    }

    /// Goes on as behind so many more meta-steps: the minibatches of the next one are drawn as those of the step behind them.
    pub fn skip(&mut self, steps: u64) {
        // Visits are counted modulo 2³².
        self.visits = self.visits.wrapping_add(steps as u32);
    }

    /// The batch of those that are adapted to at a time; [`Leader::step_on`] fills its buffers where not all are.
    pub fn adaptation(&self) -> &Adaptation {
        &self.adaptation
    }

    /// Takes a meta-step on the tasks with the numbers `tasks`, and waits for the device.
    ///
    /// # Errors
    /// As [`Leader::record`], and [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn step(&mut self, tasks: &[u32]) -> Result<()> {
        self.step_on(tasks, |_, _| Ok(()))
    }

    /// As [`Leader::step`], on tasks whose examples `fill` puts into the buffers: it is told the numbers of the tasks that they are for,
    /// once for all tasks or, where the device has not the memory for all at once, for some after the others.
    ///
    /// # Errors
    /// As [`Leader::step`], and those of `fill`.
    pub fn step_on(
        &mut self,
        tasks: &[u32],
        fill: impl FnMut(&TaskBuffers, &[u32]) -> Result<()>,
    ) -> Result<()> {
        now(self.step_on_by(Wait::Blocking, tasks, fill))
    }

    /// The async twin of [`Leader::step_on`].
    ///
    /// # Errors
    /// As [`Leader::step_on`].
    pub async fn step_on_async(
        &mut self,
        tasks: &[u32],
        fill: impl FnMut(&TaskBuffers, &[u32]) -> Result<()>,
    ) -> Result<()> {
        self.step_on_by(Wait::Awaiting, tasks, fill).await
    }

    async fn step_on_by(
        &mut self,
        wait: Wait,
        tasks: &[u32],
        mut fill: impl FnMut(&TaskBuffers, &[u32]) -> Result<()>,
    ) -> Result<()> {
        self.check(tasks)?;
        let settings = self.settings();
        for part in 0..self.parts() {
            let numbers = self.numbers_of(tasks, part);
            fill(self.adaptation.tasks(), &numbers)?;
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            self.record_part(&mut encoder, part, &numbers, &settings)?;
            self.gpu.submit(encoder.finish());
        }
        self.visits = self.visits.wrapping_add(1);
        wait.until_done(&self.gpu).await
    }

    /// The async twin of [`Leader::step`].
    ///
    /// # Errors
    /// As [`Leader::step`].
    pub async fn step_async(&mut self, tasks: &[u32]) -> Result<()> {
        self.step_on_async(tasks, |_, _| Ok(())).await
    }

    /// Records a meta-step on the tasks with the numbers `tasks` into the caller's encoder; neither submits nor waits.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if they are not as many as [`Leader::new`] was told, [`crate::Error::DeviceLost`].
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, tasks: &[u32]) -> Result<()> {
        self.check(tasks)?;
        let settings = self.settings();
        for part in 0..self.parts() {
            self.record_part(encoder, part, &self.numbers_of(tasks, part), &settings)?;
        }
        self.visits = self.visits.wrapping_add(1);
        Ok(())
    }

    fn check(&self, tasks: &[u32]) -> Result<()> {
        let (given, wanted) = (tasks.len(), self.tasks);
        if given != wanted {
            let message = format!(
                "{given} numbers are given for a meta-step on {wanted} tasks; give one for each"
            );
            return Err(Error::config("tasks", message));
        }
        Ok(())
    }

    /// How often some of the tasks are adapted to in a meta-step.
    fn parts(&self) -> usize {
        self.sums.len().max(1)
    }

    /// The numbers of the tasks of a part. The last one's first task fills the places that are left, and is not counted again.
    fn numbers_of(&self, tasks: &[u32], part: usize) -> Vec<u32> {
        let at_once = self.at_once;
        let own = &tasks[part * at_once..tasks.len().min((part + 1) * at_once)];
        let spare = own.first().copied().unwrap_or_default();
        (0..at_once).map(|place| own.get(place).copied().unwrap_or(spare)).collect()
    }

    fn settings(&self) -> [RunStep; 1] {
        let axis = Axis { runs: 1, per_run: self.tasks };
        let phase = self.adaptation.phase();
        [RunStep { outer_rate: self.outer_rate, ..RunStep::new(0, phase, axis) }]
    }

    /// Records the adaptation to the tasks of one part, what is before it and what is behind it.
    fn record_part(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        part: usize,
        numbers: &[u32],
        settings: &[RunStep],
    ) -> Result<()> {
        let offset = self.runs.record(&self.gpu, encoder, 0, settings)?;
        if part == 0 {
            self.before.replay(&mut Passes::new(encoder, "reptile"), offset);
        }
        self.adaptation.record_tasks(encoder, numbers, self.visits)?;
        if let Some(sum) = self.sums.get(part) {
            sum.replay(&mut Passes::new(encoder, "reptile"), offset);
        }
        if part + 1 == self.parts() {
            self.after.replay(&mut Passes::new(encoder, "reptile"), offset);
        }
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
