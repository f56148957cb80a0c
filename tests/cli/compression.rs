//! `reptile compress` from end to end.

use crate::program::{Run, SMALL, eval_json, refusal, reptile, stderr, write_task};
use reptile::config::Config;
use reptile::store::adapted::Adapted;
use std::path::Path;

/// A short run and ten models that were adapted to its test tasks.
fn adapted() -> (Run, std::path::PathBuf) {
    let run = Run::train(&[&["--iterations", "20"], &SMALL[..]].concat());
    let file = run.path().join("adapted.safetensors");
    reptile()
        .arg("adapt")
        .arg(run.path())
        .args(["--test-tasks", "10", "--out"])
        .arg(&file)
        .assert()
        .success();
    (run, file)
}

fn compress(run: &Run, file: &Path, codec: &str, out: &Path) {
    let mut command = reptile();
    command.arg("compress").arg(file).arg("--base").arg(run.path());
    command.args(["--codec", codec, "--out"]).arg(out).assert().success();
}

fn loss_after(value: &serde_json::Value) -> f64 {
    value["runs"][0]["after"]["loss"].as_f64().unwrap()
}

#[test]
fn models_are_tested_as_they_were_adapted_and_replays_have_their_bytes() {
    let (run, file) = adapted();
    let base = run.path().display().to_string();
    let plain = loss_after(&eval_json(run.path(), &["--tasks", "10", "--no-baseline"]));
    let models = loss_after(&eval_json(&file, &["--base", &base]));
    assert_eq!(models, plain, "the same tasks and the same parameters");
    for (codec, ratio, error) in [("f16", 1.2, 0.01), ("int8", 1.5, 0.05), ("replay", 3.0, 0.0)] {
        let out = run.path().join(format!("{codec}.safetensors"));
        compress(&run, &file, codec, &out);
        let size = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
        assert!(size(&file) / size(&out) > ratio, "{codec}");
        let loss = loss_after(&eval_json(&out, &["--base", &base]));
        assert!((loss - plain).abs() <= error * plain, "{codec}: {loss} for {plain}");
    }
    let back = run.path().join("back.safetensors");
    let replay = run.path().join("replay.safetensors");
    let decompress = |from: &Path, to: &Path| {
        let mut command = reptile();
        command.arg("decompress").arg(from).arg("--base").arg(run.path()).arg("--out").arg(to);
        command.assert().success();
    };
    decompress(&replay, &back);
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&file).unwrap(), "replay");
    let coarse = run.path().join("coarse.safetensors");
    decompress(&run.path().join("int8.safetensors"), &coarse);
    let again = run.path().join("again.safetensors");
    compress(&run, &coarse, "int8", &again);
    assert!(loss_after(&eval_json(&again, &["--base", &base])).is_finite());
}

/// The file as a version would have written it that knows no `refine`.
fn without_refine(run: &Run, path: &Path) {
    let model = Config::from_toml(&run.read("config.toml"), "run").unwrap().validate().unwrap();
    let mut adapted = Adapted::load(&model, path).unwrap();
    let recipe = &mut adapted.settings.recipe;
    let older = recipe.replace("\"refine\":null,", "");
    assert!(older.len() < recipe.len(), "{recipe}");
    *recipe = older;
    std::fs::remove_file(path).unwrap();
    adapted.write_new(&model, path).unwrap();
}

#[test]
fn models_with_refined_rates_are_made_again_and_from_their_own_tasks_alone() {
    let aruba =
        ["--iterations", "20", "--set", "strategy.kind=aruba", "--set", "strategy.zeta=0.03"];
    let run = Run::train(&[&aruba[..], &SMALL[..]].concat());
    let name = |name: &str| run.path().join(name);
    write_task(&name("mine"), 2.0, 6);
    write_task(&name("other"), -1.0, 6);
    let adapt = |arguments: &[&str], out: &str| {
        let mut command = reptile();
        command.arg("adapt").arg(run.path()).arg("--tasks").arg(name("mine"));
        command.args(arguments).arg("--out").arg(name(out)).assert().success();
        std::fs::read(name(out)).unwrap()
    };
    let (plain, refined) = (adapt(&[], "plain"), adapt(&["--refine", "1000"], "refined"));
    assert_ne!(plain, refined);
    without_refine(&run, &name("plain"));
    for file in ["plain", "refined"] {
        let replay = |tasks: &str, out: &str| {
            let mut command = reptile();
            command.arg("compress").arg(name(file)).arg("--base").arg(run.path());
            command.args(["--codec", "replay", "--tasks"]).arg(name(tasks));
            command.arg("--out").arg(name(out));
            command
        };
        let (small, back) = (format!("{file}-small"), format!("{file}-back"));
        let text = refusal(&mut replay("other", &small));
        assert!(text.contains("--tasks") && !name(&small).exists(), "{text}");
        replay("mine", &small).assert().success();
        let mut command = reptile();
        command.arg("decompress").arg(name(&small)).arg("--base").arg(run.path());
        let text = stderr(command.arg("--out").arg(name(&back)).assert().success());
        assert!(!text.contains("warning"), "{text}");
        assert_eq!(std::fs::read(name(&back)).unwrap(), std::fs::read(name(file)).unwrap());
    }
    let eval = |arguments: &[&str]| {
        eval_json(run.path(), &[&["--tasks", "10", "--no-baseline"], arguments].concat())
    };
    let (plain, refined) = (eval(&[]), eval(&["--refine", "1000"]));
    assert_eq!((&plain["refine"], &refined["refine"]), (&0.0.into(), &1000.0.into()));
    assert_ne!(loss_after(&plain), loss_after(&refined));
    let (bare, _) = adapted();
    let text = refusal(reptile().arg("eval").arg(bare.path()).args(["--refine", "1"]));
    assert!(text.contains("strategy.refine") && text.contains("aruba"), "{text}");
}

