//! The program as its user meets it: good input.

use crate::program::{
    Run, SMALL, bytes_of_parameters, eval_json, lines_of, reptile, sine_config, stderr, stdout,
};
use serde_json::Value;

#[test]
fn devices_are_listed_for_people_and_for_machines() {
    let text = stdout(reptile().arg("devices"));
    assert!(text.contains("backend") && text.contains("variants"), "{text}");
    let list: Vec<Value> =
        serde_json::from_str(&stdout(reptile().args(["devices", "--json"]))).unwrap();
    assert!(!list.is_empty());
    for device in &list {
        for key in ["index", "name", "backend", "driver", "type", "limits", "features", "variants"]
        {
            assert!(!device[key].is_null(), "{key} in {device}");
        }
    }
    let plain = stdout(reptile().args(["devices", "--baseline"]));
    assert!(!plain.contains("products subgroup"), "{plain}");
}

/// The names of the adapters, with `LP_NATIVE_VECTOR_WIDTH` as given.
fn names_with(width: Option<&str>) -> Vec<String> {
    let mut command = reptile();
    match width {
        Some(width) => command.env("LP_NATIVE_VECTOR_WIDTH", width),
        None => command.env_remove("LP_NATIVE_VECTOR_WIDTH"),
    };
    let list: Vec<Value> =
        serde_json::from_str(&stdout(command.args(["devices", "--json"]))).unwrap();
    list.iter().map(|device| device["name"].as_str().unwrap().to_string()).collect()
}

#[test]
fn mesas_software_driver_gets_wide_vectors_where_they_pay_and_no_width_was_chosen() {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let wide = processor.contains("AuthenticAMD") && processor.contains(" avx512bw ");
    for (width, bits) in
        [(Some("128"), "128 bits"), (None, if wide { "512 bits" } else { " bits" })]
    {
        for name in names_with(width).iter().filter(|name| name.starts_with("llvmpipe")) {
            assert!(name.contains(bits), "{name} with {width:?}");
        }
    }
}

#[test]
fn a_run_leaves_configuration_metrics_and_checkpoints() {
    let run = Run::train(&[
        "--iterations",
        "60",
        "--set",
        "log.checkpoint_every=20",
        "--log-inner",
        "30",
    ]);
    let config = run.read("config.toml");
    for part in ["iterations = 60", "[outer.schedule]", "weight_decay", "keep = 3"] {
        assert!(config.contains(part), "{part} in {config}");
    }
    let records = lines_of(&run.read("metrics.jsonl"));
    let of_kind = |kind: &str| records.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!(of_kind("inner"), 2);
    assert_eq!(of_kind("train"), 1, "log.every is 100, and the last iteration is always logged");
    let inner = records.iter().find(|line| line["kind"] == "inner").unwrap();
    assert_eq!(inner["losses"].as_array().unwrap().len(), 5);
    assert_eq!(run.checkpoints(), ["0000000020", "0000000040", "0000000060"]);
}

#[test]
fn json_on_stdout_is_what_the_metrics_hold() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let printed = stdout(
        reptile()
            .args(sine_config())
            .args(["--iterations", "200", "--json"])
            .arg("--out")
            .arg(&out),
    );
    let stored = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert_eq!(lines_of(&printed), lines_of(&stored));
}

#[test]
fn both_plans_train_the_same_network() {
    let run = |plan: &str| {
        let trained = Run::train(&["--iterations", "50", "--plan", plan]);
        eval_json(trained.path(), &["--tasks", "20"])
    };
    let [fused, layered] = ["fused", "layered"].map(run);
    // Before adaptation: 32 steps at this rate amplify rounding on tasks of large amplitude.
    let loss = |value: &Value| value["runs"][0]["before"]["loss"].as_f64().unwrap();
    let difference = (loss(&fused) - loss(&layered)).abs() / loss(&layered);
    assert!(difference < 1e-6, "{fused} {layered}");
}

#[test]
fn several_runs_equal_single_ones() {
    let together = Run::train(&["--iterations", "30", "--runs", "2", "--seed", "5"]);
    let alone = Run::train(&["--iterations", "30", "--seed", "6"]);
    let [both, second] =
        [&together, &alone].map(|run| bytes_of_parameters(&run.checkpoint("0000000030")));
    for (name, bytes) in &second {
        assert_eq!(both[name][bytes.len()..], bytes[..], "{name}");
    }
}

#[test]
fn evaluation_reports_before_after_and_from_scratch() {
    let run = Run::train(&["--iterations", "60"]);
    let value = eval_json(run.path(), &["--tasks", "50"]);
    for place in
        ["/runs/0/before/loss", "/runs/0/after/loss", "/random_initialisation/after/loss_interval"]
    {
        assert!(value.pointer(place).is_some_and(Value::is_number), "{place} in {value}");
    }
    assert_eq!(value, eval_json(run.path(), &["--tasks", "50"]), "the same tasks each time");
    assert_ne!(value, eval_json(run.path(), &["--tasks", "50", "--seed", "9"]));
    let checkpoint = run.checkpoint("0000000060");
    let text = stdout(reptile().arg("eval").arg(checkpoint).args(["--tasks", "50"]));
    assert!(text.contains("random initialisation") && text.contains('±'), "{text}");
}

