//! Evaluation of a run's states, and what is written while it trains.

mod cli_common;

use std::path::{Path, PathBuf};

use cli_common::{Run, SMALL, eval_json, lines_of, refusal, reptile, stdout};
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
    let without = small(&["--iterations", "5", "--seed", "9"]);
    std::fs::copy(
        without.checkpoint("0000000005"),
        run.path().join("checkpoints/0000000099.safetensors"),
    )
    .unwrap();
    let text = refusal(reptile().arg("eval").arg(run.path()));
    assert!(text.contains("0000000099") && text.contains("another run"), "{text}");
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
