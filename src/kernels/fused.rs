//! `shaders/fused_subgroup.wgsl` and `shaders/fused_workgroup.wgsl`: a task's whole inner loop in
//! one dispatch, for dense networks that fit.

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Recording, Source, Work};
use crate::kernels::gather_rows::targets;
use crate::kernels::{
    ACTIVATION, Argument, Axis, InnerRule, InnerState, ROW_OF, RUN_STEP, Rows, RunSteps, Tile,
    Tiles, broadcast, call, fused_loss, loss_numbers, vectors,
};
use crate::model::{Activation, Layer, Model};
use crate::tasks::{Batches, Segment};

/// Activations that a lane may keep in registers, in vectors.
const LARGEST_REGISTERS: usize = 192;
/// Weight vectors between hidden layers that a lane may keep in registers: as many as 64 × 64 weights
/// take on 8 lanes.
const LARGEST_RESIDENT: usize = 128;
/// Task-steps from which on they are kept there. Their loops are repeated whole: 5 s more to compile
/// for 12 µs less a task-step (docs/kernels.md), or 14 s for 10 µs where a step reads and writes more than weights.
const RESIDENT_WORK: u64 = 1 << 19;
const RESIDENT_WORK_WITH_STATE: u64 = 1 << 21;
/// Loads, products and stores of a step between hidden layers that the subgroup kernel may write out:
/// drivers take more than in proportion to compile them.
const LARGEST_TEXT: usize = 2200;
/// Storage buffers of the subgroup kernel beside the inner optimiser's state.
const SUBGROUP_BUFFERS: u32 = 7;
/// Predictions or logits that an invocation may keep in registers.
const LARGEST_OUTPUTS: usize = 32;
/// Floating-point operations of a step up to which the workgroup variant pays beside subgroup kernels.
const LARGEST_SLOW_STEP: u64 = 1 << 20;
/// Invocations of the workgroup variant, unless others were measured to be faster; and where it holds a few tasks'
/// weights itself on a real GPU.
const INVOCATIONS: usize = 64;
const MANY_INVOCATIONS: usize = 256;
/// Tasks up to which a large GPU has a multiprocessor for each, or for two: with more, the workgroup memory that weights
/// take leaves it idle (docs/kernels.md).
const FEW_TASKS: usize = 256;
/// Tasks beyond which all numbers of them share a measurement.
const MOST_TASKS: usize = 1024;
/// Rows that an invocation of the workgroup variant takes at a time at most.
const MOST_ROWS: usize = 3;
/// Columns of four rows of weights that the workgroup variant permutes by the number of the four: as many vectors as
/// workgroup memory gives at once.
const BANKS: usize = 8;

/// Which of the two kernels runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// With so many lanes.
    Subgroup(usize),
    /// With as many invocations as one of its [`candidates`] says.
    Workgroup,
}

/// Sizes and buffers of a fused inner loop (or of a segment of it).
#[derive(Clone, Copy, Debug)]
pub struct FusedLoop<'a> {
    /// The network, whose whole forward and backward pass runs in the kernel.
    pub model: &'a Model,
    /// The inner optimiser.
    pub rule: InnerRule,
    /// Runs, and tasks of a run.
    pub axis: Axis,
    /// How a task's support examples become minibatches.
    pub batches: &'a Batches,
    /// The inner steps that this dispatch takes.
    pub segment: Segment,
    /// Whether the settings of the run say how many examples a task has, since not all need be there.
    pub some: bool,
    /// Task-steps that one run is expected to take in all.
    pub work: u64,
    /// Tasks that share one set of `start`.
    pub sharers: usize,
    /// [T, order length]: indices of support examples, minibatch after minibatch.
    pub order: &'a wgpu::Buffer,
    /// Support rows: inputs, targets.
    pub support: [&'a wgpu::Buffer; 2],
    /// [T / sharers, stride]: parameters before the loop.
    pub start: &'a wgpu::Buffer,
    /// [T, stride]: parameters after it.
    pub theta: &'a wgpu::Buffer,
    /// The inner optimiser's moments.
    pub state: &'a InnerState,
    /// `[T, K]`
    pub losses: &'a wgpu::Buffer,
}

