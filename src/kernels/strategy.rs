//! `shaders/strategy_sums.wgsl` and `shaders/strategy_update.wgsl`: how a learned strategy moves the rates
//! of all parameters.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, Axis, BLOCK, GUARD, RUN_STEP, RunSteps, Statistic, call};
use crate::model::{Layer, Model};

/// The rule that moves the rates σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateRule {
    /// σ ← σ · exp(−β h / √(s + s̄ / 100)): AdaGrad's step on ln σ (first-order Meta-SGD), with the sum s of the squares of all h,
    /// and its mean s̄ over the layer.
    MetaSgd,
    /// σ ← σ + β h / √(s + s̄ / 100), likewise.
    Hypergradient,
    /// b ← b + ½ (θ_i − θ)² + ζ² α² / (t + 1)^p, g ← g + h + ζ² / (t + 1)^p, σ = √(b / g).
    Aruba {
        /// ζ: the weight of the start in g; that in b is ζ times the inner rate.
        zeta: f32,
    },
}

/// Which parameters share a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All of them: σ is one number a run.
    All,
    /// Those of a layer.
    Layer,
    /// None: each has its own.
    None,
}

/// A strategy as the kernels know it; β comes with each iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStep {
    /// What moves σ, and with which statistic.
    pub rule: RateRule,
    /// Which parameters share a rate: the statistics are summed over them.
    pub sharing: Sharing,
    /// Bounds of σ.
    pub bounds: [f32; 2],
}

impl RateStep {
    /// What it learns from.
    pub fn statistic(&self) -> Statistic {
        match self.rule {
            RateRule::MetaSgd => Statistic::Query,
            RateRule::Hypergradient => Statistic::Products,
            RateRule::Aruba { .. } => Statistic::Squares,
        }
    }

    /// Whether it also learns from the tasks' ways θ_i − θ.
    fn has_ways(&self) -> bool {
        matches!(self.rule, RateRule::Aruba { .. })
    }
}

/// Sizes and buffers of a wave's sums of statistics.
#[derive(Clone, Copy, Debug)]
pub struct StrategySums<'a> {
    /// The strategy, which decides about the statistic.
    pub step: RateStep,
    /// Runs, and tasks of a run in the wave.
    pub axis: Axis,
    /// Vectors of a parameter set.
    pub vectors: usize,
    /// Columns of `losses`.
    pub steps: usize,
    /// Growth of the loss in the inner loop above which a task does not count; 0 = all count.
    pub guard: f32,
    /// The wave that begins the sums.
    pub begins: bool,
    /// [T, planes, vectors]
    pub statistics: &'a wgpu::Buffer,
    /// [T, vectors]: θ after the inner loop.
    pub adapted: &'a wgpu::Buffer,
    /// [R, vectors]: θ before it.
    pub theta: &'a wgpu::Buffer,
    /// `[T, steps]`
    pub losses: &'a wgpu::Buffer,
    /// [R, 2, vectors]: sums of the statistics and of ½ (θ_i − θ)².
    pub sums: &'a wgpu::Buffer,
    /// `[R]`: tasks that do not count.
    pub left_out: &'a wgpu::Buffer,
}

/// Records a wave's sums.
///
/// # Errors
/// See [`call`].
pub fn strategy_sums(gpu: &Gpu, recording: &mut Recording, c: &StrategySums<'_>) -> Result<()> {
    gpu.profile().check_rounds("strategy_sums", c.axis.per_run, "outer.meta_batch")?;
    let source = Source::new("strategy_sums", shader!("strategy_sums.wgsl"))
        .library(GUARD)
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", c.vectors)
        .constant("TASKS", c.axis.per_run)
        .constant("STEPS", c.steps)
        .constant("PLANES", c.step.statistic().planes())
        .constant("WAYS", c.step.has_ways())
        .constant("FIRST", c.begins)
        .constant("GUARD", c.guard);
    let arguments = [
        Argument::Buffer("statistics", c.statistics),
        Argument::Buffer("adapted", c.adapted),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("losses", c.losses),
        Argument::Buffer("sums", c.sums),
        Argument::Buffer("left_out", c.left_out),
    ];
    let ways = usize::from(c.step.has_ways());
    let read = c.axis.tasks() * (1 + ways) + c.axis.runs;
    let sums = 2 * c.axis.runs * (1 + usize::from(!c.begins));
    let work = Work::words(4 * c.vectors * (read + sums));
    call(gpu, recording, &source, &arguments, [c.vectors.div_ceil(BLOCK), c.axis.runs, 1], work)
}

