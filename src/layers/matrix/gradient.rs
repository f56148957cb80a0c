//! The weights' gradients of dense layers and convolutions: what a row of weights sees, and how the sum over all pixels
//! is cut into tiles on a device.

use crate::dispatch::{BUSY, Blocks, Group, Groups, Tile, Tiles, at_once, key};
use crate::error::Result;
use crate::gpu::{Gpu, Profile, Source};
use crate::layers::Place;
use crate::layers::matrix::product::{inputs, shape, weights};
use crate::layers::parameters::Reads;

const GRADIENT_SUBGROUP: &str = shader!("lib/gradient_subgroup.wgsl");
const GRADIENT_DIRECT: &str = shader!("lib/gradient_direct.wgsl");
const GRADIENT_WORKGROUP: &str = shader!("lib/gradient_workgroup.wgsl");
const CELLS_DENSE: &str = shader!("lib/cells_dense.wgsl");
const CELLS_WINDOW: &str = shader!("lib/cells_window.wgsl");
const CELLS_NARROW: &str = shader!("lib/cells_narrow.wgsl");

/// Rows of a layer's outputs whose pixels are summed by themselves in the weights' gradient: about
/// [`Blocks::pixels`] of them, a multiple of eight, and no block nearly empty.
fn line_block(profile: &Profile, place: &Place, examples: usize) -> usize {
    let (lines, width) = (examples * place.output.height, place.output.width);
    let step = [1, 2, 4, 8].into_iter().find(|step| (step * width).is_multiple_of(8)).unwrap_or(8);
    let most = (Blocks::of(profile).pixels / width).max(1).next_multiple_of(step);
    lines.div_ceil(lines.div_ceil(most)).next_multiple_of(step)
}

/// How many blocks of that many rows there are.
fn blocks(profile: &Profile, place: &Place, examples: usize) -> usize {
    (examples * place.output.height).div_ceil(line_block(profile, place, examples))
}

/// A group that owns one block of 4×4 an invocation.
const NARROW: Group = Group::new(8, [1, 1], 8);

/// Twice as many of them, and twice as many pixels a round.
const BROAD: Group = Group::new(16, [1, 1], 16);

/// The same with two blocks of 4×4 an invocation.
const TALL: Group = Group::new(16, [2, 1], 16);

/// Row vectors up to which a real GPU may do without tiles.
const FEW_ROWS: usize = 8;

/// Bytes of a workgroup without tiles, so that three lie on a multiprocessor.
const SHARED_MEMORY: usize = 19 << 10;

/// Vector columns of a workgroup without tiles: fewer where workgroups are few.
fn direct_columns(columns: usize, count: usize) -> usize {
    let busy = [4, 2].into_iter().find(|at_once| count * columns.div_ceil(*at_once) >= BUSY);
    busy.unwrap_or(1).min(columns)
}

/// Without tiles: as many groups as have room share the `blocks` of a sum of `rows` row vectors and `columns` vector
/// columns evenly. Where there are many of `workgroups`, several have room together.
fn direct(
    profile: &Profile,
    [rows, columns]: [usize; 2],
    blocks: usize,
    workgroups: usize,
) -> Option<Tile> {
    let lanes = rows * columns;
    // Five vectors an invocation.
    let groups = |bytes: usize| (bytes / 80).min(profile.largest_workgroup as usize) / lanes;
    let mut most = groups(profile.workgroup_memory as usize).min(blocks);
    if workgroups > at_once(80 * lanes * most) {
        most = most.min(groups(SHARED_MEMORY).max(1));
    }
    let fits = !profile.software && rows <= FEW_ROWS && most > 0;
    fits.then(|| Tile::Direct(blocks.div_ceil(blocks.div_ceil(most))))
}