fn variant(gpu: &Gpu, model: &Model, rule: InnerRule, batch: usize) -> Option<Variant> {
    let profile = gpu.profile();
    if !model.is_mlp() || model.outputs() > LARGEST_OUTPUTS {
        return None;
    }
    let bound = SUBGROUP_BUFFERS + rule.state_buffers() <= profile.storage_buffers;
    if let Some(lanes) = profile.broadcast_lanes().filter(|_| bound) {
        let lanes = lanes as usize;
        let hidden = &model.layers()[..model.layers().len() - 1];
        let activations: usize = hidden.iter().map(|layer| slots(layer, lanes) * batch).sum();
        let registers =
            activations + model.outputs() * hidden.last().map_or(0, |l| slots(l, lanes));
        let blocks = hidden.windows(2).map(|pair| slots(&pair[0], lanes) * slots(&pair[1], lanes));
        let text = blocks.sum::<usize>() * 12 * (1 + batch);
        let small = registers <= LARGEST_REGISTERS && text <= LARGEST_TEXT;
        if !hidden.is_empty() && model.inputs() <= 64 && small {
            return Some(Variant::Subgroup(lanes));
        }
    }
    fits_workgroup(profile, model, batch).then_some(Variant::Workgroup)
}

/// Whether the activations of one minibatch fit into workgroup memory.
fn fits_workgroup(profile: &Profile, model: &Model, batch: usize) -> bool {
    activation_bytes(model, batch) <= profile.workgroup_memory as usize
}

/// Whether the parameters of a task fit there as well.
fn weights_fit_workgroup(profile: &Profile, model: &Model, batch: usize) -> bool {
    let bytes = activation_bytes(model, batch) + 4 * model.packed_len();
    bytes <= profile.workgroup_memory as usize
}

fn activation_bytes(model: &Model, batch: usize) -> usize {
    let outs: usize = model.layers().iter().map(|layer| vectors(layer.outputs())).sum();
    // Before the activation as well, or one vector that is not used.
    let before = if uses_gelu(model) { batch * outs } else { 1 };
    16 * (batch * (outs + 2 * widest(model)) + before + 2 * batch.div_ceil(4))
}

/// Rows that an invocation of the workgroup variant takes at a time, so that all have some of the widest layer's.
fn rows_at_once(model: &Model, batch: usize, invocations: usize) -> usize {
    (batch * widest(model)).div_ceil(invocations).clamp(1, MOST_ROWS.min(batch))
}

/// The workgroups that may run `model` on minibatches of `batch` for `tasks` tasks; none where a subgroup owns a task.
pub fn fused_candidates(
    gpu: &Gpu,
    model: &Model,
    rule: InnerRule,
    [tasks, batch]: [usize; 2],
) -> Option<Tiles> {
    let owned = matches!(variant(gpu, model, rule, batch), Some(Variant::Workgroup));
    owned.then(|| candidates(gpu.profile(), model, [tasks, batch]))
}

fn candidates(profile: &Profile, model: &Model, [tasks, batch]: [usize; 2]) -> Tiles {
    let fit = weights_fit_workgroup(profile, model, batch);
    let most = profile.largest_workgroup as usize;
    let default = match fit {
        true if profile.software => Tile::Resident(INVOCATIONS),
        true if tasks <= FEW_TASKS => Tile::Resident(MANY_INVOCATIONS.min(most)),
        _ => Tile::Invocations(INVOCATIONS),
    };
    let mut candidates = vec![default];
    // Where the driver ends loops the size decides how many steps a dispatch may have: a rule must.
    if profile.loop_rounds.is_none() {
        let sizes = [INVOCATIONS, 128, MANY_INVOCATIONS].into_iter().filter(|size| *size <= most);
        let all = sizes.flat_map(|size| [Tile::Invocations(size), Tile::Resident(size)]);
        let all = all.filter(|tile| fit || matches!(tile, Tile::Invocations(_)));
        candidates.extend(all.filter(|tile| *tile != default));
    }
    let layers: Vec<String> = std::iter::once(model.inputs())
        .chain(model.layers().iter().map(|layer| layer.outputs()))
        .map(|units| units.to_string())
        .collect();
    let mut key = format!("fused_workgroup, {}, {batch} examples", layers.join("-"));
    // How many tasks there are says which workgroups keep a real GPU busy.
    if !profile.software {
        key += &format!(", {} tasks", tasks.next_power_of_two().min(MOST_TASKS));
    }
    Tiles { key, candidates }
}

