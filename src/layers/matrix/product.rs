//! The products of dense layers and convolutions, forward and backward: where rows lie, and how the work is cut into
//! tiles on a device.

use crate::dispatch::{Blocks, Group, Groups, Tile, Tiles, at_once, key};
use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Source};
use crate::layers::parameters::{Reads, Weights};
use crate::layers::shape::{Shape, vectors};
use crate::layers::{Batch, Place};

const PRODUCT_SUBGROUP: &str = shader!("lib/product_subgroup.wgsl");
const PRODUCT_WORKGROUP: &str = shader!("lib/product_workgroup.wgsl");

const INPUTS_FLOATS: &str = shader!("lib/inputs_floats.wgsl");
const INPUTS_BYTES: &str = shader!("lib/inputs_bytes.wgsl");
const ROWS_DENSE: &str = shader!("lib/rows_dense.wgsl");
const ROWS_WINDOW: &str = shader!("lib/rows_window.wgsl");
const ROWS_NARROW: &str = shader!("lib/rows_narrow.wgsl");
const ROWS_TRANSPOSED: &str = shader!("lib/rows_transposed.wgsl");

/// What the rows of a convolution's forward product start with.
const WINDOW_ORIGIN: &str = shader!("lib/window_origin.wgsl");

/// The groups of invocations that may own a tile.
const GROUPS: [Group; 5] = [
    Group::new(8, [2, 1], 4),
    Group::new(8, [2, 1], 8),
    Group::new(8, [4, 1], 4),
    Group::new(8, [4, 2], 4),
    Group::new(16, [8, 1], 4),
];

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
    pub fn forward(place: &Place, examples: usize) -> Self {
        let weights = weights(place);
        let libraries = match weights.reads {
            Reads::All => [ROWS_DENSE, inputs(place)],
            Reads::Window => [ROWS_WINDOW, WINDOW_ORIGIN],
            Reads::NarrowWindow => [ROWS_NARROW, WINDOW_ORIGIN],
        };
        let (depth, taps) = match weights.reads {
            Reads::All => (weights.rows() / 4, 1),
            Reads::Window | Reads::NarrowWindow => (vectors(weights.channels), weights.taps),
        };
        let (rows, columns) = (examples * place.output.pixels(), weights.columns() / 4);
        Self { libraries, rows, columns, depth, taps, phases: 1, shape: shape(place, examples) }
    }

    /// From the gradient by a layer's outputs to the one by its inputs.
    pub fn backward(place: &Place, examples: usize) -> Self {
        let depth = weights(place).columns() / 4;
        if weights(place).reads == Reads::All {
            let columns = weights(place).rows() / 4;
            return Self {
                libraries: [ROWS_DENSE, INPUTS_FLOATS],
                rows: examples,
                columns,
                depth,
                taps: 1,
                phases: 1,
                shape: shape(place, examples),
            };
        }
        let window = place.window;
        let [sy, sx] = window.stride;
        let pixels = place.input.height.div_ceil(sy) * place.input.width.div_ceil(sx);
        let columns = vectors(place.input.channels);
        let rows = examples * pixels;
        // Those of one phase at most.
        let taps = window.kernel[0].div_ceil(sy) * window.kernel[1].div_ceil(sx);
        let phases = sy * sx;
        let shape = shape(place, examples);
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
                // The text of more rows leaves the processor's cache of decoded instructions; numbers of a window that
                // are looked for one by one are dear, and serve more columns (docs/kernels.md).
                let narrow = self.libraries[0] == ROWS_NARROW;
                let sizes = match self.columns >= 2 * lanes {
                    true if narrow => vec![(8, 2), (16, 1), (16, 2)],
                    true => vec![(16, 1), (24, 2), (32, 1), (16, 2)],
                    false => vec![(16, 1), (24, 1), (32, 1)],
                };
                let tile = |(rows, width)| Tile::Subgroup { lanes, rows, width };
                sizes.into_iter().map(tile).collect()
            }
            (None, subgroup) => {
                let groups = Groups {
                    kinds: &GROUPS,
                    columns: self.columns,
                    blocks: self.blocks(profile),
                    vectors: workgroup_vectors,
                };
                let (group, slices) = self.default_groups(profile, count);
                let mut all = groups.candidates(profile, group, slices);
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

    /// The tile of groups that is taken without a measurement, and its number of groups.
    fn default_groups(&self, profile: &Profile, count: usize) -> (Group, usize) {
        let fitting = self.rows.div_ceil(8).min(4).next_power_of_two();
        let tiles = |rows: usize| {
            self.rows.div_ceil(8 * rows) * self.columns.div_ceil(8) * self.phases * count
        };
        // Measured on an H200 (docs/kernels.md).
        let wide = self.columns > 8;
        let large = self.rows.div_ceil(32) * self.columns.div_ceil(16) * count;
        let deep = wide && self.phases == 1 && fitting == 4 && self.blocks(profile) > 5;
        let narrow = |rows| Group::new(8, [rows, 1], 4);
        let blocks = self.blocks(profile);
        match tiles(fitting) {
            _ if profile.software => (narrow(fitting), 1),
            _ if deep && (100..512).contains(&large) => (Group::new(8, [4, 2], 4), 4),
            2048.. if wide && fitting == 4 && blocks > 1 => (Group::new(16, [8, 1], 4), 1),
            1024.. if wide && self.phases == 1 => (Group::new(8, [fitting, 2], 4), 1),
            1024.. => (narrow(fitting), 1),
            257.. if blocks > 1 => (narrow(fitting), 2),
            257.. => (narrow(fitting.min(2)), 1),
            _ => {
                let rows = fitting.min(2);
                let slices = blocks.min(8);
                // Fewer, longer rounds, if as many workgroups still run at once.
                let long = Group::new(8, [rows, 1], 8);
                let bytes = 16 * workgroup_vectors(long, slices);
                let fits = self.depth >= long.depth && bytes <= profile.workgroup_memory as usize;
                match fits && tiles(rows) <= at_once(bytes) {
                    true => (long, slices),
                    false => (narrow(rows), slices),
                }
            }
        }
    }

    /// Adds the libraries and sizes of the device's tile for `count` batches, and says the grid's row tiles and
    /// its phases · column tiles.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the driver would end the sum over the inputs early.
    pub fn tiles(&self, gpu: &Gpu, source: Source, count: usize) -> Result<(Source, [usize; 2])> {
        let [tap_block, depth_block] = self.block(gpu.profile());
        let tile = self.candidates(gpu.profile(), source.name(), count).choose(gpu);
        // Taps and the rounds of each, what groups hand over behind each block, and what a subgroup stores.
        let (sums, stored) = match tile {
            Tile::Workgroup { group, .. } => (group.rows * group.width, 0),
            Tile::Subgroup { rows, width, .. } => (0, rows * width),
            _ => (0, 0),
        };
        let depths = self.depth.div_ceil(depth_block);
        let rounds = self.taps * depths * (1 + 5 * depth_block.div_ceil(4))
            + (4 + sums) * self.blocks(gpu.profile())
            + stored;
        gpu.profile().check_rounds(source.name(), rounds, "model.layers")?;
        let columns_at_once = match tile {
            Tile::Subgroup { lanes, width, .. } => lanes * width,
            Tile::Workgroup { group, .. } => group.columns(),
            tile => unreachable!("{tile} is no candidate of a product"),
        };
        let column_tiles = self.columns.div_ceil(columns_at_once);
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
            Tile::Workgroup { group, slices } => {
                let source = source
                    .constant("ACROSS", group.across)
                    .constant("ROWS", group.rows)
                    .constant("WIDTH", group.width)
                    .constant("TILE_DEPTH", group.depth)
                    .constant("SLICES", slices)
                    .library(PRODUCT_WORKGROUP);
                (source, self.rows.div_ceil(8 * group.rows))
            }
            tile => unreachable!("{tile} is no candidate of a product"),
        };
        Ok((source, [row_tiles, self.phases * column_tiles]))
    }
}

