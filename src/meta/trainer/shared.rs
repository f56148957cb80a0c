//! Meta-iterations whose tasks several trainers share: each adds up what its own tasks did, the sums of all are exchanged,
//! and every trainer takes the same outer step.

use web_time::Instant;

use super::{IterationMetrics, RING, Trainer};
use crate::error::{Error, Result};
use crate::gpu::{Passes, Pending};
use crate::meta::spec::StatePolicy;

/// Numbers of a buffer: from one on, and so many.
type Part<'a> = (&'a wgpu::Buffer, usize, usize);

/// What a submission brings to the host.
struct Sums {
    /// What the tasks of this trainer add up to.
    values: Vec<f32>,
    /// Of the meta-iteration before, where there was one: its row of metrics.
    metrics: Vec<f32>,
}

impl Trainer {
    /// As [`Trainer::advance`], where the tasks are shared with other trainers
    /// ([`TrainerSetup::shared_tasks`](crate::meta::TrainerSetup::shared_tasks)). In the midst of each meta-iteration
    /// `exchange` gets what this trainer's tasks add up to (the ways θ_i − θ, the optimiser's moments, what a strategy learns
    /// from, the losses, and tasks that do not count) and puts the sums over all trainers in its place, which must be the same
    /// bytes for all of them. The trainers then have the same parameters, and `visit` hears of the losses of all.
    ///
    /// # Errors
    /// As [`Trainer::advance`], those of `exchange`, and [`Error::Config`] if nothing is shared, or `exchange` changed the
    /// number of the values.
    pub fn advance_shared(
        &mut self,
        iterations: u64,
        mut exchange: impl FnMut(&mut Vec<f32>) -> Result<()>,
        mut visit: impl FnMut(&IterationMetrics) -> bool,
    ) -> Result<()> {
        if self.setup.shared_tasks.is_none() {
            let message = "the trainer has all tasks itself; use `advance`, or say how many all trainers have";
            return Err(Error::config("shared_tasks", message));
        }
        self.check_count(iterations)?;
        let end = self.iteration + iterations;
        let mut before = None;
        while self.iteration < end {
            let offset = self.write_settings();
            let began = Instant::now();
            let Sums { mut values, metrics } = self.sum(offset, before)?;
            self.adjust(began.elapsed(), 1);
            if let Some((_, iteration)) = before
                && !self.visit(iteration, 1, &metrics, &mut visit)?
            {
                // What was begun is left: its settings are written again.
                return Ok(());
            }
            let count = values.len();
            exchange(&mut values)?;
            if values.len() != count {
                let message =
                    format!("{count} were to be exchanged, and there are {}", values.len());
                return Err(Error::config("exchanged values", message));
            }
            self.put(&mut values);
            before = Some((offset, self.iteration));
            self.count_iteration();
        }
        match before {
            Some((offset, iteration)) => self.finish(offset, iteration, &mut visit),
            None => Ok(()),
        }
    }

    /// Refuses to go on without the trainers that have the other tasks.
    pub(super) fn check_alone(&self) -> Result<()> {
        if self.setup.shared_tasks.is_none() {
            return Ok(());
        }
        let message = "the tasks are shared with other trainers; use `advance_shared`";
        Err(Error::config("shared_tasks", message))
    }

    /// What tasks add up to: the floats first, then the tasks that do not count, then the losses of the coming iteration.
    fn parts(&self) -> (Vec<Part<'_>>, Option<Part<'_>>, Vec<Part<'_>>) {
        let (runs, kept) = (self.setup.runs, self.setup.rule().kept());
        let sets = runs * self.setup.model.packed_len();
        let [delta, seconds, firsts] = &self.sums;
        let mean = self.setup.inner.state == StatePolicy::Mean;
        let mut floats = vec![(delta, 0, sets)];
        floats.extend((mean && kept.second).then_some((seconds, 0, sets)));
        floats.extend((mean && kept.first).then_some((firsts, 0, sets)));
        floats.extend(self.strategy.as_ref().map(|strategy| (strategy.sums(), 0, 2 * sets)));
        let left_out = self.strategy.as_ref().map(|strategy| (strategy.left_out(), 0, runs));
        let ([losses, _, columns], slot) = (self.setup.columns(), self.slot(self.iteration));
        let row = |run| (&self.metrics, (slot * runs + run) * columns, losses);
        (floats, left_out, (0..runs).map(row).collect())
    }

