//! What the products of dense layers and convolutions share: where rows lie, and how the work is cut
//! into tiles on a device.

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Source};
use crate::kernels::tile::{Tile, Tiles};
use crate::kernels::{Batch, vectors};
use crate::model::{Layer, Op, Shape, Weights, Window};

const PRODUCT_SUBGROUP: &str = include_str!("../../shaders/lib/product_subgroup.wgsl");
const PRODUCT_WORKGROUP: &str = include_str!("../../shaders/lib/product_workgroup.wgsl");
const GRADIENT_SUBGROUP: &str = include_str!("../../shaders/lib/gradient_subgroup.wgsl");
const GRADIENT_WORKGROUP: &str = include_str!("../../shaders/lib/gradient_workgroup.wgsl");

const INPUTS_FLOATS: &str = include_str!("../../shaders/lib/inputs_floats.wgsl");
const INPUTS_BYTES: &str = include_str!("../../shaders/lib/inputs_bytes.wgsl");
const ROWS_DENSE: &str = include_str!("../../shaders/lib/rows_dense.wgsl");
const ROWS_WINDOW: &str = include_str!("../../shaders/lib/rows_window.wgsl");
const ROWS_NARROW: &str = include_str!("../../shaders/lib/rows_narrow.wgsl");
const ROWS_TRANSPOSED: &str = include_str!("../../shaders/lib/rows_transposed.wgsl");
const CELLS_DENSE: &str = include_str!("../../shaders/lib/cells_dense.wgsl");
const CELLS_WINDOW: &str = include_str!("../../shaders/lib/cells_window.wgsl");
const CELLS_NARROW: &str = include_str!("../../shaders/lib/cells_narrow.wgsl");

/// What the rows of a convolution's forward product start with.
const WINDOW_ORIGIN: &str = include_str!("../../shaders/lib/window_origin.wgsl");

/// What is summed by itself, whatever the tile: a chain of thousands of numbers would round too much, and several
/// groups of invocations can share the blocks of a sum. A rule of the profile: on a software device no groups share
/// them, and long ones cost less.
struct Blocks {
    /// Vectors of a product's row at most, taps included.
    vectors: usize,
    /// Pixels of a weights' gradient, about.
    pixels: usize,
}

impl Blocks {
    fn of(profile: &Profile) -> Self {
        match profile.software {
            true => Self { vectors: 64, pixels: 256 },
            false => Self { vectors: 32, pixels: 64 },
        }
    }
}

/// Numbers of batches beyond this one have the same tiles: any GPU is busy then.
pub const MOST_BATCHES: usize = 128;

/// A product C = A · B of every batch; see `shaders/lib/product_*.wgsl`.
#[derive(Clone, Debug)]
pub(super) struct Product {
    /// The library of A's rows, and what it needs.
    libraries: [&'static str; 2],
    /// Rows of C in one phase.
    rows: usize,
    /// Columns of C, in vectors.
    columns: usize,
    /// Vectors of A's row under one tap, and taps at most.
    depth: usize,
    taps: usize,
    /// Kinds of rows that see different taps.
    phases: usize,
    /// The layer and the number of examples, in words.
    shape: String,
}

impl Product {
    /// From a layer's inputs to its outputs.
    pub fn forward(layer: &Layer, examples: usize) -> Self {
        let weights = weights(layer);
        let libraries = match layer.op {
            Op::Conv(_) if layer.narrow => [ROWS_NARROW, WINDOW_ORIGIN],
            Op::Conv(_) => [ROWS_WINDOW, WINDOW_ORIGIN],
            _ => [ROWS_DENSE, inputs(layer)],
        };
        let depth = match layer.op {
            Op::Dense => weights.rows() / 4,
            _ => vectors(weights.channels),
        };
        let (rows, columns) = (examples * layer.output.pixels(), weights.columns() / 4);
        let taps = if layer.op == Op::Dense { 1 } else { weights.taps };
        Self { libraries, rows, columns, depth, taps, phases: 1, shape: shape(layer, examples) }
    }

    /// From the gradient by a layer's outputs to the one by its inputs.
    pub fn backward(layer: &Layer, examples: usize) -> Self {
        let depth = weights(layer).columns() / 4;
        let Op::Conv(window) = layer.op else {
            let columns = weights(layer).rows() / 4;
            return Self {
                libraries: [ROWS_DENSE, INPUTS_FLOATS],
                rows: examples,
                columns,
                depth,
                taps: 1,
                phases: 1,
                shape: shape(layer, examples),
            };
        };
        let [sy, sx] = window.stride;
        let pixels = layer.input.height.div_ceil(sy) * layer.input.width.div_ceil(sx);
        let columns = vectors(layer.input.channels);
        let rows = examples * pixels;
        // Those of one phase at most.
        let taps = window.kernel[0].div_ceil(sy) * window.kernel[1].div_ceil(sx);
        let phases = sy * sx;
        let shape = shape(layer, examples);
        let libraries = [ROWS_TRANSPOSED, ""];
        Self { libraries, rows, columns, depth, taps, phases, shape }
    }