/// The tiles that may run the weights' gradient of `layer` on `count` batches of `examples`.
pub(super) fn gradient_candidates(
    profile: &Profile,
    place: &Place,
    [count, examples]: [usize; 2],
) -> Tiles {
    let (rows, columns) = (weights(place).rows() / 4, weights(place).columns() / 4);
    let blocks = blocks(profile, place, examples);
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
            let kinds: &[Group] = match rows {
                9.. => &[NARROW, BROAD, TALL],
                _ => &[NARROW, Group::new(8, [1, 2], 8)],
            };
            let vectors =
                |group: Group, slices| slices * group.depth * (8 * group.rows + group.columns());
            let groups = Groups { kinds, columns, blocks, vectors };
            // So many groups of invocations in all keep a large GPU busy (docs/kernels.md).
            let tiles = rows.div_ceil(8) * columns.div_ceil(8) * count;
            let slices = if profile.software { 1 } else { (1024 / tiles).clamp(1, 16) };
            // Measured on an H200 (docs/kernels.md).
            let group = match tiles {
                _ if profile.software || rows <= 8 || columns <= 8 => NARROW,
                4096.. => TALL,
                _ if weights(place).reads == Reads::All => NARROW,
                _ => BROAD,
            };
            let tiled = groups.candidates(profile, group, slices);
            let at_a_time = direct_columns(columns, count);
            let workgroups = count * columns.div_ceil(at_a_time);
            let direct = direct(profile, [rows, at_a_time], blocks, workgroups);
            // Measured for a first convolution, whose lanes of a tile would be idle for the most part (docs/kernels.md).
            match weights(place).reads {
                Reads::NarrowWindow => direct.into_iter().chain(tiled).collect(),
                Reads::All | Reads::Window => tiled.into_iter().chain(direct).collect(),
            }
        }
    };
    Tiles { key: key(profile, "layer_update", &shape(place, examples), count), candidates }
}

/// Adds the libraries and sizes of the weights' gradient G = Aᵀ · B on `count` batches of
/// `examples`, and says the grid's row tiles and column tiles; see `shaders/lib/gradient_*.wgsl`.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end the sum over all pixels early.
pub(super) fn gradient_tiles(
    gpu: &Gpu,
    source: Source,
    place: &Place,
    [count, examples]: [usize; 2],
) -> Result<(Source, [usize; 2])> {
    let weights = weights(place);
    let (rows, columns) = (weights.rows() / 4, weights.columns() / 4);
    let [library, its] = match weights.reads {
        Reads::All => [CELLS_DENSE, inputs(place)],
        Reads::Window => [CELLS_WINDOW, ""],
        Reads::NarrowWindow => [CELLS_NARROW, ""],
    };
    let profile = gpu.profile();
    let tile = gradient_candidates(profile, place, [count, examples]).choose(gpu);
    let source = source
        .library(library)
        .library(its)
        .variant(tile.to_string())
        .constant("ROW_VECTORS", rows)
        .constant("COLUMNS", columns)
        .constant("LINE_BLOCK", line_block(profile, place, examples));
    let lines = examples * place.output.height;
    let blocks = blocks(profile, place, examples);
    match tile {
        Tile::Subgroup { lanes, rows: block, width } => {
            // Each row vector is stored as four rows, in turn.
            let stored = 5 * block * width;
            let all = lines * place.output.width;
            let rounds = |pixels: usize| all.div_ceil(pixels) + 3 * blocks + stored;
            let pixels = pixels_at_once(profile, rounds);
            profile.check_rounds(source.name(), rounds(pixels), "inner.batch")?;
            let source = source
                .constant("LANES", lanes)
                .constant("ROW_BLOCK", block)
                .constant("WIDTH", width)
                .constant("PIXELS", pixels)
                .library(GRADIENT_SUBGROUP);
            Ok((source, [rows.div_ceil(block), columns.div_ceil(lanes * width)]))
        }
        Tile::Workgroup { group, slices } => {
            // Pixels, blocks, and what groups hand over behind each.
            let sums = (4 * group.rows + 1) * group.width;
            let rounds = (lines * place.output.width).div_ceil(group.depth) + (4 + sums) * lines;
            profile.check_rounds(source.name(), rounds, "inner.batch")?;
            let source = source
                .constant("ACROSS", group.across)
                .constant("ROWS", group.rows)
                .constant("WIDTH", group.width)
                .constant("AT_ONCE", group.depth)
                .constant("SLICES", slices)
                .library(GRADIENT_WORKGROUP);
            Ok((source, [rows.div_ceil(8 * group.rows), columns.div_ceil(group.columns())]))
        }
        Tile::Direct(slices) => {
            let rounds = lines.div_ceil(slices) * (place.output.width + 2) + 2 * lines;
            profile.check_rounds(source.name(), rounds, "inner.batch")?;
            let at_once = direct_columns(columns, count);
            let source = source
                .constant("SLICES", slices)
                .constant("TILE_COLUMNS", at_once)
                .library(GRADIENT_DIRECT);
            Ok((source, [1, columns.div_ceil(at_once)]))
        }
        tile => unreachable!("{tile} is no candidate of a gradient"),
    }
}

/// Pixels that one round of the loop takes: two, since every round also stores its sums, unless the driver allows fewer rounds
/// than that takes (docs/kernels.md).
fn pixels_at_once(profile: &Profile, rounds: impl Fn(usize) -> usize) -> usize {
    let most = profile.loop_rounds.unwrap_or(usize::MAX);
    [2, 4, 8].into_iter().find(|pixels| rounds(*pixels) <= most).unwrap_or(8)
}
