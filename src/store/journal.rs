//! Where the records of a run go: `metrics.jsonl` and, on request, TensorBoard's event files.

use crate::config::Config;
use crate::error::Result;
use crate::store::RunDirectory;
use crate::store::metrics::{MetricsLog, Record};
use crate::store::tensorboard::EventFile;

/// The open files.
#[derive(Debug)]
pub(crate) struct Journal {
    metrics: MetricsLog,
    /// One a run, or none.
    events: Vec<EventFile>,
}

impl Journal {
    /// Opens the files of a run that goes on at `iteration`; the metrics after it are removed already.
    pub fn open(directory: &RunDirectory, config: &Config, iteration: u64) -> Result<Self> {
        let metrics = MetricsLog::append(directory.metrics_path())?;
        let runs = if config.log.tensorboard { config.runs } else { 0 };
        let events = (0..runs).map(|run| {
            let seed = config.seed.wrapping_add(run as u64);
            EventFile::create(&directory.tensorboard_path(seed), iteration)
        });
        Ok(Self { metrics, events: events.collect::<Result<_>>()? })
    }

    /// Appends one record.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.metrics.write(record)?;
        let (run, scalars) = match record {
            Record::Train(line) => {
                let scalars = vec![
                    ("loss/first inner step", line.loss_first),
                    ("loss/last inner step", line.loss_last),
                    ("rate/outer", f64::from(line.outer_rate)),
                    ("rate/inner", f64::from(line.inner_rate)),
                    ("speed/tasks per second", line.tasks_per_second),
                ];
                (line.run, scalars)
            }
            Record::Validation(line) => {
                let mut scalars = vec![("validation/loss", line.loss)];
                scalars.extend(line.accuracy.map(|value| ("validation/accuracy", value)));
                (line.run, scalars)
            }
            Record::Inner(_) => return Ok(()),
        };
        match self.events.get_mut(run) {
            Some(events) => events.scalars(record.iteration(), &scalars),
            None => Ok(()),
        }
    }
}
