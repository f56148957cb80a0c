//! Evaluation of a run's states, and what is written while it trains.

use std::path::{Path, PathBuf};

use crate::program::{
    Run, SMALL, eval_json, lines_of, refusal, reptile, sine_config, stderr, stdout,
};
use serde_json::Value;

/// Validates every 10 iterations on a few tasks.
const VALIDATING: [&str; 4] = ["--set", "eval.every=10", "--set", "eval.validation_tasks=8"];

/// A run with a small network.
fn small(arguments: &[&str]) -> Run {
    Run::train(&[&SMALL[..], arguments].concat())
}

#[test]
fn the_best_state_is_evaluated_by_flag_or_by_name() {
    let run = small(&[&["--iterations", "50"], &VALIDATING[..]].concat());
    let records = lines_of(&run.read("metrics.jsonl"));
    let validations = records.iter().filter(|line| line["kind"] == "validation");
    let loss = |line: &&Value| line["loss"].as_f64().unwrap();
    let best = validations.min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
    let by_flag = eval_json(run.path(), &["--best", "--tasks", "8"]);
    assert_eq!(by_flag["iteration"], best["iteration"]);
    let file = run.path().join("checkpoints/best.safetensors");
    assert_eq!(by_flag, eval_json(file, &["--tasks", "8"]));
    let without = small(&["--iterations", "60", "--seed", "9"]);
    std::fs::copy(without.checkpoint("0000000060"), run.checkpoint("0000000060")).unwrap();
    let text = refusal(reptile().arg("eval").arg(run.path()));
    assert!(text.contains("0000000060") && text.contains("another run"), "{text}");
    let text = refusal(reptile().args(["eval", "--best"]).arg(without.path()));
    assert!(text.contains("eval.every"), "{text}");
}

#[test]
fn scores_of_every_task_are_written_and_agree_with_the_means() {
    let run = small(&["--iterations", "20", "--runs", "2"]);
    let file = |name: &str| run.path().join(name);
    let evaluate = |path: &Path| {
        eval_json(run.path(), &["--tasks", "12", "--per-task", path.to_str().unwrap()])
    };
    let value = evaluate(&file("tasks.json"));
    let text = run.read("tasks.json");
    let lines: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(lines.len(), 3 * 12, "two runs and the random initialisation");
    for (number, seed) in [(0, 0), (1, 1)] {
        let own = lines.iter().filter(|line| line["origin"] == "trained" && line["run"] == number);
        let tasks: Vec<_> = own.clone().map(|line| line["task"].as_u64().unwrap()).collect();
        assert_eq!(tasks, (0..12).collect::<Vec<_>>());
        for when in ["before", "after"] {
            let losses = own.clone().map(|line| line[format!("loss_{when}")].as_f64().unwrap());
            let mean = losses.sum::<f64>() / 12.0;
            let wanted = value["runs"][number][when]["loss"].as_f64().unwrap();
            assert!((mean - wanted).abs() < 1e-5 * wanted, "{mean} {wanted}");
        }
        assert!(own.clone().all(|line| line["seed"] == seed && line["accuracy_after"].is_null()));
    }
    evaluate(&file("tasks.csv"));
    assert_eq!(run.read("tasks.csv").lines().count(), 1 + 3 * 12);
    let refused =
        |path: PathBuf| refusal(reptile().arg("eval").arg(run.path()).arg("--per-task").arg(path));
    assert!(refused(file("tasks.csv")).contains("exists already"));
    assert!(refused(file("tasks.txt")).contains(".csv or .json"));
}

#[test]
fn one_task_has_no_interval() {
    let every = ["--iterations", "10", "--set", "eval.every=5", "--set", "eval.validation_tasks=1"];
    let run = small(&every);
    let value = eval_json(run.path(), &["--tasks", "1"]);
    for entry in [&value["runs"][0], &value["random_initialisation"]] {
        assert_eq!(entry["diverged"], 0, "{value}");
        for when in ["before", "after"] {
            assert!(entry[when]["loss"].is_number(), "{value}");
            assert_eq!(entry[when].get("loss_interval"), Some(&Value::Null), "{value}");
        }
    }
    let text = stdout(reptile().args(["eval", "--tasks", "1"]).arg(run.path()));
    assert_eq!(text.matches(" ± –").count(), 4, "{text}");
    assert!(!text.contains("NaN") && !text.contains("diverged"), "{text}");
    // The same of validations; a run goes on from such a file.
    assert!(run.output.contains(" ± –\n") && !run.output.contains("NaN"), "{}", run.output);
    assert!(run.output.contains("plan: layered\n"), "{}", run.output);
    let resume = ["train", "--resume", "--iterations", "15", "--out"];
    reptile().args(resume).arg(run.path()).assert().success();
    let records = lines_of(&run.read("metrics.jsonl"));
    let of = |kind: &str| records.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("validation").len(), 3);
    assert!(of("validation").iter().all(|line| line.get("interval") == Some(&Value::Null)));
}

