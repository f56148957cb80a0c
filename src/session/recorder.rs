//! From the losses of iterations to lines of the metrics.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::error::Result;
use crate::meta::IterationMetrics;
use crate::model::Model;
use crate::session::progress::{Event, Progress};
use crate::store::journal::Journal;
use crate::store::metrics::{InnerRecord, LayerTelemetry, Record, TrainRecord};

/// Sums over the iterations since the last train record, for one run.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    first: f64,
    last: f64,
    count: f64,
}

/// Writes what a session hears of its iterations, and times it.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Of the rank that writes.
    journal: Option<Journal>,
    /// Ranks that train together.
    ranks: usize,
    /// Names of the layers that have parameters.
    layers: Vec<String>,
    window: Vec<Window>,
    began: Instant,
    began_at: u64,
    /// Seconds that earlier sessions of the run took.
    earlier: f64,
}

impl Recorder {
    /// For `runs` runs of `model` that go on at iteration `began_at`.
    pub fn new(model: &Model, runs: usize, began_at: u64) -> Self {
        let layers = model.layers_with_parameters().map(|layer| layer.name.clone()).collect();
        let (window, began) = (vec![Window::default(); runs], Instant::now());
        Self { journal: None, ranks: 1, layers, window, began, began_at, earlier: 0.0 }
    }

    /// Writes to `journal`, after `earlier` seconds of training.
    pub fn writing(self, journal: Journal, earlier: f64) -> Self {
        Self { journal: Some(journal), earlier, ..self }
    }

    /// Of tasks that so many ranks have.
    pub fn of_ranks(self, ranks: usize) -> Self {
        Self { ranks, ..self }
    }

    /// Time since the session began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes a record; false if the observer wants to stop.
    pub fn write(
        &mut self,
        record: &Record,
        observe: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.write(record))?;
        Ok(observe(Event::Record(record)))
    }

    /// Takes one iteration; false if the observer wants to stop.
    pub fn take(
        &mut self,
        config: &Config,
        metrics: &IterationMetrics,
        [outer_rate, inner_rate]: [f32; 2],
        observe: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool> {
        let runs = config.runs;
        let done = metrics.iteration + 1;
        let seconds = self.elapsed().as_secs_f64();
        let tasks = (done - self.began_at) * (runs * config.outer.meta_batch * self.ranks) as u64;
        let tasks_per_second = tasks as f64 / seconds.max(1e-9);
        let mut loss = [0.0; 2];
        let mut going = true;
        for run in 0..runs {
            let steps = metrics.losses_of(run, runs);
            let ends = [f64::from(steps[0]), f64::from(steps[steps.len() - 1])];
            let window = &mut self.window[run];
            window.first += ends[0];
            window.last += ends[1];
            window.count += 1.0;
            loss[0] += ends[0] / runs as f64;
            loss[1] += ends[1] / runs as f64;
            if done.is_multiple_of(config.log.every) || done == config.iterations {
                let sums = std::mem::take(window);
                let numbers = metrics.telemetry_of(run, runs).as_chunks().0.iter();
                let seen = numbers.map(|numbers: &[f32; 3]| {
                    let [gradient_norm, gradient_product, spread] = numbers.map(f64::from);
                    LayerTelemetry { gradient_norm, gradient_product, spread }
                });
                let rates = metrics.rates_of(run, runs).iter().map(|rate| f64::from(*rate));
                let record = Record::Train(TrainRecord {
                    iteration: done,
                    run,
                    seed: config.seed.wrapping_add(run as u64),
                    loss_first: sums.first / sums.count,
                    loss_last: sums.last / sums.count,
                    outer_rate,
                    inner_rate,
                    rates: self.layers.iter().cloned().zip(rates).collect(),
                    telemetry: self.layers.iter().cloned().zip(seen).collect(),
                    seconds: self.earlier + seconds,
                    tasks_per_second,
                });
                going &= self.write(&record, observe)?;
            }
            if config.log.inner > 0 && done.is_multiple_of(config.log.inner) {
                let losses = steps.iter().map(|loss| f64::from(*loss)).collect();
                let record = Record::Inner(InnerRecord { iteration: done, run, losses });
                going &= self.write(&record, observe)?;
            }
        }
        let iterations = config.iterations;
        let progress = Progress { iteration: done, iterations, loss, tasks_per_second };
        Ok(observe(Event::Iteration(progress)) && going)
    }
}
