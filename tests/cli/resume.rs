//! Resuming is exact, whatever ended the run.

use std::path::Path;
use std::process::Stdio;

use reptile::config::Config;
use reptile::model::Model;
use reptile::store::checkpoint::Checkpoint;

use crate::program::{
    Run, SMALL, bytes_of_parameters, lines_of, numbers, refusal, reptile, signal, stderr, wait_for,
};

/// Arguments of the jobs whose resume is tested: every kind of state there is, each slow enough to
/// be killed in the middle.
const JOBS: [&[&str]; 4] = [
    &["inner.epochs=40"],
    &[
        "inner.epochs=10",
        "inner.optimizer=adam",
        "inner.rate=0.002",
        "outer.optimizer=adam",
        "outer.rate=0.002",
    ],
    &[
        "inner.epochs=5",
        "inner.optimizer=adam",
        "inner.rate=0.002",
        "inner.beta1=0.5",
        "inner.state=slot",
        "outer.optimizer=momentum",
        "outer.rate=0.02",
        "outer.meta_batch=3",
    ],
    &[
        "inner.epochs=5",
        "inner.optimizer=momentum",
        "inner.rate=0.002",
        "inner.nesterov=true",
        "inner.state=slot",
        "outer.optimizer=nesterov",
        "outer.rate=0.02",
        "outer.meta_batch=3",
    ],
];

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    for (number, job) in JOBS.into_iter().enumerate() {
        let length = ["--iterations", "60", "--set", "log.checkpoint_every=5"];
        let settings = job.iter().flat_map(|assignment| ["--set", assignment]);
        // The first as it is, fused; the others on a network that compiles in no time.
        let small = SMALL.into_iter().filter(|_| number > 0);
        let arguments: Vec<&str> = length.into_iter().chain(small).chain(settings).collect();
        let straight = Run::train(&arguments);
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let mut child = crate::program::program()
            .args(["train", "--preset", "sine"])
            .args(&arguments)
            .arg("--out")
            .arg(&out)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(|| out.join("checkpoints").is_dir() && numbers(&out).len() >= 2);
        signal(&child, "KILL");
        assert!(!child.wait().unwrap().success());
        let last = numbers(&out).pop().unwrap();
        assert_ne!(last, "0000000060", "the run was over before it was killed");
        let text =
            stderr(reptile().args(["train", "--resume", "--out"]).arg(&out).assert().success());
        assert!(text.contains("resuming at iteration"), "{text}");
        let end = out.join("checkpoints/0000000060.safetensors");
        assert_eq!(
            bytes_of_parameters(&straight.checkpoint("0000000060")),
            bytes_of_parameters(&end),
            "{job:?}"
        );
        assert_no_duplicates(&out);
    }
}

fn assert_no_duplicates(run: &Path) {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for line in lines_of(&text) {
        let key = format!("{} {} {}", line["kind"], line["iteration"], line["run"]);
        assert!(seen.insert(key.clone()), "{key} stands twice");
    }
}

/// Iteration of the best state, and the bytes of its tensors.
fn best(run: &Path) -> (u64, std::collections::BTreeMap<String, Vec<u8>>) {
    let file = run.join("checkpoints/best.safetensors");
    let value = crate::program::eval_json(&file, &["--tasks", "2"]);
    (value["iteration"].as_u64().unwrap(), bytes_of_parameters(&file))
}

#[test]
fn the_best_state_survives_a_resume() {
    let validating = |more: &[&str]| {
        let always = ["--set", "eval.every=10", "--set", "eval.validation_tasks=8"];
        let often = ["--set", "log.checkpoint_every=10", "--set", "log.keep=9"];
        Run::train(&[&SMALL[..], &always, &often, more].concat())
    };
    let go_on = |run: &Run, arguments: &[&str]| {
        let mut command = reptile();
        command.args(["train", "--resume", "--out"]).arg(run.path()).args(arguments);
        command.assert().success();
    };
    // A rate of almost nothing: no later validation is better than the first one.
    let flat = ["--set", "outer.rate=1e-30", "--set", "outer.schedule={kind='constant'}"];
    let run = validating(&[&["--iterations", "20"], &flat[..]].concat());
    let first = best(&run.path());
    assert_eq!(first.0, 10);
    go_on(&run, &["--iterations", "40"]);
    assert_eq!(best(&run.path()), first);

    let straight = validating(&["--iterations", "60"]);
    let wanted = best(&straight.path());
    assert!(wanted.0 > 10, "this run should improve");
    // From before its best state, which is then of iterations that are yet to come.
    let older = straight.checkpoint("0000000010");
    let older = older.to_str().unwrap();
    go_on(&straight, &["--checkpoint", older]);
    assert_eq!(best(&straight.path()), wanted);
    go_on(&straight, &["--checkpoint", older, "--set", "eval.every=0"]);
    assert!(!straight.path().join("checkpoints/best.safetensors").exists());
}