    fn slot(&self, iteration: u64) -> usize {
        (iteration % RING as u64) as usize
    }

    /// The outer step of the meta-iteration `before` (the offset of its settings, and its number), and this trainer's part of
    /// the coming one.
    fn sum(&mut self, offset: u32, before: Option<(u32, u64)>) -> Result<Sums> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        if let Some((offset, _)) = before {
            let step = self.alone..self.recording.len();
            self.recording.replay_part(&mut Passes::new(&mut encoder, "reptile"), offset, step);
        }
        let at_once = self.recording.len().div_ceil(self.parts).max(1);
        for begin in (0..self.alone).step_by(at_once) {
            let part = begin..self.alone.min(begin + at_once);
            self.recording.replay_part(&mut Passes::new(&mut encoder, "reptile"), offset, part);
            if begin + at_once < self.alone {
                let next = self.gpu.device().create_command_encoder(&Default::default());
                let submission = self.gpu.submit(std::mem::replace(&mut encoder, next).finish());
                self.gpu.poll(Some(submission))?;
                self.submissions += 1;
            }
        }
        let (floats, left_out, losses) = self.parts();
        let mut parts: Vec<Part<'_>> = floats.into_iter().chain(left_out).chain(losses).collect();
        let count: usize = parts.iter().map(|(.., count)| count).sum();
        parts.extend(before.map(|(_, iteration)| self.row(iteration)));
        let pending = Pending::record_parts(&self.gpu, &mut encoder, &parts)?;
        let submission = self.gpu.submit(encoder.finish());
        let mut values: Vec<f32> = pending.wait(&self.gpu, Some(submission))?;
        self.submissions += 1;
        let metrics = values.split_off(count);
        self.counts(&mut values, |bits| bits.to_bits() as f32);
        Ok(Sums { values, metrics })
    }

    /// The row of metrics of a meta-iteration.
    fn row(&self, iteration: u64) -> Part<'_> {
        let row = self.setup.runs * self.setup.columns()[2];
        (&self.metrics, self.slot(iteration) * row, row)
    }

    /// Converts the numbers of tasks, which the device has as integers.
    fn counts(&self, values: &mut [f32], convert: impl Fn(f32) -> f32) {
        let (floats, left_out, _) = self.parts();
        let first: usize = floats.iter().map(|(.., count)| count).sum();
        let count = left_out.map_or(0, |(.., count)| count);
        values[first..first + count].iter_mut().for_each(|value| *value = convert(*value));
    }

    /// Writes the sums over all trainers to where the outer step reads them.
    fn put(&self, values: &mut [f32]) {
        self.counts(values, |count| f32::from_bits(count as u32));
        let (floats, left_out, losses) = self.parts();
        let mut rest = &*values;
        for (buffer, first, count) in floats.into_iter().chain(left_out).chain(losses) {
            let (part, behind) = rest.split_at(count);
            self.gpu.queue().write_buffer(buffer, 4 * first as u64, bytemuck::cast_slice(part));
            rest = behind;
        }
    }

    /// The outer step of the last meta-iteration.
    fn finish(
        &mut self,
        offset: u32,
        iteration: u64,
        visit: &mut impl FnMut(&IterationMetrics) -> bool,
    ) -> Result<()> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let step = self.alone..self.recording.len();
        self.recording.replay_part(&mut Passes::new(&mut encoder, "reptile"), offset, step);
        let (buffer, first, count) = self.row(iteration);
        let pending = Pending::record(&self.gpu, &mut encoder, buffer, first, count)?;
        let submission = self.gpu.submit(encoder.finish());
        self.submissions += 1;
        let metrics: Vec<f32> = pending.wait(&self.gpu, Some(submission))?;
        self.visit(iteration, 1, &metrics, visit)?;
        Ok(())
    }
}