/// Vectors of workgroup memory: tiles of both factors, or what all groups but the first hand over.
fn workgroup_vectors(group: Group, slices: usize) -> usize {
    let tiles = group.depth * (8 * group.rows + 2 + 4 * group.columns());
    let sums = group.invocations() * group.rows * group.width;
    (slices * tiles).max((slices - 1) * sums)
}

/// How a dense layer's inputs are read.
pub(super) fn inputs(place: &Place) -> &'static str {
    if place.bytes { INPUTS_BYTES } else { INPUTS_FLOATS }
}

/// What a layer's inputs consist of.
pub(super) fn elements(place: &Place) -> Element {
    match weights(place).reads {
        Reads::All if place.bytes => Element::Word,
        Reads::All | Reads::Window => Element::Vector,
        Reads::NarrowWindow => Element::Number,
    }
}

/// A layer and a number of examples, in words.
pub(super) fn shape(place: &Place, examples: usize) -> String {
    let image = |shape: Shape| format!("{}x{}x{}", shape.channels, shape.height, shape.width);
    let operation = match weights(place).reads {
        Reads::All => "dense".to_string(),
        Reads::Window | Reads::NarrowWindow => {
            let pair = |[y, x]: [usize; 2]| format!("{y}x{x}");
            let window = place.window;
            let [kernel, stride, before] = [window.kernel, window.stride, window.before].map(pair);
            format!("conv {kernel}/{stride}-{before}")
        }
    };
    format!("{operation} {} to {}, {examples} examples", image(place.input), image(place.output))
}

pub(super) fn weights(place: &Place) -> Weights {
    place.weights().expect("the kernel is for layers with weights")
}

/// The constants of a layer with weights.
pub(super) fn constants(source: Source, place: &Place, batch: Batch<'_>) -> Source {
    let weights = weights(place);
    let output = place.output;
    let row = match weights.reads {
        Reads::All => place.inputs_padded() / 4,
        Reads::Window | Reads::NarrowWindow => vectors(place.input.channels),
    };
    window_constants(source, place)
        .constant("BATCH", batch.examples)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", place.packed_offset / 4)
        .constant("BIAS_ROW", weights.rows())
        .constant("CHANNELS", place.input.channels)
        .constant("OUTPUTS", output.channels)
        .constant("IN4", row)
        .constant("OUT4", vectors(output.channels))
}

/// The constants of a window over the layer's input image.
pub(in crate::layers) fn window_constants(source: Source, place: &Place) -> Source {
    let window = place.window;
    source
        .constant("IN_HEIGHT", place.input.height)
        .constant("IN_WIDTH", place.input.width)
        .constant("OUT_HEIGHT", place.output.height)
        .constant("OUT_WIDTH", place.output.width)
        .constant("KERNEL_HEIGHT", window.kernel[0])
        .constant("KERNEL_WIDTH", window.kernel[1])
        .constant("STRIDE_Y", window.stride[0])
        .constant("STRIDE_X", window.stride[1])
        .constant("BEFORE_Y", window.before[0])
        .constant("BEFORE_X", window.before[1])
}
