//! One layer by itself, on buffers of its own: to be timed, and compared with float64.

use crate::error::Result;
use crate::gpu::{Gpu, Memory, Recording, Wait, now, size_of_f32s};
use crate::kernels::{
    Axis, Batch, Below, InnerRule, InnerState, InnerStep, InnerSteps, Outputs, RunStep, RunSteps,
    Update, layer_backward, layer_update,
};
use crate::layers::{Backward, Forward};
use crate::model::{Activation, Layer, Model, Shape};
use crate::reference::layer as twin;
use crate::rng::Phase;

/// The inner rate of its steps.
const RATE: f32 = 1e-3;

/// A way through a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From its inputs to its outputs.
    Forward,
    /// From the gradient by its outputs to the one by its inputs; a batch-norm's parameters take
    /// their step on the way.
    Backward,
    /// The step of its weights.
    Update,
}

/// Buffers of one layer with parameters on batches of examples, filled with numbers: every task has
/// the same ones, but for the last, which has others.
#[derive(Debug)]
pub struct LayerAlone {
    model: Model,
    layer: usize,
    tasks: usize,
    examples: usize,
    rule: InnerRule,
    inner: InnerSteps,
    runs: RunSteps,
    /// `[T, packed]`
    theta: wgpu::Buffer,
    state: InnerState,
    /// `[T, B, …input]`: the inputs, and the gradient by them.
    inputs: [wgpu::Buffer; 2],
    /// `[T, B, …output]`: the outputs, and the gradient by them.
    outputs: [wgpu::Buffer; 2],
    statistics: wgpu::Buffer,
}

impl LayerAlone {
    /// Allocates layer `layer` of `model` for `tasks` batches of `examples`.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room.
    pub fn new(
        gpu: &Gpu,
        model: &Model,
        layer: usize,
        [tasks, examples]: [usize; 2],
        rule: InnerRule,
    ) -> Result<Self> {
        let own = &model.layers()[layer];
        let [input, output] =
            [own.inputs_padded(), own.outputs_padded()].map(|floats| tasks * examples * floats);
        let sets = tasks * model.packed_len();
        let mut memory = Memory::default();
        for floats in [sets, input, output] {
            memory.add("a layer by itself", size_of_f32s(floats));
        }
        memory.check(gpu, |_| "lower the number of tasks")?;
        let room = |name, floats: usize| gpu.storage(name, size_of_f32s(floats));
        let step = InnerStep { index: 0, order_start: 0, last: 0, first_task: 0 };
        let runs = RunSteps::new(gpu, 1, 1)?;
        let axis = Axis { runs: 1, per_run: tasks };
        runs.write(gpu, 0, &[RunStep { inner_rate: RATE, ..RunStep::new(0, Phase::Train, axis) }]);
        let alone = Self {
            layer,
            tasks,
            examples,
            rule,
            inner: InnerSteps::new(gpu, &[step])?,
            runs,
            theta: room("parameters", sets)?,
            state: InnerState {
                second: room("second moments", if rule.kept().second { sets } else { 0 })?,
                first: room("first moments", if rule.kept().first { sets } else { 0 })?,
            },
            inputs: [room("inputs", input)?, room("gradients by inputs", input)?],
            outputs: [room("outputs", output)?, room("gradients by outputs", output)?],
            statistics: room("statistics", tasks * own.statistics(examples))?,
            model: model.reading_numbers(),
        };
        alone.fill(gpu);
        Ok(alone)
    }

