//! Adapting to many tasks at once from given parameters: evaluation, and the user's own tasks.

mod results;
mod setup;
mod sizes;
mod starts;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Memory, Passes, Preparing, Recording, Wait, size_of_f32s};
use crate::kernels::{Axis, InnerRule, RunStep, RunSteps, broadcast, loss_numbers};
use crate::meta::inner::{InnerLoop, Start, plan_layers, set_buffers};
use crate::meta::query::{QueryBatches, QueryPass};
use crate::meta::source::TaskBuffers;
use crate::meta::spec::PlanKind;
use crate::meta::training_state;
use crate::rng::Phase;

pub use setup::{AdaptationSetup, Starts};

/// Loss and accuracy of one task's queries.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// Mean loss over the task's queries.
    pub loss: f32,
    /// Share of right answers; 0 for regression.
    pub accuracy: f32,
    /// Queries.
    pub queries: u32,
}

impl Score {
    /// A loss and a share of right answers over so many queries.
    pub fn new(loss: f32, accuracy: f32, queries: u32) -> Self {
        Self { loss, accuracy, queries }
    }

    /// Right answers: shares are rounded, and these are compared.
    pub fn right(&self) -> u64 {
        (f64::from(self.accuracy) * f64::from(self.queries)).round() as u64
    }
}

/// Predictions of all queries in one mode.
#[derive(Debug)]
struct Prediction {
    batches: QueryBatches,
    /// The queries in their batches: inputs and targets.
    rows: [wgpu::Buffer; 2],
    /// Only where scores are wanted.
    before: Option<QueryPass>,
    after: QueryPass,
}

/// A batch of T tasks that are adapted to in one submission.
#[derive(Debug)]
pub struct Adaptation {
    gpu: Gpu,
    setup: AdaptationSetup,
    starts: Starts,
    /// Starting points, and tasks of each.
    axis: Axis,
    tasks: TaskBuffers,
    inner: InnerLoop,
    runs: RunSteps,
    /// `[starts, packed]` each; the first state is g and the rates are b where ARUBA++ goes on from them.
    theta: wgpu::Buffer,
    state: [wgpu::Buffer; 2],
    rates: wgpu::Buffer,
    /// What masks spare outputs in a set of parameters, and at which byte.
    mask: Option<(wgpu::Buffer, u64)>,
    adam_steps: u64,
    /// For each mode; none without queries.
    predictions: Vec<Prediction>,
    recording: Recording,
    /// The dispatches of the recording that are the inner loops.
    inner_loops: Range<usize>,
    /// The same two for a full batch, where this one is not, or for the other way round; none before it is needed.
    spare: Option<(Recording, Range<usize>)>,
}

impl Adaptation {
    /// Tasks that one batch may hold on this device, at most `wanted`.
    pub fn batch_size(gpu: &Gpu, setup: &AdaptationSetup, wanted: usize) -> usize {
        if setup.check(1, Starts::One).is_err() {
            // `new` says why.
            return 1;
        }
        // A CPU is faster on what its caches hold.
        let total = if gpu.profile().software { 1 << 27 } else { 1 << 30 };
        let model = &setup.origin.read_by(&setup.model);
        let mut one = Memory::on(gpu);
        let axis = Axis { runs: 1, per_run: 1 };
        let segments = setup.batches.segments(false, usize::MAX);
        // One task that does not fit is refused by `new`.
        set_buffers(model, setup.rule, axis, &segments).plan(&mut one);
        let _ = plan_layers(&mut one, gpu, model, axis, &segments, PlanKind::Layered);
        let modes: Vec<QueryBatches> = setup.query_batches(1).collect();
        let passes = 1 + usize::from(setup.scored);
        for queries in modes.iter().cycle().take(passes * modes.len()) {
            QueryPass::plan(&mut one, model, *queries);
        }
        TaskBuffers::plan(&mut one, gpu, model, &setup.origin, axis, &setup.batches, &modes);
        // The parameters, and the largest batch of queries.
        one.read(size_of_f32s(model.packed_len()));
        let queries = modes.iter().map(|queries| queries.count() * queries.examples()).max();
        one.read(size_of_f32s(queries.unwrap_or(0) * model.input_words()));
        let profile = gpu.profile();
        let batches = modes.iter().map(|queries| queries.per_task() as u64).max();
        let most = (profile.largest_binding / one.largest().max(1))
            .min(total / one.total().max(1))
            .min(u64::from(profile.largest_grid) / batches.unwrap_or(1).max(1));
        wanted.min(most as usize).max(1)
    }