#[test]
fn a_run_is_drawn() {
    let run = Run::train(&["--iterations", "60"]);
    let printed =
        stdout(reptile().arg("plot").arg(run.path()).arg("--out").arg(run.path().join("new")));
    for name in ["learning.svg", "adaptation.svg"] {
        assert!(printed.contains(name), "{printed}");
        assert!(run.read(&format!("new/{name}")).starts_with("<svg"), "{name}");
    }
}

#[test]
fn presets_are_listed_and_printed() {
    let list = stdout(reptile().arg("presets"));
    assert!(list.contains("sine") && list.contains("omniglot-mlp-10w"), "{list}");
    let cell = list.lines().find(|line| line.starts_with("omniglot-20w5s-t ")).unwrap();
    for part in [" 20 ", " 5 ", "adam 0.0005, 10 × 20", "200000", "97.12 ± 0.32 %"] {
        assert!(cell.contains(part), "{part} in {cell}");
    }
    let printed = stdout(reptile().args(["presets", "gradcomb-mean2"]));
    for part in ["# gradcomb-mean2: ", "rate = 0.125", "[log]", "weight_decay = 1.0"] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    let text = stdout(reptile().args(["presets", "--json"]));
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.len() + 1, list.lines().count());
    let row = rows.iter().find(|row| row["name"] == "omniglot-5w1s-t").unwrap();
    assert_eq!(row["training"], "omniglot-5w1s");
    assert_eq!(row["inner"]["rate"].to_string(), "0.001");
    assert_eq!(row["paper"]["accuracy"], 97.68);
    assert_eq!(row["config"]["eval"]["transductive"], true);
    let one: Value =
        serde_json::from_str(&stdout(reptile().args(["presets", "sine", "--json"]))).unwrap();
    assert!(one["paper"].is_null() && one["way"].is_null() && one["shots"] == 10, "{one}");
}

#[test]
fn stopping_rules_stop() {
    let validation =
        ["--iterations", "100000", "--set", "eval.every=50", "--set", "eval.validation_tasks=10"];
    let stopped = |rule: &str| {
        let run = Run::train(&[&validation[..], &["--set", rule]].concat());
        (run.output.clone(), run)
    };
    let (text, run) = stopped("stop.target=1000");
    assert!(text.contains("target reached: 50"), "{text}");
    assert!(run.path().join("checkpoints/best.safetensors").is_file());
    assert!(stopped("stop.seconds=1").0.contains("time budget"));
    // A rate of almost nothing: no validation beats the first by more than rounding.
    let (text, _run) = {
        let rules = ["--set", "stop.patience=2", "--set", "outer.rate=1e-30"];
        let run = Run::train(&[&validation[..], &rules].concat());
        (run.output.clone(), run)
    };
    assert!(text.contains("no improvement: 150"), "{text}");
}

#[test]
fn the_gl_backend_trains_where_there_is_one() {
    let probe = reptile().args(["devices", "--backend", "gl"]).output().unwrap();
    if !probe.status.success() {
        eprintln!("skipped: no GL adapter");
        return;
    }
    let run = Run::train(&["--iterations", "20", "--backend", "gl"]);
    assert!(run.output.contains("done: 20"), "{}", run.output);
}

#[test]
fn a_cpu_adapter_is_announced() {
    let run = Run::train(&["--iterations", "1"]);
    let list: Vec<Value> =
        serde_json::from_str(&stdout(reptile().args(["devices", "--json"]))).unwrap();
    let only_cpus = list.iter().all(|device| device["type"] == "Cpu");
    assert_eq!(run.output.contains("CPU that plays GPU"), only_cpus, "{}", run.output);
    if only_cpus {
        let asked = Run::train(&["--iterations", "1", "--device", "0"]);
        assert!(asked.output.contains("CPU that plays GPU"), "{}", asked.output);
        assert!(!asked.output.contains("no GPU was found"), "{}", asked.output);
    }
}

#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = crate::program::program();
    let child = command
        .args(sine_config())
        .args(["--iterations", "100000000", "--no-autotune", "--set", "log.every=1"])
        .args(SMALL)
        .arg("--out")
        .arg(&out)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    crate::program::wait_for(|| out.join("metrics.jsonl").exists_with_content());
    crate::program::signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("interrupted") && text.contains("--resume"), "{text}");
    assert_eq!(std::fs::read_dir(out.join("checkpoints")).unwrap().count(), 1);
    let text = stderr(
        reptile()
            .args(["train", "--resume", "--no-autotune", "--set", "stop.seconds=0.2", "--out"])
            .arg(&out)
            .assert()
            .success(),
    );
    assert!(text.contains("resuming at iteration"), "{text}");
}

use crate::program::HasContent;