#[test]
fn the_time_of_earlier_sessions_counts() {
    let run = Run::train(&[&SMALL[..], &["--iterations", "30", "--set", "log.every=10"]].concat());
    let seconds = || -> Vec<f64> {
        let lines = lines_of(&run.read("metrics.jsonl"));
        lines.iter().map(|line| line["seconds"].as_f64().unwrap()).collect()
    };
    let before = seconds();
    reptile()
        .args(["train", "--resume", "--iterations", "60", "--out"])
        .arg(run.path())
        .assert()
        .success();
    let after = seconds();
    assert_eq!((before.len(), after.len()), (3, 6));
    assert!(after.is_sorted() && after[3] > before[2], "{after:?}");
}

#[test]
fn more_iterations_can_be_added() {
    let constant = ["--set", "outer.schedule={kind='constant'}"];
    let straight = Run::train(&[&["--iterations", "80"], &constant[..]].concat());
    let run = Run::train(&[&["--iterations", "30"], &constant[..]].concat());
    reptile()
        .args(["train", "--resume", "--iterations", "80", "--out"])
        .arg(run.path())
        .assert()
        .success();
    assert_eq!(
        bytes_of_parameters(&straight.checkpoint("0000000080")),
        bytes_of_parameters(&run.checkpoint("0000000080")),
    );
}

#[test]
fn another_configuration_is_refused() {
    let run = Run::train(&["--iterations", "20"]);
    let text = refusal(
        reptile().args(["train", "--resume", "--set", "inner.rate=0.5", "--out"]).arg(run.path()),
    );
    assert!(text.contains("rate = 0.5") && text.contains("--out"), "{text}");
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let run = Run::train(&["--iterations", "20"]);
    let before = std::fs::read(run.checkpoint("0000000020")).unwrap();
    let text = refusal(reptile().args(["train", "--preset", "sine", "--out"]).arg(run.path()));
    assert!(text.contains("--resume"), "{text}");
    assert_eq!(before, std::fs::read(run.checkpoint("0000000020")).unwrap());
}

fn model_of(run: &Run) -> Model {
    let config = std::fs::read_to_string(run.path().join("config.toml")).unwrap();
    Config::from_toml(&config, "config").unwrap().validate().unwrap()
}

/// What ranks left in a checkpoint is there when some go on later.
#[test]
fn one_process_keeps_the_momentum_of_rounds_between_ranks() {
    let run = Run::train(&["--iterations", "20"]);
    let (file, model) = (run.checkpoint("0000000020"), model_of(&run));
    let mut of_ranks = Checkpoint::load(&model, &file).unwrap();
    let momentum: Vec<f32> = (0..model.parameter_count()).map(|i| 0.5 - i as f32).collect();
    of_ranks.state.round_momentum = vec![momentum];
    of_ranks.save(&model, &file).unwrap();
    let mut resume = reptile();
    resume.args(["train", "--iterations", "40", "--resume", "--out"]).arg(run.path());
    resume.assert().success();
    let later = Checkpoint::load(&model, run.checkpoint("0000000040")).unwrap();
    assert_eq!(later.state.round_momentum, of_ranks.state.round_momentum);
}

/// A run of an earlier version, whose checkpoints say nothing of their arithmetic.
#[test]
fn a_run_of_another_arithmetic_is_refused_with_the_way_to_go_on() {
    let run = Run::train(&["--iterations", "20"]);
    let file = run.checkpoint("0000000020");
    let model = model_of(&run);
    let mut old = Checkpoint::load(&model, &file).unwrap();
    old.run.arithmetic = 1;
    old.save(&model, &file).unwrap();
    let resume = |iterations| {
        let mut command = reptile();
        command.args(["train", "--iterations", iterations, "--resume", "--out"]).arg(run.path());
        command
    };
    let text = refusal(&mut resume("40"));
    assert!(text.contains("arithmetic 1") && text.contains("--other-arithmetic"), "{text}");
    assert!(!run.checkpoint("0000000040").exists());
    resume("40").arg("--other-arithmetic").assert().success();
    assert!(run.checkpoint("0000000040").exists());
    // From there on it is this version's.
    resume("60").assert().success();
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_offered() {
    let run = Run::train(&["--iterations", "60", "--set", "log.checkpoint_every=20"]);
    let straight = bytes_of_parameters(&run.checkpoint("0000000060"));
    let newest = run.checkpoint("0000000060");
    let mut bytes = std::fs::read(&newest).unwrap();
    let place = bytes.len() - 7;
    bytes[place] ^= 0x10;
    std::fs::write(&newest, &bytes).unwrap();
    let resume = || {
        let mut command = reptile();
        command.args(["train", "--resume", "--out"]).arg(run.path());
        command
    };
    let text = refusal(&mut resume());
    assert!(text.contains("dense3.weight") || text.contains("dense3.bias"), "{text}");
    assert!(text.contains("--checkpoint") && text.contains("0000000040"), "{text}");
    resume().arg("--checkpoint").arg(run.checkpoint("0000000040")).assert().success();
    assert_eq!(straight, bytes_of_parameters(&newest));
    std::fs::write(&newest, b"not a checkpoint").unwrap();
    let text = refusal(reptile().arg("eval").arg(run.path()));
    assert!(text.contains("0000000060"), "{text}");
}

#[test]
fn resuming_needs_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let text = refusal(reptile().args(["train", "--resume", "--out"]).arg(folder.path()));
    assert!(text.contains("holds no run"), "{text}");
    reptile().args(["train", "--resume"]).assert().code(2);
}
