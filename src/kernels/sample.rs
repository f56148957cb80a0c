//! `shaders/sample_sine.wgsl`, `sample_episode.wgsl`, `sample_listed.wgsl` and `sample_order.wgsl`: tasks from random
//! numbers, each with the order of its minibatches.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, Axis, PRECISE_SIN, RNG, RUN_STEP, RunSteps, call};
use crate::rng::Phase;
use crate::tasks::{Batches, SineSpec};

const RANK_WORKGROUP: &str = shader!("lib/rank_workgroup.wgsl");
const RANK_SUBGROUP: &str = shader!("lib/rank_subgroup.wgsl");

/// What the order of a batch that need not be full is made with.
fn order_of_some(source: Source, batches: &Batches) -> Source {
    source
        .library(shader!("lib/order_some.wgsl"))
        .constant("BATCH", batches.batch)
        .constant("STEPS", batches.steps)
        .constant("REPLACEMENT", batches.replacement)
}

/// Who draws a task's examples beside the order of their minibatches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Drawing {
    /// Nobody: there is the order alone.
    Nothing,
    /// A lane each, so many.
    Lanes(usize),
    /// A workgroup of 64 lanes each, so many.
    Workgroups(usize),
}

/// Adds the sampler's libraries and the constants of the order; returns the source, and the grid: of each task rows of workgroups
/// that draw, then one for each layer of passes. Of `some` batches not all examples are there.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end the ranking of the elements early.
pub(super) fn with_order(
    gpu: &Gpu,
    source: Source,
    axis: Axis,
    batches: &Batches,
    drawing: Drawing,
    some: bool,
) -> Result<(Source, [usize; 3])> {
    let rounds = 2 * batches.pool();
    gpu.profile().check_rounds(source.name(), rounds, "support examples of a task")?;
    let ordered = ordered_elements(batches);
    let (library, block, pass_lanes) = match (drawing, gpu.profile().broadcast_lanes()) {
        (Drawing::Nothing | Drawing::Lanes(_), Some(lanes)) => {
            (RANK_SUBGROUP, lanes as usize, lanes as usize)
        }
        _ => {
            let block = match drawing {
                Drawing::Nothing => ordered.next_power_of_two().clamp(8, 64),
                Drawing::Lanes(count) => count.max(ordered).next_power_of_two().clamp(8, 64),
                Drawing::Workgroups(_) => 64,
            };
            (RANK_WORKGROUP, block, ordered.min(block))
        }
    };
    let drawn = match drawing {
        Drawing::Nothing => 0,
        Drawing::Lanes(count) => count.div_ceil(block),
        Drawing::Workgroups(count) => count,
    };
    // The rows of one task have the same length: whatever a row has too many returns at once.
    let across = ordered.div_ceil(pass_lanes);
    let rows = drawn.div_ceil(across);
    // At least one, so that a tail alone is written as well. With few examples every minibatch is a pass.
    let passes = if some { batches.passes().max(batches.steps) } else { batches.passes() };
    let layers = passes.max(1).div_ceil(block / pass_lanes);
    let source = if some {
        order_of_some(source, batches)
    } else {
        source
            .library(shader!("lib/order_all.wgsl"))
            .constant("POOL", batches.pool())
            .constant("TAKE", batches.take())
    };
    let source = source
        .library(RUN_STEP)
        .library(RNG)
        .library(library)
        .library(shader!("lib/order.wgsl"))
        .constant("BLOCK", block)
        .constant("PASS_LANES", pass_lanes)
        .constant("TASKS_PER_RUN", axis.per_run)
        .constant("WAY", batches.way)
        .constant("GROUP", batches.group)
        .constant("TAIL", batches.tail)
        .constant("ORDERED", batches.ordered())
        .constant("ORDER_STRIDE", batches.order_len())
        .constant("ORDER_BLOCKS", across)
        .constant("EXAMPLE_ROWS", rows);
    Ok((source, [across, rows + layers, axis.tasks()]))
}

/// Elements that the order's passes have to cover.
fn ordered_elements(batches: &Batches) -> usize {
    batches.pool().max(batches.way * batches.tail)
}

