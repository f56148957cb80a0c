//! `train --distributed`.

use std::path::Path;

use serde_json::Value;

use crate::{done, furthest, mpirun, parameters, resume, train};

fn alone(arguments: &[&str]) {
    let mut command = crate::program::program();
    command.args(arguments);
    done(command);
}

#[test]
fn ranks_are_one_process_with_all_their_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    alone(&train("outer.meta_batch=8", "200", &[], &at("one")));
    let wanted = parameters(&at("one"), 200);
    for (ranks, tasks) in [(2, "outer.meta_batch=4"), (4, "outer.meta_batch=2")] {
        let [first, again] = ["first", "again"].map(|it| at(&format!("{it}-{ranks}")));
        let run = |out: &Path| {
            done(mpirun(ranks, &train(tasks, "200", &["--distributed"], out)));
            parameters(out, 200)
        };
        let said = done(mpirun(ranks, &train(tasks, "200", &["--distributed"], &first)));
        let last = format!("rank {} of {ranks} on ", ranks - 1);
        assert_eq!(said.matches(&last).count(), 1, "{said}");
        assert_eq!(said.matches("done: 200 meta-iterations").count(), 1, "{said}");
        let got = parameters(&first, 200);
        let far = furthest(&got, &wanted);
        assert!(far <= 1e-6, "{ranks} ranks: {far}");
        assert!(run(&again) == got, "{ranks} ranks: the same bytes again");
    }
    let losses = |out: &str| -> Vec<f64> {
        let text = std::fs::read_to_string(at(out).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["loss_last"].as_f64().unwrap()).collect()
    };
    let [one, four] = ["one", "first-4"].map(losses);
    assert!(one.len() == 20 && four.len() == 20, "a line every ten meta-iterations, by one rank");
    assert!(one.iter().zip(&four).all(|(a, b)| (a - b).abs() < 1e-4), "{one:?} {four:?}");
}

#[test]
fn one_process_without_mpirun_trains_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, distributed] = ["plain", "distributed"].map(|it| folder.path().join(it));
    alone(&train("outer.meta_batch=3", "40", &[], &plain));
    alone(&train("outer.meta_batch=3", "40", &["--distributed"], &distributed));
    assert!(parameters(&plain, 40) == parameters(&distributed, 40));
}

/// Every rank with a device of its own: what both round differently is evened out whenever a state is stored.
#[test]
fn ranks_of_different_devices_have_one_state() {
    let devices = crate::common::own_adapters();
    let Some(second) = devices.iter().find(|one| one.info.name.contains("SwiftShader")) else {
        eprintln!("skipped: no second device");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let list = format!("llvmpipe,{}", second.index);
    let more = ["--distributed", "--device", &list];
    let said = done(mpirun(2, &train("outer.meta_batch=2", "60", &more, &at("mixed"))));
    assert!(said.contains("rank 0 of 2 on") && said.contains("llvmpipe"), "{said}");
    assert!(said.contains("SwiftShader"), "{said}");
    alone(&train("outer.meta_batch=4", "60", &["--device", "llvmpipe"], &at("one")));
    let far = furthest(&parameters(&at("mixed"), 60), &parameters(&at("one"), 60));
    assert!(far < 1e-4, "{far}");
}

/// Rounds of each kind stop in order and go on to the same bytes; with another number of ranks they say so.
#[test]
fn rounds_go_on_exactly_and_with_other_numbers_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    for (name, more) in [
        ("local", &["--local-steps", "5"][..]),
        ("diloco", &["--local-steps", "5", "--outer-optimizer", "nesterov"]),
        ("late", &["--local-steps", "3", "--overlap", "--exchange", "int8"]),
        ("half", &["--exchange", "f16", "--overlap", "--outer-optimizer", "momentum"]),
    ] {
        let at = |kind: &str| folder.path().join(format!("{name}-{kind}"));
        let flags = [&["--distributed"], more].concat();
        done(mpirun(2, &train("outer.meta_batch=2", "60", &flags, &at("whole"))));
        // Stopped by its end, which is not that of the schedule: a constant rate does not know.
        let constant = ["--set", "outer.schedule.kind=constant"];
        let flags = [&flags[..], &constant].concat();
        done(mpirun(2, &train("outer.meta_batch=2", "60", &flags, &at("straight"))));
        done(mpirun(2, &train("outer.meta_batch=2", "20", &flags, &at("parts"))));
        let out = at("parts");
        let said = resume(&out, 2, 60);
        assert!(said.contains("resuming at iteration 20"), "{said}");
        assert!(parameters(&out, 60) == parameters(&at("straight"), 60), "{name}");
        let said = resume(&out, 3, 80);
        assert!(said.contains("the ranks that train the run were 2 and are 3"), "{said}");
        assert_eq!(parameters(&out, 80).len(), parameters(&out, 60).len());
    }
}
