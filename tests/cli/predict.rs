//! `reptile predict`: photos in folders sorted, arrays told apart.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

use crate::images::{data, picture, train};
use crate::program::{Run, SMALL, refusal, reptile, stderr, stdout};

/// Images 0 and 1 of the classes as support, in folders by name, 2 to 9 as queries.
fn photos(folder: &Path, classes: std::ops::Range<u32>) {
    for class in classes {
        for image in 0..10 {
            let (part, format) = if image < 2 {
                ("support", "png")
            } else {
                ("query", ["png", "bmp"][image as usize % 2])
            };
            let place = folder.join(part).join(format!("kind, {class}"));
            std::fs::create_dir_all(&place).unwrap();
            picture(class, image).save(place.join(format!("{image}.{format}"))).unwrap();
        }
    }
    std::fs::write(folder.join("query").join("notes.txt"), "no image").unwrap();
}

/// Of the message `right: 20 of 24 …` the share.
fn right(said: &str) -> f64 {
    let (_, rest) = said.split_once("right: ").unwrap_or_else(|| panic!("{said}"));
    let words: Vec<&str> = rest.split(' ').collect();
    words[0].parse::<f64>().unwrap() / words[2].parse::<f64>().unwrap()
}

#[test]
fn photos_are_sorted_by_a_few_in_folders() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    data(&images);
    let run = folder.path().join("run");
    let mut train = train(folder.path(), 7, &[]);
    train.args(["--iterations", "50", "--data"]).arg(&images);
    train.arg("--out").arg(&run).assert().success();
    // The data set is not needed any more.
    std::fs::remove_dir_all(&images).unwrap();
    let mine = folder.path().join("mine");
    // Classes of the test part: five, and three of five outputs.
    for (place, classes) in [("five", 15..20), ("three", 15..18)] {
        photos(&mine.join(place), classes.clone());
        let predict = |more: &[&str]| {
            let mut command = reptile();
            command.current_dir(mine.join(place)).arg("predict").arg(&run);
            command.args(["--support", "support", "--query", "query"]).args(more);
            command
        };
        let said = stderr(predict(&["--out", "told.csv"]).assert().success());
        assert!(said.contains("not read: query/notes.txt"), "{said}");
        assert!(right(&said) > 0.9, "{said}");
        let text = std::fs::read_to_string(mine.join(place).join("told.csv")).unwrap();
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        let names: Vec<String> = classes.clone().map(|class| format!("kind, {class}")).collect();
        let head: Vec<String> = csv.headers().unwrap().iter().map(String::from).collect();
        assert_eq!(head[..3], ["file", "label", "probability"]);
        assert_eq!(head[3..], names);
        let mut count = 0;
        for row in csv.records().map(Result::unwrap) {
            let numbers: Vec<f64> = row.iter().skip(2).map(|it| it.parse().unwrap()).collect();
            assert!((numbers[1..].iter().sum::<f64>() - 1.0).abs() < 1e-9, "{row:?}");
            let largest = numbers[1..].iter().copied().fold(0.0, f64::max);
            assert_eq!(numbers[0], largest);
            let label = names.iter().position(|name| *name == row[1]).unwrap();
            assert_eq!(numbers[1 + label], largest, "{row:?}");
            count += 1;
        }
        assert_eq!(count, 8 * classes.len());
        // A class may not be called as a column is.
        let [class, label] =
            ["kind, 15", "label"].map(|it| mine.join(place).join("support").join(it));
        std::fs::rename(&class, &label).unwrap();
        let text_of_label = refusal(&mut predict(&["--out", "named.CSV"]));
        assert!(text_of_label.contains("called `label`"), "{text_of_label}");
        std::fs::rename(&label, &class).unwrap();
        let twice = ["--out", "one.json", "--save-model", "one.json"];
        assert!(refusal(&mut predict(&twice)).contains("name one file; give two"));
        // To stdout without a file, and the same as JSON, with the network.
        assert_eq!(stdout(&mut predict(&[])), text);
        let more = ["--out", "told.json", "--save-model", "model.safetensors"];
        predict(&more).assert().success();
        let json = std::fs::read_to_string(mine.join(place).join("told.json")).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(rows.len(), count);
        assert!(rows[0]["probabilities"][&names[0]].as_f64().is_some(), "{json}");
        assert!(mine.join(place).join("model.safetensors").is_file());
        // Nothing is overwritten.
        assert!(refusal(&mut predict(&["--out", "told.csv"])).contains("told.csv"));
    }
    let lone = |support: &str, query: &str| {
        let mut command = reptile();
        command.current_dir(&mine).arg("predict").arg(&run);
        command.args(["--support", support, "--query", query]);
        command
    };
    let photo = "five/query/kind, 15/2.png";
    assert!(stdout(&mut lone("five/support", photo)).lines().count() == 2);
    photos(&mine.join("six"), 14..20);
    for (support, query, part) in [
        ("six/support", photo, "6 classes, but the run's network tells 2 to 5"),
        ("five/support/kind, 15", photo, "holds no folders"),
        ("five", photo, "holds no images"),
        ("five/support", "five/query/notes.txt", "is neither PNG"),
        ("five/support", "nowhere", "nowhere"),
        ("nowhere", photo, "nowhere"),
    ] {
        let text = refusal(&mut lone(support, query));
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn masked_outputs_have_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut train = reptile();
    train.args(["train", "--preset", "glyphs-5w1s", "--iterations", "1", "--set", "tasks.size=7"]);
    train.args(["--set", "model.input=[49]", "--set", "model.layers=[{type='dense', units=5}]"]);
    train.arg("--out").arg(&out).assert().success();
    let tasks = folder.path().join("tasks.safetensors");
    let (x, y) = (vec![0.5_f32; 3 * 49], [0_i64, 2, 1]);
    let views = [
        ("support_x", Dtype::F32, vec![1, 3, 49], bytemuck::cast_slice(&x)),
        ("support_y", Dtype::I64, vec![1, 3], bytemuck::cast_slice(&y)),
    ];
    let views = views
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(dtype, shape, bytes).unwrap()));
    std::fs::write(&tasks, serialize(views, None).unwrap()).unwrap();
    let adapt = |way: &str, source: &[&str]| {
        let mut adapt = reptile();
        adapt.arg("adapt").arg(&out).args(["--way", way]).args(source);
        adapt.arg("--out").arg(folder.path().join(format!("adapted{way}")));
        adapt
    };
    let file = ["--tasks", tasks.to_str().unwrap()];
    adapt("3", &file).assert().success();
    for (mut adapt, part) in [
        (adapt("2", &file), "the tasks have 3 classes, not 2"),
        (adapt("6", &file), "the network has 5 outputs"),
        (adapt("4", &["--test-tasks", "1"]), "the tasks have 5 classes, not 4"),
    ] {
        let text = refusal(&mut adapt);
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn runs_that_tell_nothing_apart_are_refused() {
    let run = Run::train(&[&SMALL[..], &["--iterations", "1"]].concat());
    let folder = tempfile::tempdir().unwrap();
    let mut predict = reptile();
    predict.arg("predict").arg(run.path()).arg("--support").arg(folder.path());
    predict.arg("--query").arg(folder.path());
    let text = refusal(&mut predict);
    assert!(text.contains("predicts numbers, not classes"), "{text}");
}