fn slots(layer: &Layer, lanes: usize) -> usize {
    vectors(layer.outputs()).div_ceil(lanes)
}
fn widest(model: &Model) -> usize {
    model.layers().iter().map(|layer| vectors(layer.outputs())).max().unwrap_or(0)
}

fn uses_gelu(model: &Model) -> bool {
    model.layers().iter().any(|layer| layer.activation == Activation::Gelu)
}

/// How many inner steps of `model` with minibatches of `batch` the device can run as one dispatch; 0
/// if the network does not fit.
pub fn fused_steps(gpu: &Gpu, model: &Model, rule: InnerRule, batch: usize) -> usize {
    let profile = gpu.profile();
    let Some(variant) = variant(gpu, model, rule, batch) else { return 0 };
    let Some(most) = profile.loop_rounds else { return usize::MAX };
    if gpu.options().rolled {
        // Every loop counts then; this is for tests of the text.
        return 32;
    }
    let (before, step) = rounds(model, batch, variant);
    most.saturating_sub(before) / step
}

/// Whether the fused kernel that would run `model` is the faster plan, as far as is known without a
/// measurement: on devices for which the layered plan has subgroup kernels and the fused one has not, it
/// is for small steps, which the dispatches of the layered plan would dominate.
pub fn fused_pays(gpu: &Gpu, model: &Model, rule: InnerRule, batch: usize) -> bool {
    match variant(gpu, model, rule, batch) {
        Some(Variant::Workgroup) if gpu.profile().broadcast_lanes().is_some() => {
            model.flops_per_step(batch) <= LARGEST_SLOW_STEP
        }
        variant => variant.is_some(),
    }
}

/// Rounds of the loops of one invocation before the first step and in each step.
fn rounds(model: &Model, batch: usize, variant: Variant) -> (usize, usize) {
    let layers = model.layers();
    match variant {
        Variant::Subgroup(lanes) => {
            let step = 2 * model.inputs() + 2 * lanes * layers.len() + 1;
            (model.packed_len() / 4 / lanes + 1, step)
        }
        Variant::Workgroup => {
            let lanes = INVOCATIONS;
            let groups = batch.div_ceil(rows_at_once(model, batch, lanes));
            let per_lane = |items: usize| items.div_ceil(lanes);
            let layer = |layer: &Layer| {
                let [ins, outs] = [layer.inputs_padded() / 4, vectors(layer.outputs())];
                per_lane(outs * groups) * (ins + 1)
                    + per_lane(ins * groups) * (outs + 1)
                    + per_lane((ins + 1) * outs) * (batch + 5)
            };
            let head = per_lane(batch) * (3 * model.outputs() + 2) + batch + 1;
            let moved = 2 * per_lane(model.packed_len() / 4) + 2 * layers.len();
            (moved, layers.iter().map(layer).sum::<usize>() + head)
        }
    }
}

/// Records a fused inner loop.
///
/// # Errors
/// See [`call`].
///
/// # Panics
/// If the network does not fit ([`fused_steps`]).
pub fn fused(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &FusedLoop<'_>,
) -> Result<()> {
    match variant(gpu, c.model, c.rule, c.segment.batch) {
        Some(Variant::Subgroup(lanes)) => subgroup(gpu, recording, runs, c, lanes),
        Some(Variant::Workgroup) => workgroup(gpu, recording, runs, c),
        None => panic!("the caller checks that the network fits"),
    }
}

/// All steps of all tasks: parameters and state are read and written once.
fn work(c: &FusedLoop<'_>) -> Work {
    let (tasks, set) = (c.axis.tasks(), c.model.packed_len());
    let state = 2 * (c.rule.planes() + usize::from(c.rule.kept().first));
    let rows = c.batches.support() * (c.model.inputs_padded() + c.model.target_words());
    let order = c.segment.batch * c.segment.steps;
    let sets = set * (tasks * (1 + state) + tasks.div_ceil(c.sharers));
    let step = c.model.flops_per_step(c.segment.batch) / 2;
    Work::words(sets + tasks * (rows + order + c.segment.steps))
        .multiply_adds((tasks * c.segment.steps) as u64 * step)
}

