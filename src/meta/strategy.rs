//! The learned strategy of a trainer on the device: rates σ for all parameters, which every meta-iteration
//! moves, and what they are moved by.

use crate::error::Result;
use crate::gpu::{BufferList, Gpu, Memory, Recording};
use crate::kernels::{
    RateRule, RateStep, RunSteps, StrategySums, StrategyUpdate, strategy_sums, strategy_update,
};
use crate::meta::strategy_spec::StrategySpec;
use crate::meta::waves::Wave;
use crate::model::Model;

/// A strategy's buffers.
#[derive(Debug)]
pub(super) struct Strategy {
    step: RateStep,
    guard: f32,
    /// `[R, packed]`: σ.
    pub rates: wgpu::Buffer,
    /// `[R, packed]` each: b and g of ARUBA; of the others the second holds the sums of the squares of what they learn from.
    pub history: [wgpu::Buffer; 2],
    /// [R, 2, packed]
    sums: wgpu::Buffer,
    /// `[R]`
    left_out: wgpu::Buffer,
}

/// The buffers for `runs` runs.
fn buffers(step: RateStep, model: &Model, runs: usize) -> BufferList<5> {
    let sets = runs * model.packed_len();
    let ways = usize::from(matches!(step.rule, RateRule::Aruba { .. })) * sets;
    BufferList([
        ("learned rates", sets),
        ("sums of ways", ways),
        ("sums of squares", sets),
        ("strategy sums", 2 * sets),
        ("tasks that do not count", runs),
    ])
}

impl Strategy {
    /// Adds the buffers for `runs` runs to `memory`.
    pub fn plan(memory: &mut Memory, spec: &StrategySpec, model: &Model, runs: usize) {
        if let Some(step) = spec.step() {
            buffers(step, model, runs).plan(memory);
        }
    }

    /// Allocates them; none if nothing is learned.
    pub fn new(gpu: &Gpu, spec: &StrategySpec, model: &Model, runs: usize) -> Result<Option<Self>> {
        let Some(step) = spec.step() else { return Ok(None) };
        let [rates, ways, squares, sums, left_out] = buffers(step, model, runs).allocate(gpu)?;
        let history = [ways, squares];
        Ok(Some(Self { step, guard: spec.guard(), rates, history, sums, left_out }))
    }

    /// Records what a wave of tasks adds to the statistics; `theta` `[R, packed]` is what they started from.
    pub fn record_wave(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        wave: &Wave,
        begins: bool,
        model: &Model,
        theta: &wgpu::Buffer,
    ) -> Result<()> {
        let sums = StrategySums {
            step: self.step,
            axis: wave.axis,
            vectors: model.packed_len() / 4,
            steps: wave.tasks.batches().steps,
            guard: self.guard,
            begins,
            statistics: &wave.inner.state.second,
            adapted: &wave.inner.theta,
            theta,
            losses: &wave.inner.losses,
            sums: &self.sums,
            left_out: &self.left_out,
        };
        strategy_sums(gpu, out, &sums)
    }

    /// [R, 2, packed]: what the step is taken from.
    pub fn sums(&self) -> &wgpu::Buffer {
        &self.sums
    }

    /// `[R]`, whole numbers: tasks that do not count.
    pub fn left_out(&self) -> &wgpu::Buffer {
        &self.left_out
    }

    /// Records the step on σ; the layers' mean rates go to `metrics` behind the first of `columns`.
    pub fn record_step(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        runs: &RunSteps,
        (model, count): (&Model, usize),
        (metrics, columns): (&wgpu::Buffer, [usize; 2]),
    ) -> Result<()> {
        let update = StrategyUpdate {
            step: self.step,
            model,
            runs: count,
            columns,
            sums: &self.sums,
            left_out: &self.left_out,
            rates: &self.rates,
            ways: &self.history[0],
            squares: &self.history[1],
            metrics,
        };
        strategy_update(gpu, out, runs, &update)
    }
}
