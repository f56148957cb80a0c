use std::fs;

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
            right: None,
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
    let mut records = vec![train(10), line(10, 0, 1.0, Some(0.25)), line(10, 1, 2.0, Some(0.75))];
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
    assert_eq!(validations(&records)[0].1, 0.0, "no task was answered; and not the loss");
    let some = ValidationRecord { accuracy: Some(0.8), diverged: 50, ..line.clone() };
    assert_eq!((some.tasks, some.metric()), (100, 0.4), "half of the tasks were answered");
    let loss = ValidationRecord { accuracy: None, ..some.clone() };
    assert!(loss.metric().is_nan(), "the tasks left do not stand for all");
    assert_eq!(ValidationRecord { diverged: 0, ..some }.metric(), 0.8);
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
