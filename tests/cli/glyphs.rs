//! Glyphs through the program: no data, and the same tasks each time.

use crate::program::{ONE_HIDDEN, bytes_of_parameters, eval_json, numbers, refusal, reptile};

/// `train` of a small dense network on 5-way tasks of examples that differ little.
fn train(keys: &[&str]) -> assert_cmd::Command {
    let mut command = reptile();
    command.args(["train", "--preset", "omniglot-mlp-5w1s"]);
    let all = [
        "tasks.kind=glyphs",
        "tasks.way=5",
        "tasks.shots=3",
        "tasks.train_shots=5",
        "tasks.size=14",
        "tasks.jitter=0.02",
        "tasks.rotation=0.1",
        "tasks.scale=0.05",
        "tasks.shear=0.05",
        "tasks.shift=0.01",
        "model.input=[1, 14, 14]",
        ONE_HIDDEN,
        "inner.rate=0.05",
        "inner.steps=10",
        "eval.steps=60",
        "eval.batch=15",
    ];
    for key in all.iter().chain(keys) {
        command.args(["--set", key]);
    }
    command
}

#[test]
fn glyphs_are_learned() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let more = ["eval.every=20", "eval.validation_tasks=5"];
    train(&more).args(["--iterations", "40", "--out"]).arg(&out).assert().success();
    let value = eval_json(&out, &["--tasks", "25"]);
    let accuracy = |place: &str| value.pointer(place).unwrap().as_f64().unwrap();
    assert!(accuracy("/runs/0/before/accuracy") < 0.5, "{value}");
    assert!(accuracy("/runs/0/after/accuracy") > 0.8, "{value}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        let mut command = train(&["outer.meta_batch=2"]);
        command.args(["--iterations", "5", "--seed", seed, "--out"]).arg(&out).assert().success();
        let last = numbers(&out).pop().unwrap();
        bytes_of_parameters(&out.join("checkpoints").join(format!("{last}.safetensors")))
    };
    let first = run("a", "0");
    assert_eq!(first, run("b", "0"));
    assert_ne!(first, run("c", "1"));
}

#[test]
fn a_folder_of_data_is_refused() {
    let text = refusal(train(&[]).args(["--data", "somewhere"]));
    assert!(text.contains("tasks.data") && text.contains("glyphs"), "{text}");
}
