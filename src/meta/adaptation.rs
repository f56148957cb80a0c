//! Adapting to many tasks at once from given parameters: evaluation, and the user's own tasks.

mod results;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Memory, Recording, size_of_f32s};
use crate::kernels::{Axis, InnerRule, RunStep, RunSteps, broadcast};
use crate::meta::inner::{InnerLoop, Start, plan_layers, plan_sets};
use crate::meta::query::{QueryBatches, QueryPass};
use crate::meta::source::{Origin, TaskBuffers};
use crate::meta::spec::PlanKind;
use crate::meta::trainer::Trainer;
use crate::meta::training_state::{self, StartingPoint};
use crate::model::Model;
use crate::optimizers::Kept;
use crate::rng::Phase;
use crate::tasks::Batches;

/// How tasks are adapted to.
#[derive(Clone, Debug)]
pub struct AdaptationSetup {
    /// The network that is adapted.
    pub model: Model,
    /// The inner optimiser.
    pub rule: InnerRule,
    /// Inner rate α.
    pub rate: f32,
    /// Factor on all parameters before each inner step; 1 = off.
    pub weight_decay: f32,
    /// Whether inner loops run fused or layered.
    pub plan: PlanKind,
    /// Inner steps, and how a task's support examples become their minibatches.
    pub batches: Batches,
    /// Where the tasks come from: drawn on the device or uploaded.
    pub origin: Origin,
    /// Which stream tasks (or the order of their minibatches) come from.
    pub phase: Phase,
    /// Seed of the stream.
    pub seed: u64,
    /// Whether tasks have query targets, so that loss and accuracy are wanted.
    pub scored: bool,
    /// The modes in which queries are predicted, one or both: `true` where the queries of a task share
    /// one batch, and with it the statistics of batch-norms; `false` where each has a batch of its own
    /// with the task's support set.
    pub transductive: Vec<bool>,
}

impl AdaptationSetup {
    /// In which batches the queries of `tasks` tasks are predicted, for each mode. Without batch
    /// statistics a query does not depend on the others, and one batch is the least work.
    fn query_batches(&self, tasks: usize) -> impl Iterator<Item = QueryBatches> {
        let queries = self.origin.queries(self.batches.way);
        self.transductive.iter().map(move |transductive| {
            let alone = self.model.has_batch_statistics() && !transductive;
            QueryBatches { tasks, queries, support: alone.then(|| self.batches.support()) }
        })
    }
}

/// What the T tasks of a batch start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// All from one starting point.
    One,
    /// Each from its own.
    Each,
    /// All of them from each of so many: the batch has T tasks for each.
    All(usize),
}

/// Loss and accuracy of one task's queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean loss over the task's queries.
    pub loss: f32,
    /// Share of right answers; 0 for regression.
    pub accuracy: f32,
}

/// Predictions of all queries in one mode.
#[derive(Debug)]
struct Prediction {
    batches: QueryBatches,
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
    adam_steps: u64,
    /// For each mode; none without queries.
    predictions: Vec<Prediction>,
    recording: Recording,
    /// The dispatches of the recording that are the inner loops.
    inner_loops: Range<usize>,
}

