//! One file per shader: its bindings, its constants, its variants, its place in a recording.

mod batch_rows;
mod broadcast;
mod call;
mod ceilings;
mod codec;
mod fused;
mod gather_images;
mod gather_rows;
mod gradient;
mod head;
mod host;
mod inner_rule;
mod layer_backward;
mod layer_forward;
mod layer_update;
mod loss;
mod mean_state;
mod memory;
mod noise;
mod norm;
mod outer_sum;
mod outer_update;
mod pool;
mod product;
mod rows;
mod sample;
mod sample_glyphs;
mod strategy;
mod telemetry;
mod tile;

pub use batch_rows::BatchRows;
pub use broadcast::broadcast;
pub use call::{Argument, call};
pub use ceilings::{ceiling_copy, ceiling_multiply_add, empty};
pub use codec::{Coding, compress, decompress, largest};
pub use fused::{FusedLoop, fused, fused_candidates, fused_pays, fused_steps};
pub use gather_images::{ImageShape, gather_images};
pub use gather_rows::gather_rows;
pub use head::{head, head_fits};
pub use host::{Axis, InnerStep, InnerSteps, RunStep, RunSteps};
pub use inner_rule::{InnerRule, InnerState, Update};
pub use layer_backward::{backward_tiles, layer_backward};
pub use layer_forward::{forward_tiles, layer_forward};
pub use layer_update::{layer_update, update_tiles};
pub use loss::{LossCall, loss};
pub use mean_state::{MeanState, mean_state};
pub use memory::{MemoryInsert, memory_insert, memory_sums};
pub use noise::noise;
pub use norm::{norm_backward, norm_forward};
pub use outer_sum::{OuterSum, outer_sum};
pub use outer_update::{OuterRule, OuterUpdate, outer_update};
pub use pool::{pool_backward, pool_forward};
pub use rows::Rows;
pub use sample::{sample_episode, sample_order, sample_sine};
pub use sample_glyphs::{GlyphRows, sample_glyphs};
pub use strategy::{
    RateRule, RateStep, Sharing, Statistic, StrategySums, StrategyUpdate, strategy_sums,
    strategy_update,
};
pub use telemetry::{Telemetry, telemetry};
pub use tile::{MOST_BATCHES, Tile, Tiles};

use crate::gpu::Source;
use crate::model::{Activation, Layer, Loss};

/// Invocations of the kernels that walk over vectors.
const BLOCK: usize = 64;

const RUN_STEP: &str = include_str!("../../shaders/lib/run_step.wgsl");
const INNER_STEP: &str = include_str!("../../shaders/lib/inner_step.wgsl");
const RNG: &str = include_str!("../../shaders/lib/rng.wgsl");
const GUARD: &str = include_str!("../../shaders/lib/guard.wgsl");
const TASK_SUMS: &str = include_str!("../../shaders/lib/task_sums.wgsl");
const ACTIVATION: &str = include_str!("../../shaders/lib/activation.wgsl");
const ONE_MINUS_EXP: &str = include_str!("../../shaders/lib/one_minus_exp.wgsl");
const PRECISE_SIN: &str = include_str!("../../shaders/lib/precise_sin.wgsl");
const TARGETS_VALUES: &str = include_str!("../../shaders/lib/targets_values.wgsl");
const TARGETS_LABELS: &str = include_str!("../../shaders/lib/targets_labels.wgsl");

/// The number of an activation in `shaders/lib/activation.wgsl`.
fn activation_kind(activation: Activation) -> usize {
    match activation {
        Activation::Linear => 0,
        Activation::Tanh => 1,
        Activation::Relu => 2,
        Activation::Sigmoid => 3,
        Activation::Gelu => 4,
    }
}

/// Vectors of four in a row of `n` numbers.
pub fn vectors(n: usize) -> usize {
    n.div_ceil(4)
}

/// Batches of examples that a kernel takes at once. Several may share a task's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Batches G.
    pub count: usize,
    /// Batches with the same parameters: batch g has those of task g / sharers.
    pub sharers: usize,
    /// Examples B of a batch.
    pub examples: usize,
    /// Vectors of a parameter set.
    pub stride: usize,
    /// The inner step; it names the first batch's task.
    pub inner: (&'a InnerSteps, usize),
}

impl<'a> Batch<'a> {
    /// The inner step as an argument.
    fn argument(&self) -> Argument<'a> {
        Argument::Inner(self.inner.0, self.inner.1)
    }

    /// Words of so many of every example.
    fn values(&self, words: usize) -> usize {
        self.count * self.examples * words
    }

    /// Words of so many of every parameter set.
    fn sets(&self, words: usize) -> usize {
        self.count.div_ceil(self.sharers) * words
    }

    /// Multiply-adds of a pass through `layer`.
    fn products(&self, layer: &Layer) -> u64 {
        (self.count * self.examples) as u64 * layer.products()
    }
}

/// What a layer makes, `[G, B, …output]`.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// After the activation.
    pub h: &'a wgpu::Buffer,
    /// Before the activation; written only if `keep_z`.
    pub z: &'a wgpu::Buffer,
    /// Whether the backward pass needs `z`.
    pub keep_z: bool,
}

impl Outputs<'_> {
    /// How often each value is written.
    fn copies(&self) -> usize {
        1 + usize::from(self.keep_z)
    }
}

/// What lies below a layer on the way back: its inputs and the activation that made them.
#[derive(Clone, Copy, Debug)]
pub struct Below<'a> {
    /// The activation that made `h`; the identity for the inputs of the network.
    pub activation: Activation,
    /// `[G, B, …input]`: after the activation.
    pub h: &'a wgpu::Buffer,
    /// Before the activation; read for GELU alone.
    pub z: &'a wgpu::Buffer,
}

impl Below<'_> {
    /// How many values the slope of the activation is made from: none where it is one, h or h and z.
    fn reads(&self) -> usize {
        match self.activation {
            Activation::Linear => 0,
            Activation::Gelu => 2,
            _ => 1,
        }
    }
}

/// Numbers that the loss of `rows` rows of `outputs` is the mean of.
pub(crate) fn loss_numbers(loss: Loss, rows: usize, outputs: usize) -> usize {
    match loss {
        Loss::Mse => rows * outputs,
        Loss::CrossEntropy => rows,
    }
}

/// The loss of one row of outputs in registers, which become their gradient.
fn fused_loss(loss: Loss) -> &'static str {
    match loss {
        Loss::Mse => include_str!("../../shaders/lib/fused_loss_mse.wgsl"),
        Loss::CrossEntropy => include_str!("../../shaders/lib/fused_loss_cross_entropy.wgsl"),
    }
}

/// A number of the configuration as its user wrote it: 0.999 and not the nearest f32 of it, so that
/// 1 − β keeps its digits.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// β, 1 − β and ln β of a decay rate; ln 0 is not used.
fn decay_constants(source: Source, names: [&'static str; 3], beta: f32) -> Source {
    let exact = as_written(beta);
    let log = if exact > 0.0 { exact.ln() } else { -1.0 };
    source
        .constant(names[0], beta)
        .constant(names[1], (1.0 - exact) as f32)
        .constant(names[2], log as f32)
}

/// The constants of Adam.
fn adam_constants(source: Source, beta1: f32, beta2: f32, epsilon: f32) -> Source {
    let source = decay_constants(source, ["BETA1", "BETA1_REST", "LOG_BETA1"], beta1);
    let source = decay_constants(source, ["BETA2", "BETA2_REST", "LOG_BETA2"], beta2);
    source.constant("EPSILON", epsilon).library(ONE_MINUS_EXP)
}
