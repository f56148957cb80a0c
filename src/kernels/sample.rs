//! `shaders/sample_sine.wgsl`, `sample_episode.wgsl`, `sample_listed.wgsl` and `sample_order.wgsl`: tasks from random
//! numbers, each with the order of its minibatches.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, Axis, PRECISE_SIN, RNG, RUN_STEP, RunSteps, call};
use crate::rng::Phase;
use crate::tasks::{Batches, SineSpec};

const RANK_WORKGROUP: &str = shader!("lib/rank_workgroup.wgsl");
const RANK_SUBGROUP: &str = shader!("lib/rank_subgroup.wgsl");

/// What the order of a batch that need not be full is made with; `blocks` workgroups cover the elements.
fn order_of_some(source: Source, batches: &Batches, blocks: usize) -> Source {
    source
        .library(shader!("lib/order_some.wgsl"))
        .constant("BATCH", batches.batch)
        .constant("STEPS", batches.steps)
        .constant("REPLACEMENT", batches.replacement)
        .constant("BLOCKS", blocks)
}

/// Adds the sampler's libraries and the constants of the order, for a grid that covers `elements`
/// elements in workgroups of `block` lanes, or of as many as suit the device; returns the source, the
/// number of blocks and the layers that the passes take. Of `some` batches not all examples are there.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end the ranking of the elements early.
pub(super) fn with_order(
    gpu: &Gpu,
    source: Source,
    axis: Axis,
    batches: &Batches,
    elements: usize,
    block: Option<usize>,
    some: bool,
) -> Result<(Source, [usize; 2])> {
    let rounds = 2 * batches.pool();
    gpu.profile().check_rounds(source.name(), rounds, "support examples of a task")?;
    let subgroup = gpu.profile().broadcast_lanes().filter(|_| block.is_none());
    let (library, block, pass_lanes) = match subgroup {
        Some(lanes) => (RANK_SUBGROUP, lanes as usize, lanes as usize),
        None => {
            let block = block.unwrap_or(elements.next_power_of_two().clamp(8, 64));
            (RANK_WORKGROUP, block, ordered_elements(batches).min(block))
        }
    };
    // At least one, so that a tail alone is written as well. With few examples every minibatch is a pass.
    let passes = if some { batches.passes().max(batches.steps) } else { batches.passes() };
    let layers = passes.max(1).div_ceil(block / pass_lanes);
    let blocks = elements.div_ceil(block);
    let source = if some {
        order_of_some(source, batches, blocks)
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
        .constant("ORDER_STRIDE", batches.order_len());
    Ok((source, [blocks, layers]))
}

/// Elements that the order's passes have to cover.
pub(super) fn ordered_elements(batches: &Batches) -> usize {
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
    let elements = spec.points.max(ordered_elements(batches));
    let (source, [blocks, layers]) = with_order(gpu, source, axis, batches, elements, None, false)?;
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
    call(gpu, recording, &source, &arguments, [blocks, 1 + layers, axis.tasks()], work)
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
    let elements = batches.way.max(ordered_elements(batches));
    let (source, [blocks, layers]) = with_order(gpu, source, axis, batches, elements, None, false)?;
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", order),
        Argument::Buffer("classes", classes),
        Argument::Buffer("support", support),
        Argument::Buffer("query", query),
    ];
    let images = batches.support() + batches.way * queries;
    let work = Work::words(axis.tasks() * (batches.order_len() + 2 * batches.way + images));
    call(gpu, recording, &source, &arguments, [blocks, 1 + layers, axis.tasks()], work)
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
    let elements = examples.max(ordered_elements(batches));
    let (source, [blocks, layers]) = with_order(gpu, source, axis, batches, elements, None, false)?;
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", order),
        Argument::Buffer("listed", listed),
        Argument::Buffer("support", support),
        Argument::Buffer("query", query),
    ];
    let listed_words = (2 * axis.tasks()).min(listed.size() as usize / 4);
    let work = Work::words(axis.tasks() * (batches.order_len() + examples) + listed_words);
    call(gpu, recording, &source, &arguments, [blocks, 1 + layers, axis.tasks()], work)
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
    let (source, [blocks, layers]) =
        with_order(gpu, source, axis, batches, ordered_elements(batches), None, some)?;
    let arguments = [Argument::Runs(runs), Argument::Buffer("order", order)];
    let work = Work::words(axis.tasks() * batches.order_len());
    call(gpu, recording, &source, &arguments, [blocks, layers, axis.tasks()], work)
}
