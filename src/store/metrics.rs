//! `metrics.jsonl`: one JSON object a line, written as the run goes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::disk::{atomic, read};
use crate::error::{Error, Result};
use crate::meta::pooled;

/// One line. A number that is not finite is written as `null` and read as NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// Training.
    Train(TrainRecord),
    /// Validation.
    Validation(ValidationRecord),
    /// Inner losses, on request.
    Inner(InnerRecord),
}

/// How one run trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainRecord {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Index of the run, 0..R.
    pub run: usize,
    /// Seed of this run.
    pub seed: u64,
    /// Loss of the first inner step, mean over the tasks of the meta-batch.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss_first: f64,
    /// Loss of the last inner step, before that step.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss_last: f64,
    /// Scheduled outer rate of this iteration.
    pub outer_rate: f32,
    /// Scheduled inner rate of this iteration.
    pub inner_rate: f32,
    /// Mean learned rate of each layer after this iteration; only with a strategy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, f64>,
    /// What telemetry says of each layer in this iteration; only with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub telemetry: BTreeMap<String, LayerTelemetry>,
    /// Time spent in training so far, earlier sessions of a resumed run included.
    pub seconds: f64,
    /// Tasks of all runs per second since the session began.
    pub tasks_per_second: f64,
}

/// The inner loops of one iteration in one layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerTelemetry {
    /// √ of the mean of ‖g_k‖² over steps and tasks.
    #[serde(deserialize_with = "nan_if_null")]
    pub gradient_norm: f64,
    /// Mean of g_i · g_j over pairs of steps of a task.
    #[serde(deserialize_with = "nan_if_null")]
    pub gradient_product: f64,
    /// √ of the mean of ‖θ_i − θ‖² over tasks.
    #[serde(deserialize_with = "nan_if_null")]
    pub spread: f64,
}

/// How one run does on its validation tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValidationRecord {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Index of the run, 0..R.
    pub run: usize,
    /// Seed of this run.
    pub seed: u64,
    /// Mean query loss after adaptation.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// Mean query accuracy in 0..1, for cross-entropy only.
    #[serde(
        default,
        deserialize_with = "some_nan_if_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub accuracy: Option<f64>,
    /// Half of the 95 % interval over tasks, of the accuracy if there is one, else of the loss; NaN
    /// for fewer than two tasks.
    #[serde(deserialize_with = "nan_if_null")]
    pub interval: f64,
    /// Validation tasks.
    pub tasks: usize,
    /// How many of them diverged and are left out of the means.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub diverged: usize,
    /// Right answers, and the queries of all tasks, those that diverged among them; for cross-entropy only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<[u64; 2]>,
}

/// The inner losses of one meta-iteration of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InnerRecord {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Index of the run, 0..R.
    pub run: usize,
    /// Loss before each of the K inner steps, mean over the tasks of the meta-batch.
    #[serde(deserialize_with = "nans_if_null")]
    pub losses: Vec<f64>,
}

impl Record {
    /// The meta-iterations done when it was made.
    pub fn iteration(&self) -> u64 {
        match self {
            Self::Train(record) => record.iteration,
            Self::Validation(record) => record.iteration,
            Self::Inner(record) => record.iteration,
        }
    }
}

/// A number that may have been written as `null`.
pub(crate) fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The same for a number that may be missing too.
pub(crate) fn some_nan_if_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    nan_if_null(deserializer).map(Some)
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

pub(crate) fn nans_if_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// Appends to a metrics file. Each line is handed to the system as a whole, so a killed process
/// loses none that it has written.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens `path` to append, and makes it if it is not there. After a kill call
    /// [`truncate_after`] first: it removes a line that was cut short.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = File::options().create(true).append(true).open(&path);
        Ok(Self { file: file.map_err(Error::io(&path))?, path })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record).expect("records are valid JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io(&self.path))
    }
}

/// Reads a metrics file; a last line that was cut short is left out.
///
/// # Errors
/// [`Error::Data`] that names the line that is damaged, [`Error::Io`].
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Record>> {
    let path = path.as_ref();
    let text = read::bytes(path)?;
    Ok(lines(path, &text)?.into_iter().map(|(record, _)| record).collect())
}

impl ValidationRecord {
    /// What states are compared by, which all tasks count for: accuracy, where answers of tasks that diverged are
    /// wrong; or, without classes, loss, which is none (NaN, and never wins) where tasks diverged.
    pub fn metric(&self) -> f64 {
        if let Some([right, answers]) = self.right {
            return right as f64 / answers as f64;
        }
        // Of lines from before answers were counted.
        match self.accuracy {
            _ if self.diverged == 0 => self.accuracy.unwrap_or(self.loss),
            Some(_) if self.diverged == self.tasks => 0.0,
            Some(accuracy) => accuracy * (self.tasks - self.diverged) as f64 / self.tasks as f64,
            None => f64::NAN,
        }
    }
}

/// Iteration and metric (accuracy, or loss where there is none) of each validation, the mean over
/// runs.
pub fn validations(records: &[Record]) -> Vec<(u64, f64)> {
    let lines: Vec<&ValidationRecord> = records
        .iter()
        .filter_map(|record| match record {
            Record::Validation(line) => Some(line),
            _ => None,
        })
        .collect();
    let of_one = lines.chunk_by(|one, next| one.iteration == next.iteration);
    of_one.map(|lines| (lines[0].iteration, metric_of_runs(lines.iter().copied()))).collect()
}

/// The metric of the runs whose validations are `lines`, at least one: the mean, which is one share of all right answers where
/// they are counted, so that as many are as good.
pub fn metric_of_runs<'a>(lines: impl Iterator<Item = &'a ValidationRecord> + Clone) -> f64 {
    let counts: Option<Vec<[u64; 2]>> = lines.clone().map(|line| line.right).collect();
    let pooled = counts.and_then(|counts| pooled(&counts));
    pooled.unwrap_or_else(|| {
        lines.clone().map(ValidationRecord::metric).sum::<f64>() / lines.count() as f64
    })
}

/// Time spent in training up to the last train record.
pub fn seconds(records: &[Record]) -> f64 {
    let train = |record: &Record| match record {
        Record::Train(line) => Some(line.seconds),
        _ => None,
    };
    records.iter().rev().find_map(train).unwrap_or(0.0)
}

/// Removes the lines of iterations after `iteration`, and a last line that was cut short: for a
/// run that goes on from a checkpoint and will write them again. No file counts as an empty one.
///
/// # Errors
/// [`Error::Data`] that names the line that is damaged, [`Error::Io`]; the file is then unchanged.
pub fn truncate_after(path: impl AsRef<Path>, iteration: u64) -> Result<()> {
    let path = path.as_ref();
    if !path.exists() {
        return Ok(());
    }
    let text = read::bytes(path)?;
    let mut kept = Vec::with_capacity(text.len());
    for (record, line) in lines(path, &text)? {
        if record.iteration() <= iteration {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
    }
    if kept == text { Ok(()) } else { atomic::write(path, &kept) }
}

/// The records of `text` with their lines.
fn lines<'a>(path: &Path, text: &'a [u8]) -> Result<Vec<(Record, &'a [u8])>> {
    let mut records = Vec::new();
    let mut pieces = text.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = pieces.next() {
        // What follows the last line break is nothing, or a line that was cut short.
        let last = pieces.peek().is_none();
        match serde_json::from_slice(line) {
            Ok(record) => records.push((record, line)),
            Err(_) if last => {}
            Err(error) => {
                let message = format!("line {}: {error}; remove this line", index + 1);
                return Err(Error::data(path, message));
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests;
