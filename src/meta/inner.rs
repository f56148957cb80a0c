//! The inner loops of all tasks as dispatches, in one of two plans that give the same numbers:
//! `layered` (a dispatch a layer and direction, any size) and `fused` (a task's whole loop in one
//! dispatch, for networks that fit).

mod chunks;
mod smaller;

pub(super) use chunks::chunk_candidates;

use crate::error::{Error, Result};
use crate::gpu::{BufferList, Gpu, Memory, Recording, size_of_f32s};
use crate::kernels::{
    Axis, Batch, FusedLoop, Head, InnerRule, InnerState, InnerStep, InnerSteps, LossCall, Rows,
    RunSteps, Update, broadcast, fused, fused_pays, fused_steps, head, head_fits, loss,
};
use crate::meta::inner::chunks::chunk;
use crate::meta::layers::{Keep, Layers};
use crate::meta::source::TaskBuffers;
use crate::meta::spec::PlanKind;
use crate::model::Model;
use crate::tasks::{Batches, Segment};

/// The adapted parameter sets of a batch of tasks, and the dispatches that make them.
#[derive(Clone, Debug)]
pub struct InnerLoop {
    model: Model,
    rule: InnerRule,
    axis: Axis,
    kind: PlanKind,
    segments: Vec<Segment>,
    /// Tasks that the layered plan takes at a time.
    chunk: usize,
    inner: InnerSteps,
    /// [T, packed]: the tasks' parameters.
    pub theta: wgpu::Buffer,
    /// [T, packed]: the tasks' parameters before the last of several segments.
    pub anchors: wgpu::Buffer,
    /// `[T, packed]` each: the tasks' optimiser state.
    pub state: InnerState,
    /// [T, 2, packed]: Σ g and Σ g² of the inner steps, for telemetry.
    pub seen: Option<wgpu::Buffer>,
    /// [T, K]: the loss of each minibatch before its step.
    pub losses: wgpu::Buffer,
    hits: wgpu::Buffer,
    layers: Layers,
    work: u64,
    /// `[T, B, in]` and targets of one minibatch.
    batch: [wgpu::Buffer; 2],
}

/// A plan and the runs of inner steps that it takes.
pub(super) type Plan = (PlanKind, Vec<Segment>);

/// Where the inner loops start.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// [R, packed]: parameters.
    pub theta: &'a wgpu::Buffer,
    /// [R, packed]: second and first moment that every task starts from; none if the tasks' own
    /// state is used as it is.
    pub state: Option<[&'a wgpu::Buffer; 2]>,
    /// [R, packed]: the rates of a learned strategy, for [`InnerRule::Rates`], or b for [`InnerRule::Refined`].
    pub rates: Option<&'a wgpu::Buffer>,
}

impl InnerLoop {
    /// Chooses the plan and allocates its buffers. `split_last` keeps the parameters before the
    /// last step (FOMAML, or a strategy's query); `work` is the number of task-steps that one run is
    /// expected to take.
    ///
    /// # Errors
    /// [`Error::Config`] for tasks of another network and if `fused` does not fit, [`Error::Limit`] if the device
    /// has no room.
    pub fn new(
        gpu: &Gpu,
        model: &Model,
        rule: InnerRule,
        tasks: &TaskBuffers,
        wanted: PlanKind,
        split_last: bool,
        work: u64,
    ) -> Result<Self> {
        tasks.check_network("tasks", gpu, model)?;
        let axis = tasks.axis();
        let rows = tasks.support_rows().is_some();
        let (kind, segments) = choose(gpu, model, rule, rows, wanted, tasks.batches(), split_last)?;
        let largest = largest_batch(&segments);
        let chunk = if kind == PlanKind::Layered { chunk(gpu, model, axis, largest)? } else { 0 };
        let [theta, anchors, second, first, losses, hits] =
            set_buffers(model, rule, axis, &segments).allocate(gpu)?;
        Ok(Self {
            inner: InnerSteps::new(gpu, &inner_steps(&segments, axis.tasks(), chunk))?,
            theta,
            anchors,
            state: InnerState { second, first },
            seen: None,
            losses,
            hits,
            batch: batch_buffers(model, chunk * largest).allocate(gpu)?,
            layers: Layers::new(gpu, model, Keep::All, chunk, largest)?,
            model: model.clone(),
            rule,
            axis,
            kind,
            segments,
            chunk,
            work,
        })
    }

    /// The same, and keeps what telemetry wants to know of the gradients; for the layered plan alone.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room.
    pub fn seeing(mut self, gpu: &Gpu) -> Result<Self> {
        let [seen] = seen_buffer(&self.model, self.axis).allocate(gpu)?;
        self.seen = Some(seen);
        Ok(self)
    }

    /// The plan that was chosen: `Fused` or `Layered`.
    pub fn kind(&self) -> PlanKind {
        self.kind
    }

