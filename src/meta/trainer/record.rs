//! Meta-iterations in the caller's encoder, and what the kernels are told about each.

use super::Trainer;
use crate::error::{Error, Result};
use crate::gpu::Passes;
use crate::kernels::{Axis, RunStep};
use crate::meta::setup::RING;
use crate::meta::spec::StatePolicy;
use crate::rng::Phase;

impl Trainer {
    /// The most meta-iterations that one [`Trainer::record`] takes.
    pub const fn most_recorded() -> usize {
        RING
    }

    /// Records `iterations` meta-iterations into the caller's encoder; neither submits nor waits. Their settings are
    /// part of what is recorded, so that any number of encoders may be recorded before the first is submitted; they are
    /// to be submitted in their order. On Mesa's software driver mirrors of buffers end compute passes, and wgpu keeps a
    /// command buffer for each pass of the longest submission: a few meta-iterations at a time cost less memory there.
    ///
    /// Training may go on past the setup's `iterations`: rates then stay where their schedules end (a linear one to 0
    /// learns no more), and a warning is logged once. Returns how many of the recorded meta-iterations are past them.
    ///
    /// # Errors
    /// [`Error::Config`] if more than [`Trainer::most_recorded`] are asked for at once, or more in all than the device
    /// counts (2³² − 1), or if its tasks are shared; nothing is recorded then. [`Error::DeviceLost`].
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, iterations: usize) -> Result<u64> {
        if iterations > RING {
            return Err(Error::config(
                "iterations",
                format!(
                    "{iterations} were to be recorded at once; at most {RING} can be, record the others after them"
                ),
            ));
        }
        self.check_alone()?;
        self.check_count(iterations as u64)?;
        let slot = |iteration: u64| (iteration % RING as u64) as usize;
        let (first, waves) = (self.iteration, self.waves.len());
        let (mut begin, mut steps) = (slot(first), Vec::new());
        for _ in 0..iterations {
            // A write ends where the ring does.
            if slot(self.iteration) == 0 {
                self.runs.record(&self.gpu, encoder, begin * waves, &steps)?;
                (begin, steps) = (0, Vec::new());
            }
            self.push_settings(&mut steps);
            self.count_iteration();
        }
        self.runs.record(&self.gpu, encoder, begin * waves, &steps)?;
        let planned = self.setup.iterations;
        if first <= planned && planned < self.iteration {
            log::warn!(
                "all {planned} meta-iterations are done; rates stay where their schedules end"
            );
        }
        let mut passes = Passes::new(encoder, "reptile");
        for iteration in first..self.iteration {
            self.recording.replay(&mut passes, self.runs.offset_of(slot(iteration) * waves));
        }
        Ok(self.iteration - planned.clamp(first, self.iteration))
    }

    /// Refuses meta-iterations that the device does not count.
    pub(super) fn check_count(&self, iterations: u64) -> Result<()> {
        if self.iteration.saturating_add(iterations) <= u64::from(u32::MAX) {
            return Ok(());
        }
        let message = format!(
            "{iterations} more meta-iterations after {}; the device counts up to {}, begin a new training from what this \
             one has learned",
            self.iteration,
            u32::MAX
        );
        Err(Error::config("iterations", message))
    }

    /// Writes the settings of the coming iteration; returns where they are.
    pub(super) fn write_settings(&self) -> u32 {
        let slot = (self.iteration % RING as u64) as usize * self.waves.len();
        let mut steps = Vec::new();
        self.push_settings(&mut steps);
        self.runs.write(&self.gpu, slot, &steps)
    }

    pub(super) fn count_iteration(&mut self) {
        self.iteration += 1;
        if self.setup.rule().kept().any() && self.setup.inner.state != StatePolicy::Reset {
            self.adam_steps = self.adam_steps.saturating_add(self.setup.batches.steps as u64);
        }
    }

    /// Appends what the kernels of every wave need to know about the coming iteration.
    fn push_settings(&self, steps: &mut Vec<RunStep>) {
        let slot = (self.iteration % RING as u64) as usize;
        for wave in &self.waves {
            steps.extend(self.run_steps(slot, wave.first_task));
        }
    }

    fn run_steps(&self, slot: usize, first_task: usize) -> impl Iterator<Item = RunStep> {
        let (inner, outer) = (&self.setup.inner, &self.setup.outer);
        let axis = Axis { runs: self.setup.runs, per_run: self.setup.all_tasks() };
        let entries = self.setup.memory.filled(self.iteration + 1, outer.meta_batch);
        let settings = (0..axis.runs).map(|run| self.setup.of_run(run));
        settings.map(move |own| RunStep {
            iteration: self.iteration as u32,
            adam_steps: self.adam_steps.min(u64::from(u32::MAX / 2)) as u32,
            outer_steps: (self.iteration as u32).saturating_add(1),
            slot: slot as u32,
            first_task: (self.setup.first_task + first_task) as u32,
            inner_rate: inner.schedule.rate(own.inner_rate, self.iteration, self.setup.iterations),
            strategy_rate: own.strategy_rate,
            strategy_prior: self.setup.strategy.prior(self.iteration),
            entries: entries as u32,
            entries_inverse: 1.0 / entries.max(1) as f32,
            outer_rate: outer.schedule.rate(own.outer_rate, self.iteration, self.setup.iterations),
            weight_decay: inner.weight_decay,
            ..RunStep::new(own.seed, Phase::Train, axis)
        })
    }
}
