//! One layer by itself, on buffers of its own: to be timed.

use crate::error::Result;
use crate::gpu::{Gpu, Memory, Recording, size_of_f32s};
use crate::kernels::{
    Axis, Batch, Below, InnerRule, InnerState, InnerStep, InnerSteps, Outputs, RunStep, RunSteps,
    Update, layer_backward, layer_forward, layer_update, norm_backward, norm_forward,
};
use crate::model::{Activation, Layer, Model, Op, padded};
use crate::rng::Phase;

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

/// Buffers of one layer with parameters on batches of examples, filled with numbers.
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
        memory.check(gpu, "lower the number of tasks")?;
        let numbers = |name, count| gpu.storage_with(name, &numbers(count));
        let zeros = |name, used: bool| gpu.storage(name, size_of_f32s(if used { sets } else { 0 }));
        let step = InnerStep { index: 0, order_start: 0, last: 0, first_task: 0 };
        let runs = RunSteps::new(gpu, 1, 1)?;
        // The weights stay as they are: a timing is repeated on the same numbers.
        let axis = Axis { runs: 1, per_run: tasks };
        runs.write(gpu, 0, &[RunStep { inner_rate: 0.0, ..RunStep::new(0, Phase::Train, axis) }]);
        Ok(Self {
            layer,
            tasks,
            examples,
            rule,
            inner: InnerSteps::new(gpu, &[step])?,
            runs,
            theta: numbers("parameters", sets)?,
            state: InnerState {
                second: zeros("second moments", rule.has_second())?,
                first: zeros("first moments", rule.has_first())?,
            },
            inputs: [numbers("inputs", input)?, numbers("gradients by inputs", input)?],
            outputs: [numbers("outputs", output)?, numbers("gradients by outputs", output)?],
            statistics: numbers("statistics", tasks * 2 * padded(own.output.channels))?,
            model: model.clone(),
        })
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
        let update = Update { rule, axis, runs: &self.runs, theta, state };
        let ([x, dx], [h, dz]) = (&self.inputs, &self.outputs);
        let made = Outputs { h, z: &self.statistics, keep_z: false };
        let below = Below { activation: Activation::Relu, h: x, z: &self.statistics };
        let norm = matches!(layer.op, Op::Norm { .. });
        match direction {
            Direction::Forward if norm => {
                norm_forward(gpu, out, layer, batch, theta, x, made, &self.statistics)
            }
            Direction::Forward => layer_forward(gpu, out, layer, batch, theta, x, made),
            Direction::Backward if norm => {
                let statistics = &self.statistics;
                norm_backward(gpu, out, layer, batch, &update, below, dz, statistics, true)
            }
            Direction::Backward => layer_backward(gpu, out, layer, batch, theta, dz, below, dx),
            Direction::Update => layer_update(gpu, out, layer, batch, &update, x, dz),
        }
    }
}

/// Numbers in -0.5..0.5 without a pattern that a device could profit from.
fn numbers(count: usize) -> Vec<f32> {
    let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
    (0..count).map(|i| number(i) - 0.5).collect()
}