/// One inner step at `rate`, which only evaluations notice: the state itself hardly moves. They make
/// one step too.
fn diverging(out: &Path, rate: &str) -> String {
    let rate = format!("inner.rate={rate}");
    let set = [
        "iterations=1",
        "inner.steps=1",
        "outer.rate=1e-30",
        "eval.steps=1",
        "eval.every=1",
        "eval.validation_tasks=20",
        &rate,
    ];
    let mut train = reptile();
    train.args(sine_config()).args(SMALL).args(set.iter().flat_map(|it| ["--set", it]));
    stderr(train.arg("--out").arg(out).assert().success())
}

#[test]
fn tasks_that_diverge_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("my run");
    let said = diverging(&run, "1e18");
    // As it is to be pasted into a shell.
    assert!(said.contains(&format!("next: reptile eval '{}'\n", run.display())), "{said}");
    let metrics = lines_of(&std::fs::read_to_string(run.join("metrics.jsonl")).unwrap());
    let validation = metrics.iter().find(|line| line["kind"] == "validation").unwrap();
    let count = validation["diverged"].as_u64().unwrap();
    assert!((1..20).contains(&count) && validation["loss"].is_number(), "{validation}");
    assert!(said.contains(&format!("; {count} of 20 tasks diverged\n")), "{said}");
    let file = folder.path().join("tasks.json");
    let arguments = ["--tasks", "20", "--no-baseline"];
    let per_task = ["--per-task", file.to_str().unwrap()];
    let value = eval_json(&run, &[&arguments[..], &per_task].concat())["runs"][0].take();
    let lines: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(lines.len(), 20, "every task is kept");
    let left: Vec<_> = lines.iter().filter(|line| line["loss_after"].is_number()).collect();
    assert!((1..20).contains(&left.len()), "{lines:?}");
    assert_eq!(value["diverged"], 20 - left.len());
    for when in ["before", "after"] {
        let losses = left.iter().map(|line| line[format!("loss_{when}")].as_f64().unwrap());
        let (mean, wanted) = (losses.sum::<f64>() / left.len() as f64, &value[when]["loss"]);
        let wanted = wanted.as_f64().unwrap();
        assert!((mean - wanted).abs() < 1e-5 * wanted, "{mean} {wanted}");
    }
    let text = stdout(reptile().arg("eval").arg(&run).args(arguments));
    let said = format!(
        "\n  diverged  {} of 20 tasks, left out of the means; lower inner.rate\n",
        20 - left.len()
    );
    assert!(text.contains(&said), "{text}");
}

#[test]
fn an_evaluation_without_a_task_left_fails_after_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let said = diverging(&run, "1e30");
    assert!(said.contains("validation loss –; 20 of 20 tasks diverged\n"), "{said}");
    assert!(!run.join("checkpoints/best.safetensors").exists(), "it is worth nothing");
    for format in [&[][..], &["--json"]] {
        let mut eval = reptile();
        let assert = eval.arg("eval").arg(&run).args(["--tasks", "4"]).args(format);
        let assert = assert.assert().code(1);
        let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        let parts: &[&str] = match format {
            [] => &["before –", "after –", "diverged  4 of 4 tasks"],
            _ => &["\"diverged\": 4", "\"loss\": null"],
        };
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        let text = stderr(assert);
        assert!(text.contains("all 4 test tasks of run 0 diverged; lower inner.rate"), "{text}");
    }
}

#[test]
fn a_network_without_batch_statistics_has_one_mode() {
    let run = small(&["--iterations", "5"]);
    let plain = eval_json(run.path(), &["--tasks", "4"]);
    assert_eq!(plain["transductive"], false);
    assert!(plain.get("transduction").is_none(), "{plain}");
    let mut asked = eval_json(run.path(), &["--tasks", "4", "--transductive", "true"]);
    assert_eq!(asked["transductive"].take(), true);
    assert_eq!(asked["runs"], plain["runs"], "dense layers see each query alone");
}

#[test]
fn tensorboard_files_grow_with_each_session() {
    let arguments = ["--iterations", "20", "--runs", "2", "--seed", "3", "--tensorboard"];
    let run = small(&[&arguments, &VALIDATING[..]].concat());
    let files = |seed: u64| -> Vec<PathBuf> {
        let folder = run.path().join(format!("tensorboard/seed-{seed}"));
        let mut files: Vec<_> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let resume = ["train", "--resume", "--iterations", "30", "--out"];
    reptile().args(resume).arg(run.path()).assert().success();
    for seed in [3, 4] {
        let files = files(seed);
        assert_eq!(files.len(), 2, "{files:?}");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            assert!(bytes[12..].starts_with(b"\x09"), "an event with its time");
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(holds(b"brain.Event:2") && holds(b"loss/last inner step"));
            assert!(holds(b"validation/loss") && !holds(b"validation/accuracy"));
        }
    }
    let without = small(&["--iterations", "5"]);
    assert!(!without.path().join("tensorboard").exists());
    assert!(stdout(reptile().args(["presets", "sine"])).contains("tensorboard = false"));
}
