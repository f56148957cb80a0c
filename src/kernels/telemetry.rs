//! `shaders/telemetry.wgsl`: gradient norms, products of gradients and the spread of tasks, by layer.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, Axis, BLOCK, RUN_STEP, RunSteps, call};
use crate::model::{Layer, Model};

/// Sizes and buffers of a wave's telemetry.
#[derive(Clone, Copy, Debug)]
pub struct Telemetry<'a> {
    /// The network, for the places of its layers in a parameter set.
    pub model: &'a Model,
    /// Runs, and tasks of a run in the wave.
    pub axis: Axis,
    /// Inner steps whose gradients were seen.
    pub gradients: usize,
    /// The first of its columns in the metrics, three a layer that has parameters, and all columns.
    pub columns: [usize; 2],
    /// Whether the wave begins the sums.
    pub begins: bool,
    /// Whether the wave makes means of the sums.
    pub ends: bool,
    /// [T, 2, vectors]: Σ g and Σ g².
    pub seen: &'a wgpu::Buffer,
    /// [T, vectors]: θ after the inner loop.
    pub adapted: &'a wgpu::Buffer,
    /// [R, vectors]: θ before it.
    pub theta: &'a wgpu::Buffer,
    /// `[slots, R, columns]`
    pub metrics: &'a wgpu::Buffer,
}

/// Records it.
///
/// # Errors
/// See [`call`].
pub fn telemetry(
    gpu: &Gpu,
    recording: &mut Recording,
    runs: &RunSteps,
    c: &Telemetry<'_>,
) -> Result<()> {
    let layers: Vec<&Layer> = c.model.layers_with_parameters().collect();
    let largest = layers.iter().map(|layer| (layer.packed_len() / 4).div_ceil(BLOCK) + 1).max();
    let rounds = c.axis.per_run * largest.unwrap_or(0);
    gpu.profile().check_rounds("telemetry", rounds, "outer.meta_batch, or leave telemetry out")?;
    let per_layer = |number: fn(&Layer) -> usize| -> Vec<usize> {
        layers.iter().map(|layer| number(layer)).collect()
    };
    let source = Source::new("telemetry", shader!("telemetry.wgsl"))
        .library(RUN_STEP)
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", c.model.packed_len() / 4)
        .constant("RUNS", c.axis.runs)
        .constant("TASKS", c.axis.per_run)
        .constant("GRADIENTS", c.gradients)
        .constant("FIRST_COLUMN", c.columns[0])
        .constant("COLUMNS", c.columns[1])
        .constant("BEGINS", per_layer(|layer| layer.packed_offset / 4))
        .constant("ENDS", per_layer(|layer| (layer.packed_offset + layer.packed_len()) / 4))
        .constant("FIRST", c.begins)
        .constant("LAST", c.ends);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("seen", c.seen),
        Argument::Buffer("adapted", c.adapted),
        Argument::Buffer("theta", c.theta),
        Argument::Buffer("metrics", c.metrics),
    ];
    let work = Work::words(c.model.packed_len() * (3 * c.axis.tasks() + c.axis.runs));
    call(gpu, recording, &source, &arguments, [layers.len(), c.axis.runs, 1], work)
}
