//! The inner loops of all tasks as dispatches, in one of two plans that give the same numbers:
//! `layered` (a dispatch a layer and direction, any size) and `fused` (a task's whole loop in one
//! dispatch, for networks that fit).

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, size_of_f32s};
use crate::kernels::{
    Axis, FusedLoop, InnerRule, InnerState, InnerStep, InnerSteps, LossCall, RunSteps, broadcast,
    dense_backward, dense_forward, dense_update, fused, fused_fits, loss,
};
use crate::meta::source::TaskBuffers;
use crate::meta::spec::PlanKind;
use crate::model::{Loss, Model};
use crate::tasks::Segment;

/// One buffer a layer: activations before (GELU alone) and after, and the gradient by the inputs.
#[derive(Debug)]
struct LayerBuffers {
    h: wgpu::Buffer,
    z: wgpu::Buffer,
    /// Gradient by this layer's outputs before the activation; the last layer's takes `h`'s place.
    d: wgpu::Buffer,
}

/// The adapted parameter sets of a batch of tasks, and the dispatches that make them.
#[derive(Debug)]
pub struct InnerLoop {
    model: Model,
    rule: InnerRule,
    axis: Axis,
    kind: PlanKind,
    segments: Vec<Segment>,
    inner: InnerSteps,
    /// [T, packed]: the tasks' parameters.
    pub theta: wgpu::Buffer,
    /// [T, packed]: the tasks' parameters before the last segment (FOMAML alone).
    pub anchors: wgpu::Buffer,
    /// `[T, packed]` each: the tasks' optimiser state.
    pub state: InnerState,
    /// [T, K]: the loss of each minibatch before its step.
    pub losses: wgpu::Buffer,
    hits: wgpu::Buffer,
    layers: Vec<LayerBuffers>,
    work: u64,
    /// `[T, B, in]` and targets of one minibatch.
    batch: [wgpu::Buffer; 2],
}

/// Where the inner loops start.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// [R, packed]: parameters.
    pub theta: &'a wgpu::Buffer,
    /// [R, packed]: second and first moment that every task starts from; none if the tasks' own
    /// state is used as it is.
    pub state: Option<[&'a wgpu::Buffer; 2]>,
}

