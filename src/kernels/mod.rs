//! One file per shader: its bindings, its constants, its variants, its place in a recording.

mod broadcast;
mod call;
mod dense_backward;
mod dense_forward;
mod dense_update;
mod fused;
mod gather_images;
mod gather_rows;
mod host;
mod loss;
mod mean_state;
mod outer_update;
mod sample;
mod sample_glyphs;

pub use broadcast::broadcast;
pub use call::{Argument, call};
pub use dense_backward::dense_backward;
pub use dense_forward::dense_forward;
pub use dense_update::{InnerRule, InnerState, dense_update};
pub use fused::{FusedLoop, fused, fused_fits};
pub use gather_images::{ImageBatch, gather_images};
pub use gather_rows::gather_rows;
pub use host::{Axis, InnerStep, InnerSteps, RunStep, RunSteps};
pub use loss::{LossCall, loss};
pub use mean_state::mean_state;
pub use outer_update::{OuterRule, OuterUpdate, outer_update};
pub use sample::{sample_episode, sample_order, sample_sine};
pub use sample_glyphs::{GlyphRows, sample_glyphs};

use crate::gpu::Source;
use crate::model::{Activation, Layer};

/// Invocations of the kernels that walk over vectors.
const BLOCK: usize = 64;

const RUN_STEP: &str = include_str!("../../shaders/lib/run_step.wgsl");
const INNER_STEP: &str = include_str!("../../shaders/lib/inner_step.wgsl");
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

/// How a dense layer's product is cut into tiles on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tiling {
    /// A subgroup with so many lanes owns a tile; values go around by shuffles.
    Subgroup(usize),
    /// 64 invocations share a tile through workgroup memory.
    Workgroup,
}

impl Tiling {
    fn of(gpu: &crate::gpu::Gpu) -> Self {
        gpu.profile()
            .broadcast_lanes()
            .map_or(Self::Workgroup, |lanes| Self::Subgroup(lanes as usize))
    }

    /// The library of C = A · B with `rows` rows and `columns` vector columns, and the grid.
    fn product(self, source: Source, rows: usize, columns: usize) -> (Source, [usize; 2]) {
        match self {
            Self::Subgroup(lanes) => {
                let tiles = rows.div_ceil(32);
                let tile_rows = rows.div_ceil(tiles);
                let source = source
                    .constant("LANES", lanes)
                    .constant("ROWS", tile_rows)
                    .library(include_str!("../../shaders/lib/product_subgroup.wgsl"));
                (source, [tiles, columns.div_ceil(lanes)])
            }
            Self::Workgroup => {
                let tile_rows = rows.div_ceil(8).min(4);
                let source = source
                    .constant("ROWS", tile_rows)
                    .library(include_str!("../../shaders/lib/product_workgroup.wgsl"));
                (source, [rows.div_ceil(8 * tile_rows), columns.div_ceil(8)])
            }
        }
    }

    /// The library of G = Aᵀ · B with `rows` row vectors and `columns` vector columns, and the grid.
    fn outer(self, source: Source, rows: usize, columns: usize) -> (Source, [usize; 2]) {
        match self {
            Self::Subgroup(lanes) => {
                let source = source
                    .constant("LANES", lanes)
                    .library(include_str!("../../shaders/lib/outer_subgroup.wgsl"));
                (source, [rows.div_ceil(lanes.min(rows)), columns.div_ceil(lanes)])
            }
            Self::Workgroup => {
                let source = source.library(include_str!("../../shaders/lib/outer_workgroup.wgsl"));
                (source, [rows.div_ceil(8), columns.div_ceil(8)])
            }
        }
    }
}

/// The constants of one dense layer on `batch` rows; parameter sets are `stride` vectors long.
fn dense_constants(source: Source, layer: &Layer, batch: usize, stride: usize) -> Source {
    source
        .constant("BATCH", batch)
        .constant("IN4", vectors(layer.inputs()))
        .constant("OUT4", vectors(layer.outputs()))
        .constant("STRIDE", stride)
        .constant("OFFSET", layer.packed_offset / 4)
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
