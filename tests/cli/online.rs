//! `reptile online`: the report, and the protocol over files.

use crate::program::{SMALL, refusal, reptile, stdout, write_task};
use serde_json::Value;
use std::path::Path;

fn arguments<'a>(folder: &'a Path, more: &[&'a str]) -> Vec<String> {
    let out = folder.join("out").display().to_string();
    let fixed = ["online", "--preset", "sine", "--set", "outer.meta_batch=2", "--json"];
    let all = [&fixed[..], &SMALL[..], &["--meta-steps", "2", "--samples", "2", "4"], more];
    all.concat().iter().map(|text| text.to_string()).chain(["--out".into(), out]).collect()
}

#[test]
fn the_report_adds_up_and_is_the_same_each_time() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let reports = folders.each_ref().map(|folder| {
        stdout(reptile().args(arguments(folder.path(), &["--tasks", "4", "--threshold", "3"])))
    });
    assert_eq!(reports[0], reports[1]);
    let report: Value = serde_json::from_str(&reports[0]).unwrap();
    let arrivals = report["arrivals"].as_array().unwrap();
    assert_eq!(arrivals.len(), 4);
    let errors =
        |learner: usize| arrivals.iter().map(move |one| one["error"][learner].as_f64().unwrap());
    for learner in 0..3 {
        let regret: f64 = errors(0).zip(errors(learner)).map(|(own, other)| own - other).sum();
        assert!((report["regret"][learner].as_f64().unwrap() - regret).abs() < 1e-9);
    }
    let first = &arrivals[0]["error"];
    assert_eq!(first[0], first[1], "before the first task all learners are the initial parameters");
    assert_eq!(first[0], first[2]);
    assert_ne!(arrivals[1]["error"][0], arrivals[1]["error"][2], "then they are not");
    let stored = std::fs::read_to_string(folders[0].path().join("out/online.json")).unwrap();
    assert_eq!(stored.trim(), reports[0].trim());
    assert!(folders[0].path().join("out/regret.svg").exists());
    let again = refusal(reptile().args(arguments(folders[0].path(), &["--tasks", "4"])));
    assert!(again.contains("already holds a report"), "{again}");
}

#[test]
fn files_arrive_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    for (index, a) in [1.0, -2.0, 0.5].into_iter().enumerate() {
        write_task(&files.join(format!("{index}.safetensors")), a, 6);
    }
    let place = files.display().to_string();
    let text = stdout(reptile().args(arguments(folder.path(), &["--arrivals", &place])));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["arrivals"].as_array().unwrap().len(), 3);
    assert_ne!(report["arrivals"][2]["error"][0], report["arrivals"][2]["error"][2]);
    write_task(&files.join("9.safetensors"), 1.0, 5);
    let out = folder.path().join("other");
    let text = refusal(reptile().args(arguments(&out, &["--arrivals", &place])));
    assert!(text.contains("equally many examples"), "{text}");
    let text = refusal(reptile().args(arguments(&out, &["--tasks", "3", "--samples", "90"])));
    assert!(text.contains("--samples"), "{text}");
}