    /// Records all inner steps of all tasks; `theta`, `state` and `losses` hold the results.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        runs: &RunSteps,
        tasks: &TaskBuffers,
        start: Start<'_>,
    ) -> Result<()> {
        let stride = self.model.packed_len() / 4;
        let per_run = self.axis.per_run;
        if let Some([second, first]) = start.state {
            let pairs = [
                (self.rule.kept().second, second, &self.state.second),
                (self.rule.kept().first, first, &self.state.first),
            ];
            for (_, shared, own) in pairs.into_iter().filter(|(used, ..)| *used) {
                broadcast(gpu, out, self.axis, stride, per_run, None, runs, shared, own)?;
            }
        }
        tasks.record_support(gpu, out, &self.model, (&self.inner, 0))?;
        let last = self.segments.len() - 1;
        for (index, segment) in self.segments.iter().enumerate() {
            let (from, sharers) =
                if index == 0 { (start.theta, per_run) } else { (&self.anchors, 1) };
            let query = self.rule.of_query().filter(|_| index == last);
            let rule = query.unwrap_or(self.rule);
            let first = if query.is_some() { Some(start.theta) } else { start.rates };
            let first = first.unwrap_or(&self.state.first).clone();
            let state = InnerState { first, second: self.state.second.clone() };
            let (axis, theta, seen) = (self.axis, &self.theta, self.seen.as_ref());
            let step = Update { rule, axis, runs, theta, state: &state, seen };
            if index > 0 {
                broadcast(gpu, out, self.axis, stride, 1, None, runs, &self.theta, from)?;
            }
            match self.kind {
                PlanKind::Fused => {
                    self.record_fused(gpu, out, &step, tasks, *segment, from, sharers)?;
                }
                _ => {
                    let (theta, trained) = (&self.theta, self.layers.trained_vectors().start);
                    broadcast(
                        gpu,
                        out,
                        self.axis,
                        stride,
                        sharers,
                        Some(trained),
                        runs,
                        from,
                        theta,
                    )?;
                    self.record_steps(gpu, out, &step, tasks, *segment)?;
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a segment and where it starts")]
    fn record_fused(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        update: &Update<'_>,
        tasks: &TaskBuffers,
        segment: Segment,
        start: &wgpu::Buffer,
        sharers: usize,
    ) -> Result<()> {
        let support = tasks.support_rows().expect("the plan was chosen for tasks of rows");
        let call = FusedLoop {
            model: &self.model,
            rule: update.rule,
            axis: self.axis,
            batches: tasks.batches(),
            segment,
            some: tasks.is_told(),
            work: self.work,
            sharers,
            order: tasks.order(),
            support,
            start,
            theta: &self.theta,
            state: update.state,
            losses: &self.losses,
        };
        fused(gpu, out, update.runs, &call)
    }

    /// All steps of a segment, one chunk of tasks after another: one step of a chunk is recorded once,
    /// and repeated with the settings of each step and chunk.
    fn record_steps(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        update: &Update<'_>,
        tasks: &TaskBuffers,
        segment: Segment,
    ) -> Result<()> {
        let (all, steps) = (self.axis.tasks(), tasks.batches().steps);
        let (whole, rest) = (all / self.chunk, all % self.chunk);
        for (chunks, count) in [(0..whole, self.chunk), (whole..whole + 1, rest)] {
            if chunks.is_empty() || count == 0 {
                continue;
            }
            let mut step = Recording::default();
            self.record_step(gpu, &mut step, update, tasks, [count, segment.batch])?;
            let places = chunks.flat_map(|chunk| {
                let first = chunk * steps + segment.first_step;
                (first..first + segment.steps).map(|index| self.inner.offset_of(index))
            });
            out.repeat(&step, places);
        }
        Ok(())
    }

    /// One inner step of a chunk of `count` tasks, a dispatch a layer and direction; the place of the
    /// repeat says which step and which chunk.
    fn record_step(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        update: &Update<'_>,
        tasks: &TaskBuffers,
        [count, examples]: [usize; 2],
    ) -> Result<()> {
        let model = &self.model;
        let steps = tasks.batches().steps;
        let inner = (&self.inner, 0);
        let batch = Batch { count, sharers: 1, examples, stride: model.packed_len() / 4, inner };
        let theta = &self.theta;
        let [x, y] = [&self.batch[0], &self.batch[1]];
        tasks.record_batch(gpu, out, model, [count, examples], inner, [x, y])?;
        let last = model.layers().len() - 1;
        if head_fits(gpu.profile(), model, examples) {
            self.layers.forward(gpu, out, batch, theta, x, last)?;
            let dx = self.layers.first_gradient();
            let call = Head {
                model,
                batch,
                update,
                below: self.layers.below(last, x),
                targets: y,
                dx,
                onward: self.layers.first_trained() < last,
                losses: &self.losses,
                steps,
                some: tasks.is_told(),
            };
            head(gpu, out, &call)?;
            return self.layers.backward(gpu, out, batch, update, x, last, dx);
        }
        self.layers.forward(gpu, out, batch, theta, x, last + 1)?;
        let outputs = self.layers.outputs();
        loss(
            gpu,
            out,
            &LossCall {
                loss: model.loss(),
                tasks: count,
                batch: examples,
                row_step: 1,
                outputs: model.outputs(),
                steps,
                some: tasks.is_told().then_some((update.runs, Rows::Minibatch)),
                gradient: true,
                inner,
                outputs_buffer: outputs,
                targets: y,
                losses: &self.losses,
                hits: &self.hits,
            },
        )?;
        self.layers.backward(gpu, out, batch, update, x, last + 1, outputs)
    }
}

/// The largest minibatch.
fn largest_batch(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.batch).max().unwrap_or(0)
}

/// The settings of every inner step, one chunk of tasks after another; none without chunks.
fn inner_steps(segments: &[Segment], tasks: usize, chunk: usize) -> Vec<InnerStep> {
    let steps = |first_task: usize| {
        segments.iter().flat_map(move |segment| {
            (0..segment.steps).map(move |step| InnerStep {
                index: (segment.first_step + step) as u32,
                order_start: (segment.order_start + step * segment.batch) as u32,
                last: u32::from(step + 1 == segment.steps),
                first_task: first_task as u32,
            })
        })
    };
    if chunk == 0 {
        return Vec::new();
    }
    (0..tasks).step_by(chunk).flat_map(steps).collect()
}

/// The plan for tasks that are `rows` of numbers, or images, and the runs of steps that it takes.
///
/// # Errors
/// [`Error::Config`] if `fused` is wanted and impossible.
pub(super) fn choose(
    gpu: &Gpu,
    model: &Model,
    rule: InnerRule,
    rows: bool,
    wanted: PlanKind,
    batches: &Batches,
    split_last: bool,
) -> Result<Plan> {
    let segments = batches.segments(split_last, usize::MAX);
    let steps = if rows {
        segments.iter().map(|segment| fused_steps(gpu, model, rule, segment.batch)).min()
    } else {
        None
    };
    let pays = || segments.iter().all(|segment| fused_pays(gpu, model, rule, segment.batch));
    match (wanted, steps.unwrap_or(0)) {
        (PlanKind::Auto | PlanKind::Fused, steps)
            if steps > 0 && (wanted == PlanKind::Fused || pays()) =>
        {
            Ok((PlanKind::Fused, batches.segments(split_last, steps)))
        }
        (PlanKind::Auto | PlanKind::Layered, _) => Ok((PlanKind::Layered, segments)),
        (PlanKind::Fused, _) => {
            let reason = if !model.is_mlp() {
                "it is for networks of dense layers alone (with `flatten` before the first at most), none of them frozen"
                    .to_string()
            } else if rows {
                format!(
                    "this network with minibatches of {} does not fit into one workgroup's memory",
                    largest_batch(&segments)
                )
            } else {
                "it reads rows of numbers, and these tasks are images".to_string()
            };
            Err(Error::config("plan", format!("`fused` is not possible: {reason}; use `layered`")))
        }
    }
}

/// The buffers of [`InnerLoop::new`] that grow with the number of tasks.
pub(super) fn set_buffers(
    model: &Model,
    rule: InnerRule,
    axis: Axis,
    segments: &[Segment],
) -> BufferList<6> {
    let sets = axis.tasks() * model.packed_len();
    let steps: usize = segments.iter().map(|segment| segment.steps).sum();
    BufferList([
        ("adapted parameters", sets),
        ("parameters before the last step", usize::from(segments.len() > 1) * sets),
        ("second moments", rule.planes() * sets),
        ("first moments", usize::from(rule.kept().first) * sets),
        ("inner losses", axis.tasks() * steps),
        ("inner accuracies", axis.tasks() * steps),
    ])
}

/// The buffer of [`InnerLoop::seeing`].
pub(super) fn seen_buffer(model: &Model, axis: Axis) -> BufferList<1> {
    BufferList([("gradients seen", 2 * axis.tasks() * model.packed_len())])
}

/// Inputs and targets of a minibatch of each of a chunk of tasks, `rows` examples together.
fn batch_buffers(model: &Model, rows: usize) -> BufferList<2> {
    BufferList([
        ("minibatch inputs", rows * model.input_words()),
        ("minibatch targets", rows * model.target_words()),
    ])
}

/// Adds the other large buffers of [`InnerLoop::new`].
///
/// # Errors
/// [`Error::Limit`] if the device has no room for one task's values.
pub(super) fn plan_layers(
    memory: &mut Memory,
    gpu: &Gpu,
    model: &Model,
    axis: Axis,
    segments: &[Segment],
    kind: PlanKind,
) -> Result<()> {
    if kind == PlanKind::Layered {
        let batch = largest_batch(segments);
        let chunk = chunk(gpu, model, axis, batch)?;
        batch_buffers(model, chunk * batch).plan(memory);
        memory.read(size_of_f32s(chunk * batch * model.input_words()));
        Layers::plan(memory, model, Keep::All, chunk, batch);
    }
    Ok(())
}
