//! What the products of dense layers and convolutions share: where rows lie, and how the work is cut
//! into tiles on a device.

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Source};
use crate::kernels::{Batch, vectors};
use crate::model::{Layer, Op, Weights, Window};

const PRODUCT_SUBGROUP: &str = include_str!("../../shaders/lib/product_subgroup.wgsl");
const PRODUCT_WORKGROUP: &str = include_str!("../../shaders/lib/product_workgroup.wgsl");
const OUTER_SUBGROUP: &str = include_str!("../../shaders/lib/outer_subgroup.wgsl");
const OUTER_WORKGROUP: &str = include_str!("../../shaders/lib/outer_workgroup.wgsl");

const ROWS_DENSE: &str = include_str!("../../shaders/lib/rows_dense.wgsl");
const ROWS_WINDOW: &str = include_str!("../../shaders/lib/rows_window.wgsl");
const ROWS_NARROW: &str = include_str!("../../shaders/lib/rows_narrow.wgsl");
const ROWS_TRANSPOSED: &str = include_str!("../../shaders/lib/rows_transposed.wgsl");
const CELLS_DENSE: &str = include_str!("../../shaders/lib/cells_dense.wgsl");
const CELLS_WINDOW: &str = include_str!("../../shaders/lib/cells_window.wgsl");
const CELLS_NARROW: &str = include_str!("../../shaders/lib/cells_narrow.wgsl");

/// What the rows of a convolution's forward product start with.
const WINDOW_ORIGIN: &str = include_str!("../../shaders/lib/window_origin.wgsl");

/// A product C = A · B of every batch; see `shaders/lib/product_*.wgsl`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    /// The library of A's rows.
    library: &'static str,
    /// Rows of C in one phase.
    rows: usize,
    /// Columns of C, in vectors.
    columns: usize,
    /// Vectors of A's row under one tap, and taps at most.
    depth: usize,
    taps: usize,
    /// Kinds of rows that see different taps.
    phases: usize,
}

impl Product {
    /// From a layer's inputs to its outputs.
    pub fn forward(layer: &Layer, examples: usize) -> Self {
        let weights = weights(layer);
        let library = match layer.op {
            Op::Conv(_) if layer.narrow => ROWS_NARROW,
            Op::Conv(_) => ROWS_WINDOW,
            _ => ROWS_DENSE,
        };
        let depth = match layer.op {
            Op::Dense => weights.rows() / 4,
            _ => vectors(weights.channels),
        };
        let (rows, columns) = (examples * layer.output.pixels(), weights.columns() / 4);
        let taps = if layer.op == Op::Dense { 1 } else { weights.taps };
        Self { library, rows, columns, depth, taps, phases: 1 }
    }

    /// From the gradient by a layer's outputs to the one by its inputs.
    pub fn backward(layer: &Layer, examples: usize) -> Self {
        let depth = weights(layer).columns() / 4;
        let Op::Conv(window) = layer.op else {
            let columns = weights(layer).rows() / 4;
            return Self {
                library: ROWS_DENSE,
                rows: examples,
                columns,
                depth,
                taps: 1,
                phases: 1,
            };
        };
        let [sy, sx] = window.stride;
        let pixels = layer.input.height.div_ceil(sy) * layer.input.width.div_ceil(sx);
        let columns = vectors(layer.input.channels);
        let rows = examples * pixels;
        let (taps, phases) = (window.taps(), sy * sx);
        Self { library: ROWS_TRANSPOSED, rows, columns, depth, taps, phases }
    }

    /// Adds the libraries and sizes of the device's variant, and says the grid's row tiles and its
    /// phases · column tiles.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the driver would end the sum over the inputs early.
    pub fn tiles(&self, gpu: &Gpu, source: Source) -> Result<(Source, [usize; 2])> {
        let rounds = self.taps * (self.depth + 1);
        gpu.profile().check_rounds(source.name(), rounds, "model.layers")?;
        let lanes = gpu.profile().broadcast_lanes().map(|lanes| lanes as usize);
        let column_tiles = self.columns.div_ceil(lanes.unwrap_or(8));
        let windows = [ROWS_WINDOW, ROWS_NARROW].contains(&self.library);
        let source = if windows { source.library(WINDOW_ORIGIN) } else { source };
        let source = source
            .library(self.library)
            .constant("ROW_LIMIT", self.rows)
            .constant("COLUMNS", self.columns)
            .constant("DEPTH", self.depth)
            .constant("COLUMN_TILES", column_tiles);
        let (source, row_tiles) = match lanes {
            Some(lanes) => {
                // Rows are cut evenly, so that no tile is mostly padding.
                let tiles = self.rows.div_ceil(32);
                let rows = self.rows.div_ceil(tiles);
                let source = source
                    .variant(format!("subgroup{lanes}, {rows} rows"))
                    .constant("LANES", lanes)
                    .constant("ROWS", rows)
                    .library(PRODUCT_SUBGROUP);
                (source, tiles)
            }
            None => {
                let rows = self.rows.div_ceil(8).min(4).next_power_of_two();
                let source = source
                    .variant(format!("workgroup, {rows} rows"))
                    .constant("ROWS", rows)
                    .library(PRODUCT_WORKGROUP);
                (source, self.rows.div_ceil(8 * rows))
            }
        };
        Ok((source, [row_tiles, self.phases * column_tiles]))
    }
}