    /// Allocates a batch of `tasks` tasks and records what adapts to them.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is impossible or there are 0 tasks; else as [`crate::meta::Trainer::new`].
    pub fn new(gpu: &Gpu, setup: AdaptationSetup, tasks: usize) -> Result<Self> {
        Self::with_starts(gpu, setup, tasks, Starts::One)
    }

    /// The same as [`Adaptation::new`], whose kernels are compiled one by one.
    ///
    /// # Errors
    /// As [`Adaptation::new`]; a kernel that is refused is an error of [`Preparing`].
    pub fn prepare(gpu: &Gpu, setup: AdaptationSetup, tasks: usize) -> Result<Preparing<Self>> {
        Preparing::new(gpu, |deferring| {
            Ok(Self { gpu: gpu.clone(), ..Self::new(deferring, setup, tasks)? })
        })
    }

    /// The same with other starting points than one for all.
    ///
    /// # Errors
    /// As [`Adaptation::new`].
    pub fn with_starts(
        gpu: &Gpu,
        setup: AdaptationSetup,
        tasks: usize,
        starts: Starts,
    ) -> Result<Self> {
        gpu.guarded(|| Self::make(gpu, setup, tasks, starts))
    }

    fn make(gpu: &Gpu, setup: AdaptationSetup, tasks: usize, starts: Starts) -> Result<Self> {
        let axis = setup.check(tasks, starts)?;
        let setup = AdaptationSetup { model: setup.origin.read_by(&setup.model), ..setup };
        let model = &setup.model;
        let (origin, batches) = (setup.origin.clone(), setup.batches.clone());
        let buffers = TaskBuffers::new(gpu, model, origin, axis, batches, true)?;
        let work = setup.expected_tasks.saturating_mul(setup.batches.steps) as u64;
        let inner = InnerLoop::new(gpu, model, setup.rule, &buffers, setup.plan, false, work)?;
        let set = |name| gpu.storage(name, size_of_f32s(axis.runs * model.packed_len()));
        let prediction = |batches| -> Result<Prediction> {
            let pass = || QueryPass::new(gpu, model, batches);
            let before = setup.scored.then(pass).transpose()?;
            let rows = buffers.query_buffers(gpu, model, batches)?;
            Ok(Prediction { batches, rows, before, after: pass()? })
        };
        let wanted = setup.query_batches(axis.tasks()).filter(|batches| batches.queries > 0);
        let predictions = wanted.map(prediction).collect::<Result<_>>()?;
        let mut adaptation = Self {
            gpu: gpu.clone(),
            starts,
            axis,
            inner,
            runs: RunSteps::new(gpu, axis.runs, 1)?,
            theta: set("starting parameters")?,
            state: [set("starting second moments")?, set("starting first moments")?],
            rates: match setup.rule.has_rates() {
                true => set("learned rates")?,
                false => gpu.storage("learned rates", 0)?,
            },
            mask: starts::mask(gpu, &setup)?,
            adam_steps: 0,
            predictions,
            recording: Recording::default(),
            inner_loops: 0..0,
            spare: None,
            tasks: buffers,
            setup,
        };
        (adaptation.recording, adaptation.inner_loops) = adaptation.record_all()?;
        Ok(adaptation)
    }

