//! `metrics.jsonl`: one JSON object a line, written as the run goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::atomic;
use crate::error::{Error, Result};

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
}

/// The inner losses of one meta-iteration of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    let text = fs::read(path).map_err(Error::io(path))?;
    Ok(lines(path, &text)?.into_iter().map(|(record, _)| record).collect())
}

impl ValidationRecord {
    /// What states are compared by: accuracy, or loss where there is none; NaN, which never wins, where tasks
    /// diverged.
    pub fn metric(&self) -> f64 {
        if self.diverged > 0 { f64::NAN } else { self.accuracy.unwrap_or(self.loss) }
    }
}

/// Iteration and metric (accuracy, or loss where there is none) of each validation, the mean over
/// runs.
pub fn validations(records: &[Record]) -> Vec<(u64, f64)> {
    let mut sums: Vec<(u64, f64, f64)> = Vec::new();
    for record in records {
        let Record::Validation(line) = record else { continue };
        let metric = line.metric();
        match sums.last_mut() {
            Some((iteration, sum, count)) if *iteration == line.iteration => {
                (*sum, *count) = (*sum + metric, *count + 1.0);
            }
            _ => sums.push((line.iteration, metric, 1.0)),
        }
    }
    sums.into_iter().map(|(iteration, sum, count)| (iteration, sum / count)).collect()
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
    let text = fs::read(path).map_err(Error::io(path))?;
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
mod tests {
    use super::*;

    fn train(iteration: u64) -> Record {
        Record::Train(TrainRecord {
            iteration,
            run: 1,
            seed: u64::MAX,
            loss_first: 2.5,
            loss_last: 0.1,
            outer_rate: 0.1,
            inner_rate: 0.02,
            rates: BTreeMap::new(),
            telemetry: BTreeMap::new(),
            seconds: 1.25,
            tasks_per_second: 1e5,
        })
    }

    fn records() -> Vec<Record> {
        let validation = |accuracy| {
            Record::Validation(ValidationRecord {
                iteration: 20,
                run: 0,
                seed: 3,
                loss: 0.3,
                accuracy,
                interval: 0.01,
                tasks: 100,
                diverged: 0,
            })
        };
        let inner = Record::Inner(InnerRecord { iteration: 30, run: 0, losses: vec![3.0, 1e-7] });
        vec![train(10), validation(None), validation(Some(0.95)), train(20), inner, train(30)]
    }

    /// A file with all of [`records`].
    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("metrics.jsonl");
        let mut log = MetricsLog::append(&path).unwrap();
        records().iter().for_each(|record| log.write(record).unwrap());
        path
    }

    #[test]
    fn records_read_back_and_have_the_documented_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        assert_eq!(read(&path).unwrap(), records());
        let text = fs::read_to_string(&path).unwrap();
        let expected = "{\"kind\":\"train\",\"iteration\":10,\"run\":1,\
                        \"seed\":18446744073709551615,\"loss_first\":2.5,\"loss_last\":0.1,\
                        \"outer_rate\":0.1,\"inner_rate\":0.02,\"seconds\":1.25,\
                        \"tasks_per_second\":100000.0}";
        assert_eq!(text.lines().next().unwrap(), expected);
        assert!(!text.lines().nth(1).unwrap().contains("accuracy"));
        assert_eq!(
            text.lines().nth(4).unwrap(),
            "{\"kind\":\"inner\",\"iteration\":30,\"run\":0,\"losses\":[3.0,1e-7]}"
        );
    }

    #[test]
    fn validations_are_means_over_runs() {
        let line = |iteration, run, loss, accuracy| {
            let Record::Validation(any) = &records()[1] else { unreachable!() };
            let (seed, any) = (run as u64, any.clone());
            let line = ValidationRecord { iteration, run, seed, loss, accuracy, ..any };
            Record::Validation(line)
        };
        let mut records =
            vec![train(10), line(10, 0, 1.0, Some(0.25)), line(10, 1, 2.0, Some(0.75))];
        assert_eq!(validations(&records), [(10, 0.5)]);
        records.extend([train(20), line(20, 0, 1.0, None), line(20, 1, 2.0, None)]);
        assert_eq!(validations(&records), [(10, 0.5), (20, 1.5)]);
        assert_eq!((seconds(&records), seconds(&[])), (1.25, 0.0));
    }

    #[test]
    fn numbers_that_are_not_finite_become_null_and_nan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::append(&path).unwrap();
        let losses = vec![1.0, f64::INFINITY];
        log.write(&Record::Inner(InnerRecord { iteration: 1, run: 0, losses })).unwrap();
        let Record::Train(mut record) = train(1) else { unreachable!() };
        record.loss_last = f64::NAN;
        log.write(&Record::Train(record)).unwrap();
        let Record::Validation(mut record) = records()[2].clone() else { unreachable!() };
        (record.accuracy, record.interval, record.diverged) = (Some(f64::NAN), f64::NAN, 100);
        log.write(&Record::Validation(record)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().matches("null").count(), 4);
        let records = read(&path).unwrap();
        let [Record::Inner(inner), Record::Train(train), Record::Validation(line)] = &records[..]
        else {
            panic!("three records of these kinds");
        };
        assert!(inner.losses[0] == 1.0 && inner.losses[1].is_nan());
        assert!(train.loss_first == 2.5 && train.loss_last.is_nan());
        assert!(line.accuracy.unwrap().is_nan() && line.interval.is_nan());
        assert_eq!((line.loss, line.diverged), (0.3, 100));
        assert!(validations(&records)[0].1.is_nan(), "an accuracy, not the loss");
        let some = ValidationRecord { accuracy: Some(0.9), diverged: 1, ..line.clone() };
        assert!(some.metric().is_nan(), "the tasks left do not stand for all");
        assert_eq!(ValidationRecord { diverged: 0, ..some }.metric(), 0.9);
    }

    #[test]
    fn a_file_cut_at_any_byte_gives_its_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let whole = fs::read(written(folder.path())).unwrap();
        let path = folder.path().join("cut.jsonl");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            // A line is whole with its closing brace, also without its line break.
            let count = whole[..length].iter().filter(|byte| **byte == b'}').count();
            assert_eq!(read(&path).unwrap(), records()[..count], "{length} bytes");
        }
        truncate_after(&path, 30).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "the line break is put back");
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        truncate_after(&path, 30).unwrap();
        MetricsLog::append(&path).unwrap().write(&train(40)).unwrap();
        let expected = [&records()[..5], &[train(40)]].concat();
        assert_eq!(read(&path).unwrap(), expected);
    }

    #[test]
    fn truncation_keeps_the_lines_up_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        truncate_after(&path, 25).unwrap();
        assert_eq!(read(&path).unwrap(), records()[..4]);
        truncate_after(&path, 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let none = folder.path().join("none.jsonl");
        truncate_after(&none, 0).unwrap();
        assert!(!none.exists());
        assert!(matches!(read(&none), Err(Error::Io { .. })));
    }

    #[test]
    fn damage_is_named_by_its_line_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        for damaged in [
            text.replacen("\"run\":0", "\"run\":zero", 1),
            text.replacen("\"loss\":0.3", "\"loss_\":0.3", 1),
        ] {
            fs::write(&path, &damaged).unwrap();
            for error in [read(&path).unwrap_err(), truncate_after(&path, 5).unwrap_err()] {
                let message = error.to_string();
                assert!(message.contains("metrics.jsonl: line 2: "), "{message}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }
}