/// What both kernels share.
fn source(name: &'static str, text: &'static str, c: &FusedLoop<'_>) -> Source {
    let some = c.some.then_some(Rows::Support);
    let numbers = loss_numbers(c.model.loss(), c.segment.batch, c.model.outputs());
    Rows::library(some, Source::new(name, text), c.batches.support(), numbers)
        .library(RUN_STEP)
        .library(ACTIVATION)
        .library(targets(c.model).0)
        .library(fused_loss(c.model.loss()))
        .constant("TASKS_PER_RUN", c.axis.per_run)
        .constant("STRIDE", c.model.packed_len() / 4)
        .constant("BATCH", c.segment.batch)
        .constant("STEPS", c.segment.steps)
        .constant("FIRST_STEP", c.segment.first_step)
        .constant("LOSS_STRIDE", c.batches.steps)
        .constant("ORDER_START", c.segment.order_start)
        .constant("ORDER_STRIDE", c.batches.order_len())
        .constant("SUPPORT", c.batches.support())
        .constant("IN4", c.model.inputs_padded() / 4)
        .constant("OUTPUTS", c.model.outputs())
        .constant("OUT4", vectors(c.model.outputs()))
}

/// One number a layer.
fn per_layer(layers: &[Layer], number: impl Fn(&Layer) -> usize) -> Vec<usize> {
    layers.iter().map(number).collect()
}

/// Where each layer starts, if `number` is a layer's length.
fn starts(layers: &[Layer], number: impl Fn(&Layer) -> usize) -> (Vec<usize>, usize) {
    let mut total = 0;
    let starts = layers
        .iter()
        .map(|layer| {
            total += number(layer);
            total - number(layer)
        })
        .collect();
    (starts, total)
}

fn bias_offset(layer: &Layer) -> usize {
    layer.packed_offset / 4 + layer.inputs_padded() * vectors(layer.outputs())
}

fn subgroup(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &FusedLoop<'_>,
    lanes: usize,
) -> Result<()> {
    let batch = c.segment.batch;
    let (head, hidden) = c.model.layers().split_last().expect("a model has layers");
    let (h_start, h_total) = starts(hidden, |layer| slots(layer, lanes) * batch);
    let (b_start, b_total) = starts(hidden, |layer| slots(layer, lanes));
    // Registers of a layer's weights: the four rows of each slot of the layer below.
    let (w_start, w_total) = starts(hidden, |layer| match layer.packed_offset {
        0 => 0,
        _ => layer.inputs_padded() / lanes * vectors(layer.outputs()),
    });
    let full = hidden.iter().all(|layer| layer.outputs().is_multiple_of(4 * lanes));
    let state = c.rule.planes() > 0 || c.rule.kept().first || c.rule.has_rates();
    let pays = c.work >= if state { RESIDENT_WORK_WITH_STATE } else { RESIDENT_WORK };
    let resident = full && (1..=LARGEST_RESIDENT).contains(&w_total) && pays;
    let halves: Vec<usize> = (0..lanes.ilog2()).map(|stage| lanes >> (stage + 1)).collect();
    let most_slots = hidden.iter().map(|layer| slots(layer, lanes)).max().unwrap_or(1);
    let text = shader!("fused_subgroup.wgsl");
    let weights = if resident { "registers" } else { "memory" };
    let source = c
        .rule
        .library(source("fused_subgroup", text, c), false)
        .library(shader!("lib/resident_weights.wgsl"))
        .variant(format!("subgroup{lanes}, weights in {weights}"))
        .constant("LANES", lanes)
        .constant("SHARERS", c.sharers)
        .constant("INPUTS", c.model.inputs())
        .constant("HIDDEN", hidden.len())
        .constant("UNITS", per_layer(hidden, |layer| layer.outputs()))
        .constant("COLUMNS", per_layer(hidden, |layer| vectors(layer.outputs())))
        .constant("SLOTS", per_layer(hidden, |layer| slots(layer, lanes)))
        .constant("ACTIVATIONS", per_layer(hidden, |layer| layer.activation.kind()))
        .constant("OFFSETS", per_layer(hidden, |layer| layer.packed_offset / 4))
        .constant("BIASES", per_layer(hidden, bias_offset))
        .constant("H_START", h_start)
        .constant("B_START", b_start)
        .constant("W_START", w_start)
        .constant("W_TOTAL", if resident { w_total } else { 1 })
        .constant("RESIDENT", resident)
        // Mesa shuffles more than eight lanes one by one, unless it knows from which to which.
        .constant("TURNED", lanes > 8)
        .constant("STAGES", halves.len())
        .constant("HALVES", halves)
        .constant("HEAD", head.packed_offset / 4)
        .constant("HEAD_BIAS", bias_offset(head))
        .constant("SLOTS_MAX", most_slots)
        .constant("B_TOTAL", b_total)
        .constant("H_TOTAL", h_total)
        .constant("Z_TOTAL", if uses_gelu(c.model) { h_total } else { 1 })
        .constant("D_SIZE", most_slots * batch);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", c.order),
        Argument::Buffer("support_x", c.support[0]),
        Argument::Buffer("support_y", c.support[1]),
        Argument::Buffer("start", c.start),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("second", &c.state.second),
        Argument::Buffer("first", &c.state.first),
        Argument::Buffer("losses", c.losses),
    ];
    call(gpu, recording, &source, &arguments, [c.axis.tasks(), 1, 1], work(c))
}

