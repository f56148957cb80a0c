//! A device that is lost at any submission ends no job without a word, and with `--on-device-lost retry` none at all.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

use crate::common::sweep_file::write;
use crate::program::{SMALL, bytes_of_parameters, reptile, stderr};

/// What loses the device, and at which submission.
const LOSE_AT: &str = "REPTILE_LOSE_DEVICE_AT";

fn train(out: &Path) -> Command {
    let mut command = reptile();
    command.args(["train", "--preset", "sine", "--iterations", "12", "--no-autotune"]).args(SMALL);
    for setting in ["log.checkpoint_every=3", "eval.every=4", "eval.validation_tasks=3"] {
        command.args(["--set", setting]);
    }
    command.arg("--out").arg(out);
    command
}

fn end(out: &Path) -> PathBuf {
    out.join("checkpoints/0000000012.safetensors")
}

/// The submissions at which the device is lost: all of a training (33 of them, when this was written), or two.
fn submissions() -> Vec<u32> {
    if std::env::var("REPTILE_TESTS").is_ok_and(|it| it == "all") {
        (1..=60).collect()
    } else {
        vec![1, 18]
    }
}

#[test]
fn a_lost_device_is_told_and_the_run_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    train(&whole).assert().success();
    let wanted = bytes_of_parameters(&end(&whole));
    for at in submissions() {
        let [out, retried] = ["lost", "retried"].map(|it| folder.path().join(format!("{it}-{at}")));
        let lost = train(&out).env(LOSE_AT, at.to_string()).assert();
        if at > 30 && lost.get_output().status.success() {
            // The training has no so many.
            break;
        }
        let said = stderr(lost.code(1));
        assert!(said.contains("the device was lost"), "{at}: {said}");
        assert!(said.contains("start again with --resume"), "{at}: {said}");
        assert!(said.contains("checkpoint"), "{at}: {said}");
        reptile()
            .args(["train", "--resume", "--no-autotune", "--out"])
            .arg(&out)
            .assert()
            .success();
        assert!(bytes_of_parameters(&end(&out)) == wanted, "{at}");
        let mut retry = train(&retried);
        let said = stderr(
            retry
                .args(["--on-device-lost", "retry"])
                .env(LOSE_AT, at.to_string())
                .assert()
                .success(),
        );
        assert!(said.contains("going on from the last checkpoint"), "{at}: {said}");
        assert!(bytes_of_parameters(&end(&retried)) == wanted, "{at}");
    }
}

#[test]
fn other_jobs_go_on_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "[values]\ninner.rate = [0.001, 0.02]").display().to_string();
    let sweep = ["sweep", &file, "--no-autotune"];
    let reproduce = ["reproduce", "sine", "--scale", "0.0004", "--tasks", "2", "--no-autotune"];
    let online =
        ["online", "--preset", "sine", "--tasks", "2", "--meta-steps", "2", "--samples", "2"];
    let jobs = [
        (&sweep[..], &[][..], "results.json", 5),
        (&reproduce, &SMALL, "table.json", 9),
        (&online, &SMALL, "online.json", 20),
    ];
    for (job, more, result, at) in jobs {
        let of = |name: &str, lost: bool| {
            let out = folder.path().join(format!("{}-{name}", job[0]));
            let mut command = reptile();
            command.args(job).args(more).arg("--out").arg(&out);
            if lost {
                command.args(["--on-device-lost", "retry"]).env(LOSE_AT, at.to_string());
            }
            let said = stderr(command.assert().success());
            assert_eq!(said.contains("going on from the last checkpoint"), lost, "{said}");
            let mut value =
                serde_json::from_slice(&std::fs::read(out.join(result)).unwrap()).unwrap();
            crate::program::without_times(&mut value);
            value
        };
        assert_eq!(of("whole", false), of("lost", true), "{}", job[0]);
    }
}