impl Adaptation {
    /// Tasks that one batch may hold on this device, at most `wanted`.
    pub fn batch_size(gpu: &Gpu, setup: &AdaptationSetup, wanted: usize) -> usize {
        // A CPU is faster on what its caches hold.
        let total = if gpu.profile().software { 1 << 27 } else { 1 << 30 };
        let model = &setup.origin.read_by(&setup.model);
        let mut one = Memory::default();
        let axis = Axis { runs: 1, per_run: 1 };
        let segments = setup.batches.segments(false, usize::MAX);
        // One task that does not fit is refused by `new`.
        plan_sets(&mut one, model, setup.rule, axis, &segments);
        let _ = plan_layers(&mut one, gpu, model, axis, &segments, PlanKind::Layered);
        let modes: Vec<QueryBatches> = setup.query_batches(1).collect();
        let passes = 1 + usize::from(setup.scored);
        for queries in modes.iter().cycle().take(passes * modes.len()) {
            QueryPass::plan(&mut one, model, *queries);
        }
        TaskBuffers::plan(&mut one, model, &setup.origin, axis, &setup.batches, &modes);
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
    /// As [`crate::meta::Trainer::new`].
    pub fn new(gpu: &Gpu, setup: AdaptationSetup, tasks: usize) -> Result<Self> {
        Self::with_starts(gpu, setup, tasks, Starts::One)
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
        let axis = match starts {
            Starts::One => Axis { runs: 1, per_run: tasks },
            Starts::Each => Axis { runs: tasks, per_run: 1 },
            Starts::All(count) => Axis { runs: count, per_run: tasks },
        };
        let setup = AdaptationSetup { model: setup.origin.read_by(&setup.model), ..setup };
        let model = &setup.model;
        let (origin, batches) = (setup.origin.clone(), setup.batches.clone());
        let buffers = TaskBuffers::new(gpu, model, origin, axis, batches, true)?;
        let inner = InnerLoop::new(gpu, model, setup.rule, &buffers, setup.plan, false, 0)?;
        let set = |name| gpu.storage(name, size_of_f32s(axis.runs * model.packed_len()));
        let prediction = |batches| -> Result<Prediction> {
            let pass = || QueryPass::new(gpu, model, batches);
            let before = setup.scored.then(pass).transpose()?;
            Ok(Prediction { batches, before, after: pass()? })
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
            adam_steps: 0,
            predictions,
            recording: Recording::default(),
            inner_loops: 0..0,
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
        let mut queries = Vec::new();
        for Prediction { batches, after, .. } in &self.predictions {
            let step = after.step();
            queries.push(self.tasks.record_queries(gpu, &mut out, model, *batches, step)?);
        }
        let (theta, runs, tasks) = (&self.inner.theta, &self.runs, self.axis.per_run);
        if self.setup.scored {
            let vectors = model.packed_len() / 4;
            broadcast(gpu, &mut out, self.axis, vectors, tasks, false, runs, &self.theta, theta)?;
        }
        for (prediction, [x, y]) in self.predictions.iter().zip(&queries) {
            if let Some(before) = &prediction.before {
                before.record_forward(gpu, &mut out, model, theta, x)?;
                before.record_loss(gpu, &mut out, model, y)?;
            }
        }
        let state = Some([&self.state[0], &self.state[1]]);
        let rates = self.setup.rule.has_rates().then_some(&self.rates);
        let start = Start { theta: &self.theta, state, rates };
        let first = out.len();
        self.inner.record(gpu, &mut out, runs, &self.tasks, start)?;
        let inner_loops = first..out.len();
        for (Prediction { after, .. }, [x, y]) in self.predictions.iter().zip(&queries) {
            after.record_forward(gpu, &mut out, model, theta, x)?;
            if self.setup.scored {
                after.record_loss(gpu, &mut out, model, y)?;
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

    /// Sets what every task starts from; seen by what is submitted afterwards.
    pub fn start_from(&mut self, start: &StartingPoint) {
        self.start_from_all(&vec![start; self.axis.runs]);
    }

    /// Sets the starting points (at most as many as there are), which have seen equally many inner Adam steps.
    pub fn start_from_each(&mut self, starts: &[StartingPoint]) {
        self.start_from_all(&starts.iter().collect::<Vec<_>>());
    }

    fn start_from_all(&mut self, starts: &[&StartingPoint]) {
        let model = &self.setup.model;
        let constant = |value: f32| vec![value; model.parameter_count()];
        let (rate, refines) = (self.setup.rate, self.refines());
        let upload = |buffer: &wgpu::Buffer, set: &dyn Fn(&StartingPoint) -> Vec<f32>| {
            let sets: Vec<Vec<f32>> = starts.iter().map(|start| set(start)).collect();
            training_state::upload(&self.gpu, model, buffer, &sets);
        };
        upload(&self.theta, &|start| start.parameters.clone());
        // A state that lacks a moment is another rule's: then all of it starts from zero.
        let Kept { first, second } = self.setup.rule.kept();
        let complete = |start: &StartingPoint| {
            let there = |kind: usize| start.state[kind].is_some();
            (there(0) || !second) && (there(1) || !first)
        };
        for (index, buffer) in self.state.iter().enumerate() {
            upload(buffer, &|start| match &start.sums {
                Some([_, squares]) if refines && index == 0 => squares.clone(),
                None if refines && index == 0 => constant(1.0),
                _ if complete(start) => start.state[index].clone().unwrap_or_else(|| constant(0.0)),
                _ => constant(0.0),
            });
        }
        if self.setup.rule.has_rates() {
            upload(&self.rates, &|start| match &start.sums {
                Some([ways, _]) if refines => ways.clone(),
                None if refines => constant(rate * rate),
                _ => start.rates.clone().unwrap_or_else(|| constant(rate)),
            });
        }
        let seen = starts.first().filter(|start| complete(start));
        self.adam_steps = seen.map_or(0, |start| start.adam_steps);
    }

    /// Records that tasks start from what run `run` of `trainer` has learned by then, without a way
    /// over the host.
    ///
    /// # Errors
    /// [`Error::Config`] if the trainer has another network, no such run, an optimiser state for
    /// each slot (a new task has no slot to take it from), or no sums yet for [`InnerRule::Refined`].
    pub fn record_start(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        trainer: &Trainer,
        run: usize,
    ) -> Result<()> {
        if trainer.model().spec() != self.setup.model.spec() {
            return Err(Error::config("model", "the trainer's network is another one"));
        }
        if run >= trainer.runs() {
            let message = format!("there is no run {run}; the trainer has {}", trainer.runs());
            return Err(Error::config("run", message));
        }
        let Some((state, adam_steps)) = trainer.task_state() else {
            let message = "`slot` has no state for a new task; use `mean` or `reset`";
            return Err(Error::config("inner.state", message));
        };
        let sums = trainer.strategy_sums().filter(|_| self.refines() && trainer.iteration() > 0);
        if self.refines() && sums.is_none() {
            let message = "the trainer has no sums of ARUBA yet to go on from";
            return Err(Error::config("strategy.refine", message));
        }
        let bytes = size_of_f32s(self.setup.model.packed_len());
        let Kept { first, second } = self.setup.rule.kept();
        let copy = |encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, to: &wgpu::Buffer| {
            encoder.copy_buffer_to_buffer(from, run as u64 * bytes, to, 0, Some(bytes));
        };
        copy(encoder, trainer.parameters(), &self.theta);
        if let Some([ways, squares]) = sums {
            copy(encoder, ways, &self.rates);
            copy(encoder, squares, &self.state[0]);
            return Ok(());
        }
        if let Some(rates) = trainer.rates().filter(|_| self.setup.rule.has_rates()) {
            copy(encoder, rates, &self.rates);
        }
        // Another optimiser would take the moments for something else.
        let same = trainer.setup().rule().goes_on_from(&self.setup.rule);
        let moments = [second, first].into_iter().zip(state).zip(&self.state);
        for ((_, from), to) in moments.filter(|((used, _), _)| *used) {
            if same {
                copy(encoder, from, to);
            } else {
                encoder.clear_buffer(to, 0, None);
            }
        }
        self.adam_steps = if same { adam_steps } else { 0 };
        Ok(())
    }

    /// Records the adaptation to all tasks of the batch; neither submits nor waits. `first_task`
    /// is the number of the batch's first task in its stream; it is written through the queue, so submit
    /// the encoder before the next batch is recorded.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, first_task: usize) {
        let offset = self.write_settings(first_task);
        self.record_part(encoder, offset, 0..self.recording.len());
    }

    /// Records the adaptation to the tasks with the numbers `tasks`, one for each starting point, in the order of
    /// minibatches of their `visit`; as [`Adaptation::record`].
    ///
    /// # Panics
    /// If the batch was not made for [`Starts::Each`], or of another number of tasks.
    pub fn record_tasks(&self, encoder: &mut wgpu::CommandEncoder, tasks: &[u32], visit: u32) {
        assert_eq!((self.starts, tasks.len()), (Starts::Each, self.axis.runs), "a start for each");
        let offset = self.write_numbers(|start| tasks[start], visit);
        self.record_part(encoder, offset, 0..self.recording.len());
    }

    /// [T, K]: the support losses on the device.
    pub(super) fn losses(&self) -> &wgpu::Buffer {
        &self.inner.losses
    }

    /// Which stream tasks come from.
    pub(super) fn phase(&self) -> Phase {
        self.setup.phase
    }

    /// Where each of the tasks starts: `[starts, packed]`.
    pub(super) fn starting_parameters(&self) -> &wgpu::Buffer {
        &self.theta
    }

    /// Tells the kernels what to start from; returns where the settings are.
    fn write_settings(&self, first_task: usize) -> u32 {
        let number = |start: usize| match self.starts {
            Starts::Each => first_task + start,
            Starts::One | Starts::All(_) => first_task,
        };
        self.write_numbers(|start| number(start) as u32, 0)
    }

    fn write_numbers(&self, first_task: impl Fn(usize) -> u32, visit: u32) -> u32 {
        let step = |start: usize| RunStep {
            first_task: first_task(start),
            visit,
            adam_steps: self.adam_steps.min(u64::from(u32::MAX / 2)) as u32,
            inner_rate: self.setup.rate,
            weight_decay: self.setup.weight_decay,
            ..RunStep::new(self.setup.seed, self.setup.phase, self.axis)
        };
        let steps: Vec<RunStep> = (0..self.axis.runs).map(step).collect();
        self.runs.write(&self.gpu, 0, &steps)
    }

    fn record_part(&self, encoder: &mut wgpu::CommandEncoder, offset: u32, part: Range<usize>) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("reptile adaptation"),
            timestamp_writes: None,
        });
        self.recording.replay_part(&mut pass, offset, part);
    }

    /// Adapts to all tasks of the batch and waits for the device, a part of the dispatches at a time,
    /// so that no driver's watchdog fires.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn run(&self, first_task: usize) -> Result<()> {
        self.run_part(first_task, 0..self.recording.len())
    }

    /// The same with parameters `models` (at most T, `[P]` each) in place of an adaptation: what the queries of
    /// the tasks say of them.
    ///
    /// # Errors
    /// As [`Adaptation::run`].
    pub fn run_models(&self, first_task: usize, models: &[Vec<f32>]) -> Result<()> {
        self.run_part(first_task, 0..self.inner_loops.start)?;
        training_state::upload(&self.gpu, &self.setup.model, &self.inner.theta, models);
        self.run_part(first_task, self.inner_loops.end..self.recording.len())
    }

    fn run_part(&self, first_task: usize, part: Range<usize>) -> Result<()> {
        const DISPATCHES: usize = 64;
        let offset = self.write_settings(first_task);
        for first in part.clone().step_by(DISPATCHES) {
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            self.record_part(&mut encoder, offset, first..part.end.min(first + DISPATCHES));
            self.gpu.queue().submit([encoder.finish()]);
            self.gpu.wait()?;
        }
        Ok(())
    }
}