/// Sizes and buffers of a strategy's step on the rates.
#[derive(Clone, Copy, Debug)]
pub struct StrategyUpdate<'a> {
    /// The strategy.
    pub step: RateStep,
    /// The network, for the places of its layers in a parameter set.
    pub model: &'a Model,
    /// Independent runs R.
    pub runs: usize,
    /// Columns of the metrics before the layers' mean rates, and all of them.
    pub columns: [usize; 2],
    /// What [`strategy_sums`] made.
    pub sums: &'a wgpu::Buffer,
    /// `[R]`: tasks that do not count.
    pub left_out: &'a wgpu::Buffer,
    /// [R, vectors]: σ.
    pub rates: &'a wgpu::Buffer,
    /// [R, vectors]: b of ARUBA.
    pub ways: &'a wgpu::Buffer,
    /// [R, vectors]: g of ARUBA, the sum of the squares of all h of the others.
    pub squares: &'a wgpu::Buffer,
    /// `[slots, R, columns]`
    pub metrics: &'a wgpu::Buffer,
}

/// Records the step.
///
/// # Errors
/// See [`call`].
pub fn strategy_update(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &StrategyUpdate<'_>,
) -> Result<()> {
    let layers: Vec<&Layer> = c.model.layers_with_parameters().collect();
    let rounds = layers.iter().map(|layer| 1 + 3 * (layer.packed_len() / 4).div_ceil(BLOCK)).sum();
    gpu.profile().check_rounds("strategy_update", rounds, "the layers' sizes")?;
    let per_layer = |number: fn(&Layer) -> usize| -> Vec<usize> {
        layers.iter().map(|layer| number(layer)).collect()
    };
    let (kind, zeta) = match c.step.rule {
        RateRule::MetaSgd => (0_usize, 0.0),
        RateRule::Hypergradient => (1, 0.0),
        RateRule::Aruba { zeta } => (2, zeta),
    };
    let granularity = match c.step.sharing {
        Sharing::All => 0_usize,
        Sharing::Layer => 1,
        Sharing::None => 2,
    };
    let source = Source::new("strategy_update", shader!("strategy_update.wgsl"))
        .library(RUN_STEP)
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", c.model.packed_len() / 4)
        .constant("RUNS", c.runs)
        .constant("STEPS", c.columns[0])
        .constant("COLUMNS", c.columns[1])
        .constant("LAYERS", layers.len())
        .constant("BEGINS", per_layer(|layer| layer.packed_offset / 4))
        .constant("ENDS", per_layer(|layer| (layer.packed_offset + layer.packed_len()) / 4))
        .constant("COUNTS", per_layer(|layer| layer.parameter_count()))
        .constant("KIND", kind)
        .constant("GRANULARITY", granularity)
        .constant("ZETA", zeta)
        .constant("MIN_RATE", c.step.bounds[0])
        .constant("MAX_RATE", c.step.bounds[1]);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("sums", c.sums),
        Argument::Buffer("left_out", c.left_out),
        Argument::Buffer("rates", c.rates),
        Argument::Buffer("ways", c.ways),
        Argument::Buffer("squares", c.squares),
        Argument::Buffer("metrics", c.metrics),
    ];
    let groups = if c.step.sharing == Sharing::All { 1 } else { layers.len() };
    // Sums are read; rates, and what they are made from, are read and written.
    let sets = if c.step.has_ways() { 2 + 6 } else { 1 + 4 };
    let work = Work::words(c.model.packed_len() * c.runs * sets);
    call(gpu, recording, &source, &arguments, [groups, c.runs, 1], work)
}