/// Records sine tasks: support rows `[T, N]`, `order` and, if `queries`, the whole grid as query rows
/// `[T, points]`.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn sample_sine(
    gpu: &Gpu,
    recording: &mut Recording,
    spec: &SineSpec,
    axis: Axis,
    batches: &Batches,
    queries: bool,
    runs: &RunSteps,
    order: &wgpu::Buffer,
    [support_x, support_y]: [&wgpu::Buffer; 2],
    [query_x, query_y]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let source = Source::new("sample_sine", shader!("sample_sine.wgsl"))
        .library(PRECISE_SIN)
        .constant("POINTS", spec.points)
        .constant("SUPPORT", batches.support())
        .constant("QUERIES", queries)
        .constant("AMPLITUDE_LOW", spec.amplitude[0])
        .constant("AMPLITUDE_HIGH", spec.amplitude[1])
        .constant("PHASE_LOW", spec.phase[0])
        .constant("PHASE_HIGH", spec.phase[1])
        .constant("RANGE_LOW", spec.range[0])
        .constant("RANGE_HIGH", spec.range[1]);
    let drawing = Drawing::Lanes(spec.points);
    let (source, grid) = with_order(gpu, source, axis, batches, drawing, false)?;
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", order),
        Argument::Buffer("support_x", support_x),
        Argument::Buffer("support_y", support_y),
        Argument::Buffer("query_x", query_x),
        Argument::Buffer("query_y", query_y),
    ];
    let points = batches.support() + if queries { spec.points } else { 0 };
    let work = Work::words(axis.tasks() * (batches.order_len() + 8 * points));
    call(gpu, recording, &source, &arguments, grid, work)
}

/// Records episodes: image numbers of the support `[T, N]` and of the queries
/// [T, way · `queries`], and `order`. `classes` `[class count]` holds (first image, images).
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn sample_episode(
    gpu: &Gpu,
    recording: &mut Recording,
    axis: Axis,
    batches: &Batches,
    queries: usize,
    runs: &RunSteps,
    (classes, class_count): (&wgpu::Buffer, usize),
    order: &wgpu::Buffer,
    support: &wgpu::Buffer,
    query: &wgpu::Buffer,
) -> Result<()> {
    let source = Source::new("sample_episode", shader!("sample_episode.wgsl"))
        .constant("CLASSES", class_count)
        .constant("QUERIES", queries)
        .constant("DRAWS", batches.way.max(batches.group + queries));
    let drawing = Drawing::Lanes(batches.way);
    let (source, grid) = with_order(gpu, source, axis, batches, drawing, false)?;
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", order),
        Argument::Buffer("classes", classes),
        Argument::Buffer("support", support),
        Argument::Buffer("query", query),
    ];
    let images = batches.support() + batches.way * queries;
    let work = Work::words(axis.tasks() * (batches.order_len() + 2 * batches.way + images));
    call(gpu, recording, &source, &arguments, grid, work)
}

/// Records tasks of a list: numbers of the support examples `[T, N]` and of `queries` query examples a task, and `order`.
/// `listed` `[tasks of the list]` holds (first example, examples).
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn sample_listed(
    gpu: &Gpu,
    recording: &mut Recording,
    axis: Axis,
    batches: &Batches,
    queries: usize,
    runs: &RunSteps,
    (listed, count): (&wgpu::Buffer, usize),
    order: &wgpu::Buffer,
    [support, query]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let examples = batches.group + queries;
    gpu.profile().check_rounds("sample_listed", examples, "examples of a task")?;
    let source = Source::new("sample_listed", shader!("sample_listed.wgsl"))
        .constant("LISTED", count)
        .constant("QUERIES", queries)
        .constant("PHASE_TRAIN", Phase::Train as usize);
    let drawing = Drawing::Lanes(examples);
    let (source, grid) = with_order(gpu, source, axis, batches, drawing, false)?;
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", order),
        Argument::Buffer("listed", listed),
        Argument::Buffer("support", support),
        Argument::Buffer("query", query),
    ];
    let listed_words = (2 * axis.tasks()).min(listed.size() as usize / 4);
    let work = Work::words(axis.tasks() * (batches.order_len() + examples) + listed_words);
    call(gpu, recording, &source, &arguments, grid, work)
}

/// Records the order of the minibatches alone; of `some` batches not all examples are there, and the settings of the run
/// say how many.
///
/// # Errors
/// See [`call`].
pub fn sample_order(
    gpu: &Gpu,
    recording: &mut Recording,
    axis: Axis,
    batches: &Batches,
    runs: &RunSteps,
    order: &wgpu::Buffer,
    some: bool,
) -> Result<()> {
    let source = Source::new("sample_order", shader!("sample_order.wgsl"));
    let (source, grid) = with_order(gpu, source, axis, batches, Drawing::Nothing, some)?;
    let arguments = [Argument::Runs(runs), Argument::Buffer("order", order)];
    let work = Work::words(axis.tasks() * batches.order_len());
    call(gpu, recording, &source, &arguments, grid, work)
}