    /// Taps, and vectors under each, of a block: even ones, so that none is nearly empty.
    fn block(&self, profile: &Profile) -> [usize; 2] {
        let most = Blocks::of(profile).vectors;
        let depths = self.depth.div_ceil(most);
        if depths > 1 {
            return [1, self.depth.div_ceil(depths).next_multiple_of(4)];
        }
        let taps = (most / self.depth).max(1);
        [self.taps.div_ceil(self.taps.div_ceil(taps)), self.depth]
    }

    /// How many blocks there are at most.
    fn blocks(&self, profile: &Profile) -> usize {
        let [taps, depth] = self.block(profile);
        self.taps.div_ceil(taps) * self.depth.div_ceil(depth)
    }

    /// The tiles that may run it in the kernel `kernel` for `count` batches at once.
    pub fn candidates(&self, profile: &Profile, kernel: &str, count: usize) -> Tiles {
        let candidates = match (profile.broadcast_lanes(), profile.subgroup) {
            (Some(lanes), _) => {
                let lanes = lanes as usize;
                // Twice as wide is faster, but takes three times as long to compile.
                let sizes = match self.columns >= 2 * lanes {
                    true => vec![(32, 1), (48, 2), (32, 2)],
                    false => vec![(32, 1), (48, 1)],
                };
                let tile = |(rows, width)| Tile::Subgroup { lanes, rows, width };
                sizes.into_iter().map(tile).collect()
            }
            (None, subgroup) => {
                let fitting = self.rows.div_ceil(8).min(4).next_power_of_two();
                let groups = Groups {
                    sizes: &[(1, 1), (2, 1), (4, 1), (8, 1), (4, 2), (8, 2)],
                    columns: self.columns,
                    blocks: self.blocks(profile),
                    // A tile of both factors, and what all groups but the first hand over.
                    vectors: |rows, width, slices| {
                        slices * (4 * (8 * rows + 1) + 128 * width)
                            + (slices - 1) * 64 * rows * width
                    },
                };
                let tiles = |rows: usize| {
                    self.rows.div_ceil(8 * rows) * self.columns.div_ceil(8) * self.phases * count
                };
                // Measured on an H200 (docs/kernels.md): rows, width and groups of an invocation.
                let wide = if self.columns > 8 && self.phases == 1 { 2 } else { 1 };
                let default = match tiles(fitting) {
                    _ if profile.software => (fitting, 1, 1),
                    4096.. if wide == 2 => (2 * fitting, wide, 1),
                    1024.. => (fitting, wide, 1),
                    257.. => (fitting.min(2), 1, 2),
                    _ => (fitting.min(2), 1, 4),
                };
                let mut all = groups.candidates(profile, default);
                // Wider subgroups would leave most of their columns empty.
                let lanes = subgroup.filter(|lanes| *lanes as usize <= self.columns.max(16));
                let rows = [16, 32];
                all.extend(lanes.into_iter().flat_map(|lanes| {
                    let lanes = lanes as usize;
                    rows.map(|rows| Tile::Subgroup { lanes, rows, width: 1 })
                }));
                all
            }
        };
        Tiles { key: key(profile, kernel, &self.shape, count), candidates }
    }

