//! Tasks that functions in WGSL draw: the examples, and what is wrong with others.

use std::path::Path;

use crate::program::{eval_json, refusal, reptile, stderr};

fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tasks"))
}

#[test]
fn the_examples_train_and_keep_their_functions() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "toml") {
            count += 1;
            let out = folder.path().join(path.file_stem().unwrap());
            let mut train = reptile();
            train
                .args(["train", "--no-autotune", "--iterations", "20", "--plan", "layered"])
                .arg(&path);
            train.arg("--out").arg(&out).assert().success();
            let result = eval_json(&out, &["--tasks", "10"]);
            let after = result["runs"][0]["after"]["loss"].as_f64().unwrap();
            let before = result["runs"][0]["before"]["loss"].as_f64().unwrap();
            assert!(after < before, "{}: {before} before, {after} after", path.display());
        }
    }
    assert_eq!(count, 4, "the table in docs/tasks.md");
}

#[test]
fn a_run_goes_on_without_its_file_and_says_where_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["sine.toml", "sine.wgsl"] {
        std::fs::copy(examples().join(name), folder.path().join(name)).unwrap();
    }
    let (own, out) = (folder.path().join("sine.wgsl"), folder.path().join("run"));
    let mut train = reptile();
    train.current_dir(&folder).args(["train", "sine.toml", "--iterations", "20"]);
    train.args(["--plan", "layered", "--no-autotune"]);
    train.arg("--out").arg(&out).assert().success();
    let score = |more: &[&str]| {
        let arguments = [&["--tasks", "10"], more].concat();
        eval_json(&out, &arguments)["runs"][0]["after"]["loss"].clone()
    };
    let before = score(&[]);
    let text = std::fs::read_to_string(&own).unwrap();
    std::fs::write(&own, text.replace("4.9", "0.9")).unwrap();
    let mut eval = reptile();
    eval.arg("eval").arg(&out).args(["--tasks", "10"]);
    let said = stderr(eval.assert().success());
    assert!(said.contains("sine.wgsl has changed since the run began"), "{said}");
    std::fs::remove_file(&own).unwrap();
    assert_eq!(score(&[]), before);
    let mut resume = reptile();
    resume.args(["train", "--resume", "--iterations", "30", "--out"]).arg(&out);
    resume.assert().success();
}

#[test]
fn what_is_wrong_with_functions_is_named_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(examples().join("sine.toml"), folder.path().join("sine.toml")).unwrap();
    let text = std::fs::read_to_string(examples().join("sine.wgsl")).unwrap();
    let out = folder.path().join("run");
    for (from, to, part) in [
        ("task.phase)", "task.fase)", "sine.wgsl:21:"),
        ("fn draw_example", "fn example", "declares no `draw_example`"),
        ("= task.amplitude *", "= 1e30 * 1e30 * task.amplitude *", "sine.wgsl"),
        ("sin(", "log(-1.0 - (*x)[0] * (*x)[0]) + sin(", "target 0 of example"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(folder.path().join("sine.wgsl"), text.replace(from, to)).unwrap();
        let mut train = reptile();
        train.current_dir(&folder).args(["train", "sine.toml", "--out"]).arg(&out);
        let message = refusal(&mut train);
        assert!(message.contains(part), "{part}: {message}");
        assert!(!out.exists(), "{part}");
    }
    let mut train = reptile();
    train.current_dir(&folder).args(["train", "sine.toml", "--set", "tasks.file=none.wgsl"]);
    assert!(refusal(&mut train).contains("none.wgsl"));
    // What only some examples have shows in the training.
    let late = "(*y)[0] = select(1.0, log(-1.0 - (*x)[0] * (*x)[0]), example_number(random) > 40);";
    let text = text.replace("(*y)[0] =", &format!("{late} (*y)[0] +="));
    std::fs::write(folder.path().join("sine.wgsl"), text).unwrap();
    let mut train = reptile();
    train.current_dir(&folder).args(["train", "sine.toml", "--out"]).arg(&out);
    let message = refusal(&mut train);
    assert!(
        message.contains("sine.wgsl may have drawn") && message.contains("diverged"),
        "{message}"
    );
}

#[test]
fn fewer_classes_than_outputs_are_tested() {
    let folder = tempfile::tempdir().unwrap();
    let half_planes = examples().join("half_planes.toml");
    let out = folder.path().join("run");
    let train = |more: &[&str]| {
        let mut train = reptile();
        train.args(["train", "--no-autotune", "--iterations", "20", "--plan", "layered"]);
        train.arg(&half_planes).args(more);
        train.arg("--out").arg(&out);
        train
    };
    let text = refusal(&mut train(&["--set", "tasks.way=3"]));
    assert!(text.contains("4 units for 3 classes (tasks.way)"), "{text}");
    train(&[]).assert().success();
    // Two lines cut four classes.
    let text = std::fs::read_to_string(&half_planes).unwrap();
    let other = folder.path().join("three.toml");
    let file = examples().join("half_planes.wgsl").display().to_string();
    let text = text.replace("half_planes.wgsl", &file).replace("[tasks]", "[tasks]\nway = 3");
    std::fs::write(&other, &text).unwrap();
    let mut eval = reptile();
    eval.arg("eval").arg(&out).arg("--on").arg(&other).args(["--tasks", "10"]);
    assert!(refusal(&mut eval).contains("a label beyond 2, the last class"));
    let own = std::fs::read_to_string(&file).unwrap() + "\n// Three of them.\n";
    let own = own.replace("fn draw_example(", "fn draw_four(");
    let three = "fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> u32 {\n\
                 return draw_four(task, random, x) % OUTPUTS;\n}\n";
    std::fs::write(folder.path().join("three.wgsl"), own + three).unwrap();
    std::fs::write(&other, text.replace(&file, "three.wgsl")).unwrap();
    let scores = eval_json(&out, &["--on", other.to_str().unwrap(), "--tasks", "10"]);
    let accuracy = scores["runs"][0]["after"]["accuracy"].as_f64().unwrap();
    assert!(
        accuracy > 0.2 && scores["runs"][0]["after"]["loss"].as_f64().unwrap() < 10.0,
        "{scores}"
    );
}