    /// Writes parameters, inputs and gradients anew, and zeros into moments.
    pub fn fill(&self, gpu: &Gpu) {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.clear_buffer(&self.state.second, 0, None);
        encoder.clear_buffer(&self.state.first, 0, None);
        gpu.submit(encoder.finish());
        let write = |buffer: &wgpu::Buffer, values: &dyn Fn(usize) -> Vec<f32>| {
            let mut all = values(0).repeat(self.tasks - 1);
            all.extend(values(self.tasks - 1));
            gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&all));
        };
        let (input, output) = (self.layer().input, self.layer().output);
        write(&self.theta, &|task| self.model.pack(&self.parameters(task)));
        write(&self.inputs[0], &|task| packed(input, &self.x(task)));
        write(&self.outputs[1], &|task| packed(output, &self.dz(task)));
    }

    /// The tasks whose results are looked at: the first and the last.
    fn looked_at(&self) -> Vec<usize> {
        if self.tasks == 1 { vec![0] } else { vec![0, self.tasks - 1] }
    }

    /// Canonical parameters of a task.
    fn parameters(&self, task: usize) -> Vec<f32> {
        self.numbers(1, task, self.model.parameter_count())
    }

    /// Inputs of a task: `[B, C, H, W]`.
    fn x(&self, task: usize) -> Vec<f32> {
        self.numbers(2, task, self.examples * self.layer().inputs())
    }

    /// Gradients by a task's outputs: `[B, C, H, W]`.
    fn dz(&self, task: usize) -> Vec<f32> {
        self.numbers(3, task, self.examples * self.layer().outputs())
    }

    /// Numbers of a task: those of the first and of the last one differ.
    fn numbers(&self, kind: u32, task: usize, count: usize) -> Vec<f32> {
        let last = task > 0 && task + 1 == self.tasks;
        numbers(kind + if last { 4 } else { 0 }, count)
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.model.layers()[self.layer]
    }

    /// Bytes of the large buffers.
    pub fn bytes(&self) -> u64 {
        let [x, dx] = &self.inputs;
        let [h, dz] = &self.outputs;
        let buffers = [&self.theta, &self.state.second, &self.state.first, x, dx, h, dz];
        buffers.into_iter().map(wgpu::Buffer::size).sum()
    }

    /// Records one way through the layer.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    ///
    /// # Panics
    /// If the layer has no parameters.
    pub fn record(&self, gpu: &Gpu, out: &mut Recording, direction: Direction) -> Result<()> {
        let (layer, inner) = (self.layer(), (&self.inner, 0));
        let stride = self.model.packed_len() / 4;
        let batch = Batch { count: self.tasks, sharers: 1, examples: self.examples, stride, inner };
        let axis = Axis { runs: 1, per_run: self.tasks };
        let (rule, theta, state) = (self.rule, &self.theta, &self.state);
        let update = Update { rule, axis, runs: &self.runs, theta, state, seen: None };
        let ([x, dx], [h, dz]) = (&self.inputs, &self.outputs);
        let made = Outputs { h, z: &self.statistics, keep_z: false };
        let below = Below { activation: Activation::Linear, h: x, z: &self.statistics };
        let statistics = &self.statistics;
        match direction {
            Direction::Forward => {
                let pass = Forward { batch, theta, x, out: made, statistics };
                layer.record_forward(gpu, out, &pass)
            }
            // Those of layers with weights are timed one by one.
            Direction::Backward if layer.weights().is_none() => {
                let (update, onward) = (&update, true);
                let pass = Backward { batch, update, below, d: dz, dx, statistics, onward };
                layer.record_backward(gpu, out, &pass).map(|_| ())
            }
            Direction::Backward => layer_backward(gpu, out, layer, batch, theta, dz, below, dx),
            Direction::Update => layer_update(gpu, out, layer, batch, &update, x, dz),
        }
    }

    /// The results of the first task and, where there are several, of the last: outputs or gradients
    /// `[B, C, H, W]`, or all parameters, canonical.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn result(&self, gpu: &Gpu, direction: Direction) -> Result<Vec<f32>> {
        now(self.result_by(Wait::Blocking, gpu, direction))
    }

    /// The async twin of [`LayerAlone::result`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn result_async(&self, gpu: &Gpu, direction: Direction) -> Result<Vec<f32>> {
        self.result_by(Wait::Awaiting, gpu, direction).await
    }

    pub(super) async fn result_by(
        &self,
        wait: Wait,
        gpu: &Gpu,
        direction: Direction,
    ) -> Result<Vec<f32>> {
        let layer = self.layer();
        let mut results = Vec::new();
        for task in self.looked_at() {
            let (buffer, floats) = match direction {
                Direction::Forward => (&self.outputs[0], self.examples * layer.output.packed()),
                Direction::Backward => (&self.inputs[1], self.examples * layer.input.packed()),
                Direction::Update => (&self.theta, self.model.packed_len()),
            };
            let values: Vec<f32> = wait.read(gpu, buffer, task * floats, floats).await?;
            let unpacked = |shape: Shape| -> Vec<f32> {
                values.chunks_exact(shape.packed()).flat_map(|one| shape.unpack(one)).collect()
            };
            results.extend(match direction {
                Direction::Forward => unpacked(layer.output),
                Direction::Backward => unpacked(layer.input),
                Direction::Update => self.model.unpack(&values),
            });
        }
        Ok(results)
    }

    /// The same in float64, where the inner rule is SGD and the layer has weights.
    pub fn in_float64(&self, direction: Direction) -> Vec<f64> {
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
        let layer = self.layer();
        let of_task = |task| {
            let parameters = wide(self.parameters(task));
            let (x, dz) = (wide(self.x(task)), wide(self.dz(task)));
            match direction {
                Direction::Forward => twin::layer_forward(layer, &parameters, &x).y,
                Direction::Backward => twin::layer_backward(layer, &parameters, &x, &dz),
                Direction::Update => {
                    let gradient = twin::layer_gradient(layer, &x, &dz);
                    let mut stepped = parameters;
                    let own = &mut stepped[layer.canonical_offset..];
                    for (value, slope) in own.iter_mut().zip(gradient) {
                        *value -= f64::from(RATE) * slope;
                    }
                    stepped
                }
            }
        };
        self.looked_at().into_iter().flat_map(of_task).collect()
    }
}

/// Examples `[…, C, H, W]` as kernels hold them.
fn packed(shape: Shape, values: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    values.chunks_exact(shape.elements()).for_each(|example| shape.pack(example, &mut out));
    out
}

/// Numbers in -0.5..0.5 without a pattern that a device could profit from.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let number = |i: usize| {
        let word = (i as u32 ^ seed << 24).wrapping_mul(2_654_435_761);
        ((word ^ word >> 15).wrapping_mul(0x2C1B_3C6D) >> 8) as f32 / (1 << 24) as f32
    };
    (0..count).map(|i| number(i) - 0.5).collect()
}