impl InnerLoop {
    /// Chooses the plan and allocates its buffers. `split_last` keeps the parameters before the
    /// last step (FOMAML); `work` is the number of task-steps that one run is expected to take.
    ///
    /// # Errors
    /// [`Error::Config`] if `fused` was asked for and does not fit, [`Error::Limit`] if the device
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
        let axis = tasks.axis();
        let segments = tasks.batches().segments(split_last);
        let kind = choose(gpu, model, rule, tasks, wanted, &segments)?;
        let sets = |name, used: bool| {
            gpu.storage(
                name,
                if used { size_of_f32s(axis.tasks() * model.packed_len()) } else { 0 },
            )
        };
        let largest = segments.iter().map(|segment| segment.batch).max().unwrap_or(0);
        let rows = if kind == PlanKind::Layered { axis.tasks() * largest } else { 0 };
        let has_target_rows = !tasks.labels();
        let target_width = if has_target_rows { crate::model::padded(model.outputs()) } else { 1 };
        let floats = |name, count| gpu.storage(name, size_of_f32s(count));
        let layers = model
            .layers()
            .iter()
            .map(|layer| {
                let count = rows * layer.outputs_padded();
                Ok(LayerBuffers {
                    h: floats("activations", count)?,
                    z: floats("pre-activations", count)?,
                    d: floats("gradients", count)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            inner: InnerSteps::new(gpu, &inner_steps(&segments))?,
            theta: sets("adapted parameters", true)?,
            anchors: sets("parameters before the last step", segments.len() > 1)?,
            state: InnerState {
                second: sets("second moments", rule.has_second())?,
                first: sets("first moments", rule.has_first())?,
            },
            losses: floats("inner losses", axis.tasks() * tasks.batches().steps)?,
            hits: floats("inner accuracies", axis.tasks() * tasks.batches().steps)?,
            batch: [
                floats("minibatch inputs", rows * crate::model::padded(model.inputs()))?,
                floats("minibatch targets", rows * target_width)?,
            ],
            model: model.clone(),
            rule,
            axis,
            kind,
            segments,
            layers,
            work,
        })
    }

    /// The plan that was chosen: `Fused` or `Layered`.
    pub fn kind(&self) -> PlanKind {
        self.kind
    }

    /// The settings of the inner steps, step 0 first.
    pub fn inner_steps(&self) -> &InnerSteps {
        &self.inner
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
                (self.rule.has_second(), second, &self.state.second),
                (self.rule.has_first(), first, &self.state.first),
            ];
            for (_, shared, own) in pairs.into_iter().filter(|(used, ..)| *used) {
                broadcast(gpu, out, self.axis, stride, per_run, false, runs, shared, own)?;
            }
        }
        for (index, segment) in self.segments.iter().enumerate() {
            let (from, sharers) =
                if index == 0 { (start.theta, per_run) } else { (&self.anchors, 1) };
            if index > 0 {
                broadcast(gpu, out, self.axis, stride, 1, false, runs, &self.theta, from)?;
            }
            match self.kind {
                PlanKind::Fused => {
                    self.record_fused(gpu, out, runs, tasks, *segment, from, sharers)?;
                }
                _ => {
                    let theta = &self.theta;
                    broadcast(gpu, out, self.axis, stride, sharers, true, runs, from, theta)?;
                    for step in 0..segment.steps {
                        let step = segment.first_step + step;
                        self.record_step(gpu, out, runs, tasks, segment.batch, step)?;
                    }
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
        runs: &RunSteps,
        tasks: &TaskBuffers,
        segment: Segment,
        start: &wgpu::Buffer,
        sharers: usize,
    ) -> Result<()> {
        let support = tasks.support_rows().expect("the plan was chosen for tasks of rows");
        let call = FusedLoop {
            model: &self.model,
            rule: self.rule,
            axis: self.axis,
            batches: tasks.batches(),
            segment,
            work: self.work,
            sharers,
            order: tasks.order(),
            support,
            start,
            theta: &self.theta,
            state: &self.state,
            losses: &self.losses,
        };
        fused(gpu, out, runs, &call)
    }

    /// One inner step, a dispatch a layer and direction.
    fn record_step(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        runs: &RunSteps,
        tasks: &TaskBuffers,
        batch: usize,
        step: usize,
    ) -> Result<()> {
        let (axis, stride) = (self.axis, self.model.packed_len() / 4);
        let inner = (&self.inner, step);
        let sizes = [axis.tasks(), batch];
        let [x, y] = [&self.batch[0], &self.batch[1]];
        tasks.record_batch(gpu, out, &self.model, batch, inner, [x, y])?;
        let mut input = x;
        for (layer, buffers) in self.model.layers().iter().zip(&self.layers) {
            let (h, z) = (&buffers.h, &buffers.z);
            dense_forward(gpu, out, layer, sizes, stride, input, &self.theta, h, z)?;
            input = h;
        }
        loss(
            gpu,
            out,
            &LossCall {
                loss: self.model.loss(),
                tasks: axis.tasks(),
                batch,
                outputs: self.model.outputs(),
                steps: tasks.batches().steps,
                gradient: true,
                inner,
                outputs_buffer: input,
                targets: y,
                losses: &self.losses,
                hits: &self.hits,
            },
        )?;
        let layers = self.model.layers();
        for (index, layer) in layers.iter().enumerate().rev() {
            let own = &self.layers[index];
            let dz = if index + 1 == layers.len() { &own.h } else { &own.d };
            let input = if index == 0 { x } else { &self.layers[index - 1].h };
            if index > 0 {
                let below = &self.layers[index - 1];
                let before = layers[index - 1].activation;
                let inputs = [&below.h, &below.z];
                let theta = &self.theta;
                dense_backward(
                    gpu, out, layer, before, sizes, stride, dz, theta, inputs, &below.d,
                )?;
            }
            let (theta, state) = (&self.theta, &self.state);
            dense_update(
                gpu, out, layer, self.rule, axis, batch, stride, runs, inner, input, dz, theta,
                state,
            )?;
        }
        Ok(())
    }
}

/// The settings of every inner step.
fn inner_steps(segments: &[Segment]) -> Vec<InnerStep> {
    segments
        .iter()
        .flat_map(|segment| {
            (0..segment.steps).map(|step| InnerStep {
                index: (segment.first_step + step) as u32,
                order_start: (segment.order_start + step * segment.batch) as u32,
                last: u32::from(step + 1 == segment.steps),
                unused: 0,
            })
        })
        .collect()
}

fn choose(
    gpu: &Gpu,
    model: &Model,
    rule: InnerRule,
    tasks: &TaskBuffers,
    wanted: PlanKind,
    segments: &[Segment],
) -> Result<PlanKind> {
    let rows = tasks.support_rows().is_some();
    let fits = rows
        && segments.iter().all(|segment| fused_fits(gpu.profile(), model, rule, segment.batch));
    match wanted {
        PlanKind::Auto if fits => Ok(PlanKind::Fused),
        PlanKind::Auto | PlanKind::Layered => Ok(PlanKind::Layered),
        PlanKind::Fused if fits => Ok(PlanKind::Fused),
        PlanKind::Fused => {
            let reason = if rows {
                format!(
                    "this network with minibatches of {} does not fit into one workgroup's memory",
                    segments.iter().map(|segment| segment.batch).max().unwrap_or(0)
                )
            } else {
                "it reads rows of numbers, and these tasks are images".to_string()
            };
            Err(Error::config("plan", format!("`fused` is not possible: {reason}; use `layered`")))
        }
    }
}

/// Bytes of the buffers of an inner loop over `tasks` tasks with minibatches of `batch`, by name:
/// what [`InnerLoop::new`] allocates at most.
pub fn inner_memory(model: &Model, rule: InnerRule, tasks: usize, batch: usize) -> u64 {
    let sets = 1 + usize::from(rule.has_second()) + usize::from(rule.has_first());
    let targets = match model.loss() {
        Loss::Mse => crate::model::padded(model.outputs()),
        Loss::CrossEntropy => 1,
    };
    let units: usize = model.layers().iter().map(|layer| layer.outputs_padded()).sum();
    let row = 3 * units + crate::model::padded(model.inputs()) + targets;
    size_of_f32s(tasks * (sets * model.packed_len() + batch * row))
}