    /// Adds the libraries and sizes of the device's tile for `count` batches, and says the grid's row tiles and
    /// its phases · column tiles.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the driver would end the sum over the inputs early.
    pub fn tiles(&self, gpu: &Gpu, source: Source, count: usize) -> Result<(Source, [usize; 2])> {
        let rounds = self.taps * (self.depth + 1) + 3 * self.blocks(gpu.profile());
        gpu.profile().check_rounds(source.name(), rounds, "model.layers")?;
        let tile = self.candidates(gpu.profile(), source.name(), count).choose(gpu);
        let columns_at_once = match tile {
            Tile::Subgroup { lanes, width, .. } => lanes * width,
            Tile::Workgroup { width, .. } => 8 * width,
            Tile::Invocations(_) | Tile::Tasks(_) => unreachable!("no candidate of a product"),
        };
        let column_tiles = self.columns.div_ceil(columns_at_once);
        let [tap_block, depth_block] = self.block(gpu.profile());
        let [library, its] = self.libraries;
        let source = source
            .library(library)
            .library(its)
            .variant(tile.to_string())
            .constant("ROW_LIMIT", self.rows)
            .constant("COLUMNS", self.columns)
            .constant("DEPTH", self.depth)
            .constant("TAP_BLOCK", tap_block)
            .constant("DEPTH_BLOCK", depth_block)
            .constant("COLUMN_TILES", column_tiles);
        let (source, row_tiles) = match tile {
            Tile::Subgroup { lanes, rows, width } => {
                // Rows are cut evenly, so that no tile is mostly padding.
                let tiles = self.rows.div_ceil(rows);
                let rows = self.rows.div_ceil(tiles);
                let source =
                    source.constant("LANES", lanes).constant("ROWS", rows).constant("WIDTH", width);
                (source.library(PRODUCT_SUBGROUP), tiles)
            }
            Tile::Workgroup { rows, width, slices } => {
                let source = source
                    .constant("ROWS", rows)
                    .constant("WIDTH", width)
                    .constant("SLICES", slices)
                    .library(PRODUCT_WORKGROUP);
                (source, self.rows.div_ceil(8 * rows))
            }
            Tile::Invocations(_) | Tile::Tasks(_) => unreachable!("no candidate of a product"),
        };
        Ok((source, [row_tiles, self.phases * column_tiles]))
    }
}

/// How a dense layer's inputs are read.
fn inputs(layer: &Layer) -> &'static str {
    if layer.bytes { INPUTS_BYTES } else { INPUTS_FLOATS }
}

/// A layer and a number of examples, in words.
fn shape(layer: &Layer, examples: usize) -> String {
    let image = |shape: Shape| format!("{}x{}x{}", shape.channels, shape.height, shape.width);
    let operation = match layer.op {
        Op::Conv(window) => {
            let pair = |[y, x]: [usize; 2]| format!("{y}x{x}");
            let [kernel, stride, before] = [window.kernel, window.stride, window.before].map(pair);
            format!("conv {kernel}/{stride}-{before}")
        }
        _ => "dense".to_string(),
    };
    format!("{operation} {} to {}, {examples} examples", image(layer.input), image(layer.output))
}

/// The tiles of one or several groups of 64 invocations that a product may have.
struct Groups<'a> {
    /// Rows and width of an invocation's part.
    sizes: &'a [(usize, usize)],
    /// Vectors of columns that there are.
    columns: usize,
    /// Blocks that groups can share at most.
    blocks: usize,
    /// Vectors of workgroup memory for an invocation's rows and width, and a number of groups.
    vectors: fn(usize, usize, usize) -> usize,
}

impl Groups<'_> {
    /// Those that have room. The first is the one of so many rows, columns and groups, or as many groups as fit.
    fn candidates(
        &self,
        profile: &Profile,
        (rows, width, slices): (usize, usize, usize),
    ) -> Vec<Tile> {
        let room = |slices: usize, (rows, width): (usize, usize)| {
            slices <= self.blocks
                && (width == 1 || self.columns > 8)
                && 64 * slices <= profile.largest_workgroup as usize
                && 16 * (self.vectors)(rows, width, slices) <= profile.workgroup_memory as usize
        };
        let most = |wanted: usize| {
            [4, 2].into_iter().find(|slices| *slices <= wanted && room(*slices, (rows, width)))
        };
        let default = Tile::Workgroup { rows, width, slices: most(slices).unwrap_or(1) };
        let all = [1, 2, 4, 8].into_iter().flat_map(|slices| {
            let fitting = self.sizes.iter().filter(move |size| slices == 1 || room(slices, **size));
            let fitting = fitting.filter(|(_, width)| *width == 1 || self.columns > 8);
            fitting.map(move |(rows, width)| Tile::Workgroup { rows: *rows, width: *width, slices })
        });
        [default].into_iter().chain(all.filter(|tile| *tile != default)).collect()
    }
}

/// Rows of a layer's outputs whose pixels are summed by themselves in the weights' gradient: about
/// [`Blocks::pixels`] of them, a multiple of eight, and no block nearly empty.
fn line_block(profile: &Profile, layer: &Layer, examples: usize) -> usize {
    let (lines, width) = (examples * layer.output.height, layer.output.width);
    let step = [1, 2, 4, 8].into_iter().find(|step| (step * width).is_multiple_of(8)).unwrap_or(8);
    let most = (Blocks::of(profile).pixels / width).max(1).next_multiple_of(step);
    lines.div_ceil(lines.div_ceil(most)).next_multiple_of(step)
}