    fn record_all(&self) -> Result<(Recording, Range<usize>)> {
        let (gpu, model) = (&self.gpu, &self.setup.model);
        let mut out = Recording::default();
        self.tasks.record_sample(gpu, &mut out, &self.runs)?;
        for Prediction { batches, rows, after, .. } in &self.predictions {
            self.tasks.record_queries(gpu, &mut out, model, *batches, after.step(), rows)?;
        }
        let told = self.tasks.is_told().then_some(&self.runs);
        let (theta, runs, tasks) = (&self.inner.theta, &self.runs, self.axis.per_run);
        if self.setup.scored {
            let vectors = model.packed_len() / 4;
            broadcast(gpu, &mut out, self.axis, vectors, tasks, None, runs, &self.theta, theta)?;
        }
        for Prediction { rows: [x, y], before, .. } in &self.predictions {
            if let Some(before) = before {
                before.record_forward(gpu, &mut out, model, theta, x)?;
                before.record_loss(gpu, &mut out, model, y, told)?;
            }
        }
        let state = Some([&self.state[0], &self.state[1]]);
        let rates = self.setup.rule.has_rates().then_some(&self.rates);
        let start = Start { theta: &self.theta, state, rates };
        let first = out.len();
        self.inner.record(gpu, &mut out, runs, &self.tasks, start)?;
        let inner_loops = first..out.len();
        for Prediction { rows: [x, y], after, .. } in &self.predictions {
            after.record_forward(gpu, &mut out, model, theta, x)?;
            if self.setup.scored {
                after.record_loss(gpu, &mut out, model, y, told)?;
            }
        }
        Ok((out, inner_loops))
    }

    /// Whether learned rates go on from the sums of ARUBA.
    fn refines(&self) -> bool {
        matches!(self.setup.rule, InnerRule::Refined { .. })
    }

    /// The tasks' buffers, for uploads.
    pub fn tasks(&self) -> &TaskBuffers {
        &self.tasks
    }

    /// The plan of the inner loops.
    pub fn plan(&self) -> PlanKind {
        self.inner.kind()
    }

    /// The adapted parameters on the device: `[T, packed]` floats in the layout of [`crate::model`].
    pub fn parameters(&self) -> &wgpu::Buffer {
        &self.inner.theta
    }

    /// The support losses on the device, [T, K]: of each minibatch, before its step.
    pub fn losses(&self) -> &wgpu::Buffer {
        &self.inner.losses
    }

