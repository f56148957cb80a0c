//! A job that is asked to stop saves, says how to go on, and its exit code is the signal's; what is partial says so.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::common::sweep_file::write;
use crate::program::{Run, SMALL, program, refusal, reptile, signal, stdout, wait_for};
use serde_json::Value;

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether the program has a handler of its own for Ctrl-C by now.
fn listens(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 2 > 0
}

/// Sends `name` once the program listens and has `begun`, and waits for the end.
fn stopped(child: Child, name: &str, begun: impl Fn() -> bool) -> Output {
    wait_for(|| listens(&child) && begun());
    signal(&child, name);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_stream_that_was_stopped_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let online = |out: &Path| {
        let mut command = program();
        command.args(["online", "--preset", "sine", "--set", "outer.meta_batch=2", "--json"]);
        command.args(SMALL).args(["--tasks", "12", "--meta-steps", "5", "--samples", "2", "4"]);
        command.arg("--out").arg(out);
        command
    };
    let (straight, cut) = (folder.path().join("straight"), folder.path().join("cut"));
    assert!(online(&straight).output().unwrap().status.success());
    let child = start(&mut online(&cut));
    let output = stopped(child, "TERM", || true);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(said.contains("go on with: reptile online --out"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["partial"], true);
    let arrived = report["arrivals"].as_array().unwrap().len();
    assert!(arrived < 12, "{arrived}");
    assert!(!cut.join("online.json").exists() && !cut.join("regret.svg").exists());
    let again = refusal(&mut assert_cmd::Command::from_std(online(&cut)));
    assert!(again.contains("--resume"), "{again}");
    let resume = || {
        let mut command = reptile();
        command.args(["online", "--resume", "--json", "--out"]).arg(&cut);
        command
    };
    stdout(&mut resume());
    for name in ["online.json", "regret.svg"] {
        let [a, b] = [&straight, &cut].map(|out| std::fs::read(out.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
    assert_eq!(json(&cut.join("online.json"))["partial"], false);
    assert!(!cut.join("state.safetensors").exists());
    stdout(&mut resume());
}

#[test]
fn an_evaluation_that_was_stopped_says_on_how_many_tasks() {
    let run = Run::train(&["--iterations", "1", "--set", "model.layers.0.units=8"]);
    let scores = run.path().with_file_name("scores.csv");
    let mut command = program();
    command.args(["eval", "--json", "--tasks", "300000", "--steps", "1"]);
    command.arg("--per-task").arg(&scores).arg(run.path());
    let began = std::time::Instant::now();
    let output = stopped(start(&mut command), "INT", || began.elapsed().as_secs() > 1);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted"), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["partial"], true);
    // None, where the machine was slow.
    let tasks = report["runs"][0]["tasks"].as_u64().unwrap_or(0);
    assert!(tasks < 300_000, "{report}");
    let lines = std::fs::read_to_string(scores.with_file_name("scores.partial.csv")).unwrap();
    assert_eq!(lines.lines().count() as u64, tasks + 1);
    assert!(!scores.exists());
}

#[test]
fn a_sweep_that_was_stopped_has_no_results_yet() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "[values]\ninner.rate = [0.0001, 0.02]");
    let long = std::fs::read_to_string(&file).unwrap().replace("=12\"", "=1000000\"");
    std::fs::write(&file, long).unwrap();
    let out = folder.path().join("sweep");
    let child = start(program().arg("sweep").arg(&file).arg("--out").arg(&out));
    let begun = || {
        let names = std::fs::read_dir(&out).into_iter().flatten().flatten();
        names.into_iter().any(|it| it.path().extension().is_some_and(|it| it == "states"))
    };
    let output = stopped(child, "TERM", begun);
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), "partial: 0 of 1 rungs are finished");
    assert!(text(&output.stderr).contains("--resume"), "{}", text(&output.stderr));
    assert!(out.join("state.json").exists() && !out.join("results.json").exists());
}

#[test]
fn a_job_under_nohup_outlives_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let inner = {
        let mut command = program();
        command.args(["train", "--preset", "sine", "--iterations", "100000000", "--no-autotune"]);
        command.args(SMALL).arg("--out").arg(&out);
        command
    };
    // As `nohup` does.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(inner.get_program());
    shell.args(inner.get_args());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = start(&mut shell);
    wait_for(|| listens(&child));
    signal(&child, "HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