fn workgroup(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &FusedLoop<'_>,
) -> Result<()> {
    let stride = c.model.packed_len() / 4;
    broadcast(gpu, recording, c.axis, stride, c.sharers, Some(0), runs, c.start, c.theta)?;
    let batch = c.segment.batch;
    let layers = c.model.layers();
    let (h_start, h_total) = starts(layers, |layer| vectors(layer.outputs()) * batch);
    let text = shader!("fused_workgroup.wgsl");
    let masks = |layer: &Layer| {
        let columns = vectors(layer.outputs());
        (1 << columns.trailing_zeros()).min(BANKS) - 1
    };
    let tile = candidates(gpu.profile(), c.model, [c.axis.tasks(), batch]).choose(gpu);
    let (invocations, weights) = match tile {
        Tile::Resident(count) => (count, shader!("lib/weights_workgroup.wgsl")),
        Tile::Invocations(count) => (count, shader!("lib/weights_storage.wgsl")),
        tile => unreachable!("{tile} is no candidate of a fused loop"),
    };
    let source = c
        .rule
        .library(source("fused_workgroup", text, c), false)
        .library(weights)
        .library(ROW_OF)
        .constant("ROWS_IN_TURN", gpu.profile().software)
        .variant(tile.to_string())
        .constant("BLOCK", invocations)
        .constant("LAYERS", layers.len())
        .constant("UNITS", per_layer(layers, |layer| layer.outputs()))
        .constant("INS", per_layer(layers, |layer| layer.inputs_padded() / 4))
        .constant("OUTS", per_layer(layers, |layer| vectors(layer.outputs())))
        .constant("ACTIVATIONS", per_layer(layers, |layer| layer.activation.kind()))
        .constant("OFFSETS", per_layer(layers, |layer| layer.packed_offset / 4))
        .constant("H_START", h_start)
        .constant("ROWS", rows_at_once(c.model, batch, invocations))
        .constant("MASKS", per_layer(layers, masks))
        .constant("H_TOTAL", h_total)
        .constant("Z_TOTAL", if uses_gelu(c.model) { h_total } else { 1 })
        .constant("D_SIZE", widest(c.model) * batch);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", c.order),
        Argument::Buffer("support_x", c.support[0]),
        Argument::Buffer("support_y", c.support[1]),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("second", &c.state.second),
        Argument::Buffer("first", &c.state.first),
        Argument::Buffer("losses", c.losses),
    ];
    call(gpu, recording, &source, &arguments, [c.axis.tasks(), 1, 1], work(c))
}