#[test]
fn what_is_left_over_is_fed_back() {
    let (run, file) = adapted();
    let name = |name: &str| run.path().join(name);
    let command = |out: &str| {
        let mut command = reptile();
        command.arg("compress").arg(&file).arg("--base").arg(run.path());
        command.args(["--codec", "topk:0.02", "--out"]).arg(name(out));
        command
    };
    command("one").arg("--residual").arg(name("left")).assert().success();
    // What was sent and what is left over make up the differences: nothing is lost.
    let mut second = command("two");
    second.arg("--feedback").arg(name("left")).arg("--residual").arg(name("more"));
    second.assert().success();
    let text = refusal(command("three").arg("--residual").arg(name("left")));
    assert!(text.contains("left"), "nothing is written over: {text}");
    let text = refusal(command("same").arg("--residual").arg(run.path().join("./same")));
    assert!(text.contains("are the same file") && !name("same").exists(), "{text}");
    assert!(!name("three").exists());
}

#[test]
fn wrong_bases_and_damaged_files_are_refused() {
    let (run, file) = adapted();
    let other = Run::train(&[&["--iterations", "10"], &SMALL[..]].concat());
    let out = run.path().join("small.safetensors");
    compress(&run, &file, "int4", &out);
    let of = |file: &Path, base: &Run| {
        let mut command = reptile();
        command.arg("decompress").arg(file).arg("--base").arg(base.path());
        command.arg("--out").arg(run.path().join("restored.safetensors"));
        refusal(&mut command)
    };
    assert!(of(&out, &other).contains("another checkpoint"));
    let bytes = std::fs::read(&out).unwrap();
    std::fs::write(&out, &bytes[..bytes.len() / 2]).unwrap();
    assert!(of(&out, &run).contains("truncated"));
    assert!(of(&file, &run).contains("not compressed models"));
    assert!(!run.path().join("restored.safetensors").exists());
    let mut command = reptile();
    command.arg("compress").arg(&file).arg("--base").arg(run.path());
    let text = stderr(command.args(["--codec", "int3", "--out", "x"]).assert().code(2));
    assert!(text.contains("int8"), "{text}");
    assert!(refusal(reptile().arg("eval").arg(&file)).contains("--base"));
}

#[test]
fn models_are_checked_before_anything_is_written() {
    let (run, file) = adapted();
    let base = run.path().display().to_string();
    let check = |codec: &str, arguments: &[&str], out: &str| {
        let mut command = reptile();
        command.arg("compress").arg(&file).arg("--base").arg(run.path());
        command.args(["--codec", codec]).args(arguments).arg("--out").arg(run.path().join(out));
        command
    };
    let checked = check("int4", &["--check", "10"], "small").assert().success();
    let text = String::from_utf8(checked.get_output().stdout.clone()).unwrap();
    // What `reptile eval` says of either file, to its four digits.
    for (from, what) in [(file.clone(), "as adapted"), (run.path().join("small"), "restored")] {
        let loss = loss_after(&eval_json(&from, &["--base", &base]));
        assert!(text.contains(&format!("{what} {loss:.4} ±")), "{what} {loss}: {text}");
    }
    assert!(text.starts_with("10 test tasks"), "{text}");
    let refused = |codec: &str, arguments: &[&str], because: &str| {
        let text = refusal(&mut check(codec, arguments, "none"));
        assert!(text.contains(because), "{because}: {text}");
        assert!(!run.path().join("none").exists(), "{because}");
    };
    refused("int4", &["--check", "11"], "holds 10 models");
    refused("replay", &["--check", "1"], "leave --check out");
    write_task(&run.path().join("mine"), 2.0, 6);
    let own = run.path().join("own");
    let mut command = reptile();
    command.arg("adapt").arg(run.path()).arg("--tasks").arg(run.path().join("mine"));
    command.arg("--out").arg(&own).assert().success();
    let mut command = reptile();
    command.arg("compress").arg(&own).arg("--base").arg(run.path());
    let text = refusal(command.args(["--codec", "int4", "--check", "1", "--out", "none"]));
    assert!(text.contains("--test-tasks"), "{text}");
}