/// Adds the libraries and sizes of the weights' gradient G = Aᵀ · B on batches of `examples`, and says
/// the grid's row tiles and column tiles; see `shaders/lib/outer_*.wgsl`.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end the sum over all pixels early.
pub(super) fn outer_tiles(
    gpu: &Gpu,
    source: Source,
    layer: &Layer,
    examples: usize,
) -> Result<(Source, [usize; 2])> {
    let weights = weights(layer);
    let (rows, columns) = (weights.rows() / 4, weights.columns() / 4);
    let library = match layer.op {
        Op::Conv(_) if layer.narrow => CELLS_NARROW,
        Op::Conv(_) => CELLS_WINDOW,
        _ => CELLS_DENSE,
    };
    let source = source.library(library).constant("ROW_VECTORS", rows).constant("COLUMNS", columns);
    let profile = gpu.profile();
    let lines = examples * layer.output.height;
    match profile.broadcast_lanes() {
        Some(lanes) => {
            let lanes = lanes as usize;
            let rounds = |block: usize| lines * (layer.output.width / block + 1) + examples;
            let block = pixels_at_once(profile, layer.output.width, rounds);
            profile.check_rounds(source.name(), rounds(block), "inner.batch")?;
            let source = source
                .variant(format!("subgroup{lanes}"))
                .constant("LANES", lanes)
                .constant("X_BLOCK", block)
                .library(OUTER_SUBGROUP);
            Ok((source, [rows.div_ceil(lanes.min(rows)), columns.div_ceil(lanes)]))
        }
        None => {
            let rounds = (lines * layer.output.width).div_ceil(8);
            profile.check_rounds(source.name(), rounds, "inner.batch")?;
            let source = source.variant("workgroup".into()).library(OUTER_WORKGROUP);
            Ok((source, [rows.div_ceil(8), columns.div_ceil(8)]))
        }
    }
}

/// Pixels of a row that one round of the loop takes: one, unless the driver allows fewer rounds.
fn pixels_at_once(profile: &Profile, width: usize, rounds: impl Fn(usize) -> usize) -> usize {
    let most = profile.loop_rounds.unwrap_or(usize::MAX);
    let blocks = (1..=8).filter(|block| width.is_multiple_of(*block));
    let mut best = 1;
    for block in blocks {
        if rounds(best) <= most {
            break;
        }
        best = block;
    }
    best
}

fn weights(layer: &Layer) -> Weights {
    layer.weights().expect("the kernel is for layers with weights")
}

/// The constants of a layer with weights.
pub(super) fn constants(source: Source, layer: &Layer, batch: Batch<'_>) -> Source {
    let weights = weights(layer);
    let window = match layer.op {
        Op::Conv(window) => window,
        _ => Window::POINT,
    };
    let output = layer.output;
    window_constants(source, layer, window)
        .constant("BATCH", batch.examples)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", layer.packed_offset / 4)
        .constant("BIAS_ROW", weights.rows())
        .constant("CHANNELS", layer.input.channels)
        .constant("OUTPUTS", output.channels)
        .constant(
            "IN4",
            if layer.op == Op::Dense {
                layer.inputs_padded() / 4
            } else {
                vectors(layer.input.channels)
            },
        )
        .constant("OUT4", vectors(output.channels))
}

/// The constants of a window over the layer's input image.
pub(super) fn window_constants(source: Source, layer: &Layer, window: Window) -> Source {
    source
        .constant("IN_HEIGHT", layer.input.height)
        .constant("IN_WIDTH", layer.input.width)
        .constant("OUT_HEIGHT", layer.output.height)
        .constant("OUT_WIDTH", layer.output.width)
        .constant("KERNEL_HEIGHT", window.kernel[0])
        .constant("KERNEL_WIDTH", window.kernel[1])
        .constant("STRIDE_Y", window.stride[0])
        .constant("STRIDE_X", window.stride[1])
        .constant("BEFORE_Y", window.before[0])
        .constant("BEFORE_X", window.before[1])
}
