//! The kernels that belong to no type of layer, one file per shader: its bindings, its constants, its variants, its place in
//! a recording.

mod batch_rows;
mod broadcast;
mod ceilings;
mod codec;
mod fused;
mod gather_bytes;
mod gather_examples;
mod gather_images;
mod gather_rows;
mod head;
mod loss;
mod mean_state;
mod memory;
mod noise;
mod ordered_sum;
mod outer_sum;
mod outer_update;
mod rows;
mod sample;
mod sample_glyphs;
mod sample_own;
mod strategy;
mod telemetry;

pub use batch_rows::BatchRows;
pub use broadcast::broadcast;
pub use ceilings::{ceiling_copy, ceiling_multiply_add, empty};
pub use codec::{Coding, compress, decompress, largest};
pub use fused::{FusedLoop, fused, fused_candidates, fused_pays, fused_steps};
pub use gather_bytes::gather_bytes;
pub use gather_examples::{ExampleRows, Piece, gather_examples};
pub use gather_images::{ImageShape, gather_images};
pub use gather_rows::gather_rows;
pub use head::{Head, head, head_fits};
pub use loss::{LossCall, loss};
pub use mean_state::{MeanState, mean_state};
pub use memory::{MemoryInsert, memory_insert, memory_sums};
pub use noise::noise;
pub use outer_sum::{OuterSum, outer_sum};
pub use outer_update::{OuterRule, OuterUpdate, outer_update};
pub use rows::Rows;
pub use sample::{sample_episode, sample_listed, sample_order, sample_sine};
pub use sample_glyphs::{GlyphRows, sample_glyphs};
pub use sample_own::{OwnExamples, check_functions, sample_own};
pub use strategy::{
    RateRule, RateStep, Sharing, StrategySums, StrategyUpdate, strategy_sums, strategy_update,
};
pub use telemetry::{Telemetry, telemetry};

pub use crate::dispatch::{
    Argument, Axis, InnerRule, InnerState, InnerStep, InnerSteps, MOST_BATCHES, RunStep, RunSteps,
    Statistic, Tile, Tiles, Update, call,
};
pub use crate::layers::{
    Batch, Below, Outputs, backward_tiles, forward_tiles, layer_backward, layer_forward,
    layer_update, update_tiles, vectors,
};

use crate::dispatch::{BLOCK, INNER_STEP, ROW_OF, RUN_STEP};
use crate::layers::ACTIVATION;
use crate::model::Loss;

const RNG: &str = shader!("lib/rng.wgsl");
const GUARD: &str = shader!("lib/guard.wgsl");
const TASK_SUMS: &str = shader!("lib/task_sums.wgsl");
const PRECISE_SIN: &str = shader!("lib/precise_sin.wgsl");
const TARGETS_VALUES: &str = shader!("lib/targets_values.wgsl");
const TARGETS_LABELS: &str = shader!("lib/targets_labels.wgsl");

/// The loss of one row of outputs in registers, which become their gradient.
fn fused_loss(loss: Loss) -> &'static str {
    match loss {
        Loss::Mse => shader!("lib/fused_loss_mse.wgsl"),
        Loss::CrossEntropy => shader!("lib/fused_loss_cross_entropy.wgsl"),
    }
}

/// Numbers that the loss of `rows` rows of `outputs` is the mean of.
pub(crate) fn loss_numbers(loss: Loss, rows: usize, outputs: usize) -> usize {
    match loss {
        Loss::Mse => rows * outputs,
        Loss::CrossEntropy => rows,
    }
}
