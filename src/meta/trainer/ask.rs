//! What a trainer has learned and how it fares, asked for in the caller's encoder: nothing here submits or waits.

use super::{IterationMetrics, RING, Trainer};
use crate::error::{Error, Result};
use crate::gpu::Pending;
use crate::meta::query::DeviceRows;
use crate::meta::training_state;

impl Trainer {
    /// Where the losses of each recorded meta-iteration are on the device: row (t mod [`Trainer::most_recorded`]) · R + r has
    /// the K losses of run r in meta-iteration t, mean over its tasks.
    pub fn losses(&self) -> DeviceRows<'_> {
        DeviceRows { buffer: &self.metrics, first: 0, stride: self.setup.columns()[2] }
    }

    /// Asks for the metrics of the last `iterations` meta-iterations that were recorded, as they are at this place of
    /// `encoder`.
    ///
    /// # Errors
    /// [`Error::Config`] if so many were not recorded (since [`Trainer::restore`], where that was called) or the device has
    /// no room for their metrics (it keeps those of [`Trainer::most_recorded`]), [`Error::Limit`] if the device has no room
    /// to bring them.
    pub fn ask_metrics(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        iterations: usize,
    ) -> Result<Pending<Vec<IterationMetrics>>> {
        let most = (self.iteration - self.since).min(RING as u64) as usize;
        if iterations > most {
            let message = format!(
                "metrics of {iterations} meta-iterations were asked for; there are those of the last {most}"
            );
            return Err(Error::config("iterations", message));
        }
        let columns = self.setup.columns();
        let row = self.setup.runs * columns[2];
        let first = self.iteration - iterations as u64;
        let slot = (first % RING as u64) as usize;
        let until_end = iterations.min(RING - slot);
        let metrics = &self.metrics;
        let parts =
            [(metrics, slot * row, until_end * row), (metrics, 0, (iterations - until_end) * row)];
        let used = if until_end == iterations { &parts[..1] } else { &parts[..] };
        let values = Pending::record_parts(&self.gpu, encoder, used)?;
        let guarded = self.setup.strategy.guard() > 0.0;
        Ok(values.and_then(move |values: Vec<f32>| {
            let rows = values.chunks_exact(row).zip(first..);
            Ok(rows
                .map(|(rows, iteration)| IterationMetrics::new(iteration, rows, columns, guarded))
                .collect())
        }))
    }

    /// Asks for the parameters `[P]` of run `run`, canonical, as they are at this place of `encoder`.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such run, [`Error::Limit`] if the device has no room to bring them.
    pub fn ask_parameters(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        run: usize,
    ) -> Result<Pending<Vec<f32>>> {
        if run >= self.setup.runs {
            let message = format!("there is no run {run}; the trainer has {}", self.setup.runs);
            return Err(Error::config("run", message));
        }
        let model = &self.setup.model;
        let sets = training_state::ask(&self.gpu, encoder, model, &self.theta, run..run + 1)?;
        Ok(sets.and_then(|mut sets| Ok(sets.swap_remove(0))))
    }
}