/// What the device's table of variants knows a kernel by. How many batches there are says which tiles keep a real
/// GPU busy; a software device is busy with one.
fn key(profile: &Profile, kernel: &str, shape: &str, count: usize) -> String {
    match profile.software {
        true => format!("{kernel}, {shape}"),
        false => {
            format!("{kernel}, {shape}, {} batches", count.next_power_of_two().min(MOST_BATCHES))
        }
    }
}

/// The tiles that may run the weights' gradient of `layer` on `count` batches of `examples`.
pub(super) fn gradient_candidates(
    profile: &Profile,
    layer: &Layer,
    [count, examples]: [usize; 2],
) -> Tiles {
    let (rows, columns) = (weights(layer).rows() / 4, weights(layer).columns() / 4);
    let blocks = (examples * layer.output.height).div_ceil(line_block(profile, layer, examples));
    let candidates = match profile.broadcast_lanes() {
        Some(lanes) => {
            let lanes = lanes as usize;
            let height = lanes.min(rows);
            let (high, wide) = (rows >= 2 * lanes, columns >= 2 * lanes);
            // What is the fastest more often comes first: there may be no time for all.
            let sizes = [
                (true, (height, 1)),
                (high && wide, (2 * lanes, 2)),
                (wide, (height, 2)),
                (high, (2 * lanes, 1)),
            ];
            let sizes = sizes.into_iter().filter(|(fits, _)| *fits).map(|(_, size)| size);
            sizes.map(|(rows, width)| Tile::Subgroup { lanes, rows, width }).collect()
        }
        None => {
            let sizes: &[(usize, usize)] = match rows {
                9.. => &[(1, 1), (2, 1), (4, 1), (2, 2)],
                _ => &[(1, 1), (1, 2)],
            };
            let vectors = |rows, width, slices| {
                slices * 64 * (rows + width) + (slices - 1) * 64 * (4 * rows + 1) * width
            };
            let groups = Groups { sizes, columns, blocks, vectors };
            let slices = match rows.div_ceil(8) * columns.div_ceil(8) * count {
                _ if profile.software => 1,
                1024.. => 1,
                257.. => 2,
                _ => 4,
            };
            groups.candidates(profile, (1, 1, slices))
        }
    };
    Tiles { key: key(profile, "layer_update", &shape(layer, examples), count), candidates }
}

/// Adds the libraries and sizes of the weights' gradient G = Aᵀ · B on `count` batches of
/// `examples`, and says the grid's row tiles and column tiles; see `shaders/lib/gradient_*.wgsl`.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end the sum over all pixels early.
pub(super) fn gradient_tiles(
    gpu: &Gpu,
    source: Source,
    layer: &Layer,
    [count, examples]: [usize; 2],
) -> Result<(Source, [usize; 2])> {
    let weights = weights(layer);
    let (rows, columns) = (weights.rows() / 4, weights.columns() / 4);
    let [library, its] = match layer.op {
        Op::Conv(_) if layer.narrow => [CELLS_NARROW, ""],
        Op::Conv(_) => [CELLS_WINDOW, ""],
        _ => [CELLS_DENSE, inputs(layer)],
    };
    let profile = gpu.profile();
    let tile = gradient_candidates(profile, layer, [count, examples]).choose(gpu);
    let source = source
        .library(library)
        .library(its)
        .variant(tile.to_string())
        .constant("ROW_VECTORS", rows)
        .constant("COLUMNS", columns)
        .constant("LINE_BLOCK", line_block(profile, layer, examples));
    let lines = examples * layer.output.height;
    match tile {
        Tile::Subgroup { lanes, rows: block, width } => {
            let rounds = |at_once: usize| lines * (layer.output.width / at_once + 2);
            let pixels = pixels_at_once(profile, layer.output.width, rounds);
            profile.check_rounds(source.name(), rounds(pixels), "inner.batch")?;
            let source = source
                .constant("LANES", lanes)
                .constant("ROW_BLOCK", block)
                .constant("WIDTH", width)
                .constant("X_BLOCK", pixels)
                .library(GRADIENT_SUBGROUP);
            Ok((source, [rows.div_ceil(block), columns.div_ceil(lanes * width)]))
        }
        Tile::Workgroup { rows: block, width, slices } => {
            let rounds = (lines * layer.output.width).div_ceil(8) + 3 * lines;
            profile.check_rounds(source.name(), rounds, "inner.batch")?;
            let source = source
                .constant("ROWS", block)
                .constant("WIDTH", width)
                .constant("SLICES", slices)
                .library(GRADIENT_WORKGROUP);
            Ok((source, [rows.div_ceil(8 * block), columns.div_ceil(8 * width)]))
        }
        Tile::Invocations(_) | Tile::Tasks(_) => unreachable!("no candidate of a gradient"),
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
