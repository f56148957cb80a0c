//! Warm starts from the memory of a run.

use crate::program::{Run, SMALL, eval_json, refusal, reptile};

#[test]
fn warm_starts_are_for_runs_with_a_memory() {
    let memory = ["--set", "memory.capacity=6", "--set", "outer.meta_batch=2", "--iterations", "6"];
    let run = Run::train(&[&memory[..], &SMALL[..]].concat());
    assert!(run.output.contains("adapted models"), "its size is printed: {}", run.output);
    let loss = |arguments: &[&str]| {
        let value =
            eval_json(run.path(), &[&["--no-baseline", "--tasks", "30"], arguments].concat());
        ["before", "after"].map(|when| value["runs"][0][when]["loss"].as_f64().unwrap())
    };
    let (cold, warm) = (loss(&[]), loss(&["--warm-start", "memory"]));
    assert!(warm[0] < cold[0], "the best entry fits better than their mean: {warm:?}, {cold:?}");
    let file = run.path().join("entries.safetensors");
    let export = |out: &std::path::Path| {
        let mut command = reptile();
        command.arg("adapt").arg(run.path()).args(["--memory", "--out"]).arg(out);
        command
    };
    export(&file).assert().success();
    assert!(refusal(&mut export(&file)).contains("not written over"));
    let test = run.path().join("warm.safetensors");
    let mut command = reptile();
    command.arg("adapt").arg(run.path()).args(["--test-tasks", "30", "--warm-start", "memory"]);
    command.arg("--out").arg(&test).assert().success();
    let value = eval_json(&test, &["--base", &run.path().display().to_string()]);
    assert_eq!(value["runs"][0]["after"]["loss"].as_f64().unwrap(), warm[1]);
    let bare = Run::train(&[&["--iterations", "3"], &SMALL[..]].concat());
    let text = refusal(reptile().arg("eval").arg(bare.path()).args(["--warm-start", "memory"]));
    assert!(text.contains("memory.capacity"), "{text}");
}
