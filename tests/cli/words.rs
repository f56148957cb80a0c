//! What cannot be said: it ends no training, changes no exit code, and a result that is lost is told.
#![cfg(target_os = "linux")]

use std::fs::{File, OpenOptions};
use std::process::{Child, Command, Output, Stdio};

use crate::program::{Run, SMALL, numbers, program};

/// A place where nothing can be written any more.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A training of 40 iterations that says much.
fn training(out: &std::path::Path) -> Command {
    let mut command = program();
    command.args(["train", "--preset", "sine", "--iterations", "40"]).args(SMALL);
    // Something to tell at every iteration, and what is told by the library itself.
    command.args(["--set", "eval.every=1", "--set", "eval.validation_tasks=2"]);
    command.env("RUST_LOG", "info").arg("--out").arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits for a program whose reader on stderr goes away at once.
fn unread(command: &mut Command) -> std::process::ExitStatus {
    let mut child: Child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    child.wait().unwrap()
}

#[test]
fn a_training_that_nobody_listens_to_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ends = [
        ("gone", unread(&mut training(&folder.path().join("gone")))),
        ("full", training(&folder.path().join("full")).stderr(full()).status().unwrap()),
    ];
    for (name, status) in ends {
        assert!(status.success(), "{name}: {status}");
        let stored = numbers(&folder.path().join(name));
        assert!(stored.contains(&"0000000040".to_string()), "{name}: {stored:?}");
    }
}

#[test]
fn closed_descriptors_are_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let inner = training(&out);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 0<&- 1>&- 2>&-; exec \"$@\"", "sh"]).arg(inner.get_program());
    shell.args(inner.get_args());
    let environment = inner.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.envs(environment);
    assert!(shell.status().unwrap().success());
    assert!(numbers(&out).contains(&"0000000040".to_string()));
}

#[test]
fn an_error_that_nobody_hears_keeps_its_code() {
    for (arguments, code) in [(&["train", "--preset", "none"][..], 1), (&["train", "--none"], 2)] {
        let mut command = program();
        command.args(arguments);
        assert_eq!(unread(&mut command).code(), Some(code), "{arguments:?}");
        let status = program().args(arguments).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn results_that_cannot_be_written_are_told() {
    let run = Run::train(&[&SMALL[..], &["--iterations", "2"]].concat());
    let folder = run.path().into_os_string().into_string().unwrap();
    for arguments in [
        &["presets"][..],
        &["presets", "sine"],
        &["devices", "--json"],
        &["eval", &folder, "--tasks", "2"],
        &["eval", &folder, "--tasks", "2", "--json"],
        &["--help"],
        &["--version"],
    ] {
        let Output { status, stderr, .. } =
            program().args(arguments).stdout(full()).output().unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains("stdout: "), "{arguments:?}: {text}");
        // `| head` has read what it wants.
        let mut child = program();
        child.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        drop(child.stdout.take());
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert!(status.success() && !text.contains("stdout"), "{arguments:?}: {text}");
    }
}
