//! `reptile reproduce`: one table of many trainings, which stops and goes on.

use std::path::Path;
use std::process::Stdio;

use crate::program::{
    SMALL, bytes_of_parameters, eval_json, numbers, refusal, reptile, signal, stderr, stdout,
    wait_for,
};
use serde_json::Value;

const SCALE: [&str; 6] = ["--scale", "0.001", "--tasks", "6", "--set", "eval.validation_tasks=4"];

/// `reproduce sine` at a size for tests.
fn sine(out: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = reptile();
    command.args(["reproduce", "sine"]).args(SCALE).args(SMALL).args(arguments);
    command.arg("--out").arg(out);
    command
}

fn resume(out: &Path) -> assert_cmd::Command {
    let mut command = reptile();
    command.args(["reproduce", "--resume", "--out"]).arg(out);
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The table without what differs from time to time.
fn cells(out: &Path) -> Value {
    let mut cells = json(&out.join("table.json"))["cells"].take();
    for cell in cells.as_array_mut().unwrap() {
        assert!(cell["training_seconds"].take().as_f64().unwrap() > 0.0);
        assert!(cell["evaluation_seconds"].take().as_f64().unwrap() > 0.0);
    }
    cells
}

#[test]
fn a_table_is_made_and_nothing_is_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("table");
    let printed = stdout(&mut sine(&out, &["--seeds", "2"]));
    assert_eq!(printed, std::fs::read_to_string(out.join("table.md")).unwrap());
    for part in
        ["0.001 of the presets' iterations, 2 seeds, 6 test tasks", "| sine |", "30 of 30000"]
    {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    assert!(out.join("loss.svg").is_file() && !out.join("accuracy.svg").exists());
    let cell = cells(&out)[0].take();
    let of_seed = |seed: usize| cell["measured"]["seeds"][seed]["mean"].as_f64().unwrap();
    assert_eq!(cell["measured"]["mean"].as_f64().unwrap(), (of_seed(0) + of_seed(1)) / 2.0);
    assert_eq!(cell["devices"].as_array().unwrap().len(), 1);
    // The run is an ordinary one.
    let run = out.join("sine");
    let value = eval_json(&run, &[]);
    assert_eq!(value["runs"][1]["after"]["loss"].as_f64().unwrap(), of_seed(1));
    let files = ["reproduce.json", "checkpoints/0000000030.safetensors", "metrics.jsonl"];
    let before = files.map(|name| std::fs::read(run.join(name)).unwrap());
    let again = stdout(&mut resume(&out));
    assert_eq!(again, printed);
    assert_eq!(before, files.map(|name| std::fs::read(run.join(name)).unwrap()));
    // More tasks: evaluated again, not trained again.
    stdout(resume(&out).args(["--tasks", "9"]));
    assert_eq!(cells(&out)[0]["measured"]["tasks"], 9);
    assert_eq!(before[1..], files.map(|name| std::fs::read(run.join(name)).unwrap())[1..]);
}

#[test]
fn an_interrupted_training_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    // Fused, and slow enough to be interrupted in the middle.
    let slow = ["iterations=60", "inner.epochs=40", "log.checkpoint_every=5", "eval.every=30"]
        .map(|assignment| ["--set", assignment]);
    let start = |out: &Path| {
        let mut command = crate::program::program();
        command.args(["reproduce", "sine"]).args(SCALE).args(slow.concat()).arg("--out").arg(out);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let straight = folder.path().join("straight");
    assert!(start(&straight).wait_with_output().unwrap().status.success());
    let out = folder.path().join("table");
    let child = start(&out);
    let run = out.join("sine");
    wait_for(|| run.join("checkpoints").is_dir() && numbers(&run).len() >= 2);
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(!out.join("table.md").exists() && out.join("table.partial.md").exists());
    assert!(text.contains("go on with: reptile reproduce --out"), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("not yet"));
    assert!(numbers(&run).iter().all(|number| number != "0000000060"), "it was over too soon");
    let text = stderr(resume(&out).assert().success());
    assert!(text.contains("resuming at iteration"), "{text}");
    let end = "sine/checkpoints/0000000060.safetensors";
    assert_eq!(bytes_of_parameters(&straight.join(end)), bytes_of_parameters(&out.join(end)));
    assert_eq!(cells(&straight), cells(&out));
}

#[test]
fn a_training_that_diverges_is_told_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("table");
    let relu = ["--set", "model.layers.0.activation=relu", "--set", "inner.rate=1e30"];
    let text = refusal(&mut sine(&out, &relu));
    assert!(text.contains("diverged") && text.contains("the table"), "{text}");
    let cell = json(&out.join("table.json"))["cells"][0].take();
    assert!(cell["failure"].as_str().unwrap().contains("diverged"), "{cell}");
    assert!(cell["measured"].is_null(), "{cell}");
}

#[test]
fn what_cannot_be_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("table");
    let refused = |command: &mut assert_cmd::Command| {
        let text = refusal(command);
        assert!(!out.exists(), "{text}");
        text
    };
    let mut unknown = reptile();
    unknown.args(["reproduce", "omniglot-5w2s", "--out"]).arg(&out);
    assert!(refused(&mut unknown).contains("`omniglot-5w1s`"));
    assert!(refused(sine(&out, &["--set", "inner.raet=1"]).arg("sine")).contains("inner.rate"));
    assert!(refused(&mut resume(&out)).contains("holds no reproduction"));
    let mut without = reptile();
    without.args(["reproduce", "--out"]).arg(&out).env_remove("REPTILE_DATA");
    let text = refused(&mut without);
    for part in ["omniglot", "--data", "REPTILE_DATA", "omniglot-20w5s"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("mine.txt"), "mine").unwrap();
    assert!(refusal(&mut sine(&out, &[])).contains("not an empty folder"));
    std::fs::remove_file(out.join("mine.txt")).unwrap();
    sine(&out, &[]).assert().success();
    assert!(refusal(&mut sine(&out, &[])).contains("--resume"));
    for (arguments, part) in
        [(["--scale", "0.5"], "0.001"), (["--seeds", "3"], "`1`"), (["--set", "seed=1"], "units=8")]
    {
        let text = refusal(resume(&out).args(arguments));
        assert!(text.contains(arguments[0]) && text.contains(part), "{text}");
    }
}