    /// Records the adaptation to all tasks of the batch; neither submits nor waits. `first_task`
    /// is the number of the batch's first task in its stream; it is part of what is recorded, so that several batches
    /// may be recorded before the first is submitted. What is uploaded counts as it is when they are submitted.
    ///
    /// # Errors
    /// [`Error::Config`] for a task beyond the last that the device counts (2³² − 1); [`Error::DeviceLost`].
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, first_task: usize) -> Result<()> {
        let steps = self.settings(first_task)?;
        let offset = self.runs.record(&self.gpu, encoder, 0, &steps)?;
        self.record_part(encoder, offset, 0..self.recording.len());
        Ok(())
    }

    /// Records the adaptation to the tasks with the numbers `tasks`, one for each starting point, in the order of
    /// minibatches of their `visit`; as [`Adaptation::record`].
    ///
    /// # Errors
    /// [`Error::Config`] if the batch was not made for [`Starts::Each`], or of another number of tasks;
    /// [`Error::DeviceLost`].
    pub fn record_tasks(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tasks: &[u32],
        visit: u32,
    ) -> Result<()> {
        if self.starts != Starts::Each {
            let message = "the batch has no start for each task; make it with `Starts::Each`";
            return Err(Error::config("starts", message));
        }
        if tasks.len() != self.axis.runs {
            let message = format!(
                "{} numbers are given for a batch of {} tasks; give one for each",
                tasks.len(),
                self.axis.runs
            );
            return Err(Error::config("tasks", message));
        }
        let steps = self.numbered(|start| tasks[start], visit);
        let offset = self.runs.record(&self.gpu, encoder, 0, &steps)?;
        self.record_part(encoder, offset, 0..self.recording.len());
        Ok(())
    }

    /// Which stream tasks come from.
    pub(super) fn phase(&self) -> Phase {
        self.setup.phase
    }

    /// Where each of the tasks starts: `[starts, packed]`.
    pub(super) fn starting_parameters(&self) -> &wgpu::Buffer {
        &self.theta
    }

    /// What the kernels need to know of a batch whose first task has the number `first_task`.
    fn settings(&self, first_task: usize) -> Result<Vec<RunStep>> {
        let numbers = match self.starts {
            Starts::Each => self.axis.runs,
            Starts::One | Starts::All(_) => self.axis.per_run,
        };
        if u32::try_from(first_task.saturating_add(numbers)).is_err() {
            let message = format!(
                "{numbers} tasks from number {first_task} on; the device counts up to {}",
                u32::MAX
            );
            return Err(Error::config("first_task", message));
        }
        let number = |start: usize| match self.starts {
            Starts::Each => first_task + start,
            Starts::One | Starts::All(_) => first_task,
        };
        Ok(self.numbered(|start| number(start) as u32, 0))
    }

    fn numbered(&self, first_task: impl Fn(usize) -> u32, visit: u32) -> Vec<RunStep> {
        let [support, queries] = self.tasks.used();
        let (rows, model) = (self.tasks.minibatch(), &self.setup.model);
        let scale = |rows| 1.0 / loss_numbers(model.loss(), rows, model.outputs()) as f32;
        let step = |start: usize| RunStep {
            first_task: first_task(start),
            visit,
            support: support as u32,
            rows: rows as u32,
            queries: queries as u32,
            loss_scale: scale(rows),
            query_scale: scale(queries),
            adam_steps: self.adam_steps.min(u64::from(u32::MAX / 2)) as u32,
            inner_rate: self.setup.rate,
            weight_decay: self.setup.weight_decay,
            ..RunStep::new(self.setup.seed, self.setup.phase, self.axis)
        };
        (0..self.axis.runs).map(step).collect()
    }

    fn record_part(&self, encoder: &mut wgpu::CommandEncoder, offset: u32, part: Range<usize>) {
        let mut passes = Passes::new(encoder, "reptile adaptation");
        self.recording.replay_part(&mut passes, offset, part);
    }

    /// Adapts to all tasks of the batch and waits for the device, a part of the dispatches at a time,
    /// so that no driver's watchdog fires.
    ///
    /// # Errors
    /// [`Error::Config`] for a task beyond the last that the device counts, [`Error::DeviceLost`] if the device does not
    /// answer.
    pub fn run(&self, first_task: usize) -> Result<()> {
        self.submit_all(Wait::Blocking, first_task)?;
        self.gpu.wait()
    }

    /// Submits the whole adaptation: what is asked for next is there once it has run.
    pub(super) fn submit_all(&self, wait: Wait, first_task: usize) -> Result<()> {
        self.submit_part(wait, first_task, 0..self.recording.len())
    }

    /// The same with parameters `models` (at most T, `[P]` each) in place of an adaptation: what the queries of
    /// the tasks say of them.
    ///
    /// # Errors
    /// As [`Adaptation::run`]; [`Error::Config`] if there are more models than tasks, or one is not as long as the
    /// network's parameters.
    pub fn run_models(&self, first_task: usize, models: &[Vec<f32>]) -> Result<()> {
        self.submit_models(Wait::Blocking, first_task, models)?;
        self.gpu.wait()
    }

    pub(super) fn submit_models(
        &self,
        wait: Wait,
        first_task: usize,
        models: &[Vec<f32>],
    ) -> Result<()> {
        let (model, tasks) = (&self.setup.model, self.axis.tasks());
        training_state::check_sets("models", model, models.iter(), tasks)?;
        self.submit_part(wait, first_task, 0..self.inner_loops.start)?;
        let models: Vec<_> = models.iter().map(|own| self.masked(own.clone())).collect();
        training_state::upload(&self.gpu, model, &self.inner.theta, &models);
        self.submit_part(wait, first_task, self.inner_loops.end..self.recording.len())
    }

    fn submit_part(&self, wait: Wait, first_task: usize, part: Range<usize>) -> Result<()> {
        const DISPATCHES: usize = 64;
        let mut before = None;
        let offset = self.runs.write(&self.gpu, 0, &self.settings(first_task)?);
        for first in part.clone().step_by(DISPATCHES) {
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            self.record_part(&mut encoder, offset, first..part.end.min(first + DISPATCHES));
            let submission = self.gpu.submit(encoder.finish());
            // The device has one part to do while the next is recorded, and no more.
            let before = before.replace(submission);
            if wait == Wait::Blocking && before.is_some() {
                self.gpu.poll(before)?;
            }
        }
        Ok(())
    }
}
