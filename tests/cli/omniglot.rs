//! Omniglot through the program: a small set made here, and the real one where it is.

use std::io::Write;
use std::path::Path;

use crate::program::{ONE_HIDDEN, eval_json, refusal, reptile};
use image::{GrayImage, Luma};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Both parts with `characters` characters of 20 drawings; a character is a dark block in a place
/// of its own, a drawing has a few more dark pixels.
fn data(folder: &Path, characters: u32) {
    for (part, name) in ["images_background", "images_evaluation"].into_iter().enumerate() {
        let file = std::fs::File::create(folder.join(format!("{name}.zip"))).unwrap();
        let mut writer = ZipWriter::new(file);
        for number in 0..characters {
            let own = number + characters * part as u32;
            for drawing in 0..20 {
                let mut image = GrayImage::from_pixel(21, 21, Luma([255]));
                for pixel in 0..16 {
                    let (x, y) = (own * 5 % 17 + pixel % 4, own * 3 % 17 + pixel / 4);
                    image.put_pixel(x, y, Luma([0]));
                }
                image.put_pixel((own * 7 + drawing) % 21, drawing, Luma([0]));
                let path =
                    format!("{name}/Letters{part}/character{number:02}/{own:04}_{drawing:02}.png");
                let mut bytes = std::io::Cursor::new(Vec::new());
                image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
                writer.start_file(path, SimpleFileOptions::default()).unwrap();
                writer.write_all(&bytes.into_inner()).unwrap();
            }
        }
        writer.finish().unwrap();
    }
}

/// `train` of a 5-way preset on small images.
fn small(folder: &Path) -> assert_cmd::Command {
    let mut command = reptile();
    command
        .args(["train", "--preset", "omniglot-mlp-5w1s", "--data"])
        .arg(folder)
        .args(["--set", "tasks.size=7", "--set", "model.input=[1, 7, 7]"])
        .args(["--set", "tasks.train_count=14", "--set", "inner.rate=0.05", "--set", ONE_HIDDEN]);
    command
}

#[test]
fn episodes_are_learned_from_zips() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path(), 10);
    let out = folder.path().join("run");
    small(folder.path())
        .args(["--iterations", "150", "--set", "eval.every=50", "--out"])
        .arg(&out)
        .assert()
        .success();
    let arguments = ["--tasks", "60", "--data", folder.path().to_str().unwrap()];
    let value = eval_json(&out, &arguments);
    let accuracy = |place: &str| value.pointer(place).unwrap().as_f64().unwrap();
    let after = accuracy("/runs/0/after/accuracy");
    assert!(after > 0.5 && after > accuracy("/runs/0/before/accuracy"), "{value}");
    let plot = reptile().arg("plot").arg(&out).assert().success();
    let printed = String::from_utf8_lossy(&plot.get_output().stdout).into_owned();
    for name in ["learning.svg", "accuracy.svg"] {
        assert!(printed.contains(name) && out.join(name).is_file(), "{printed}");
    }
    let picture = std::fs::read_to_string(out.join("accuracy.svg")).unwrap();
    assert!(picture.contains("seed 0") && picture.contains("accuracy"));
}

#[test]
fn a_cell_is_reproduced_in_percent() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path(), 10);
    let out = folder.path().join("table");
    let mut command = reptile();
    command
        .args(["reproduce", "omniglot-mlp-5w1s", "--scale", "0.006", "--tasks", "20", "--data"])
        .arg(folder.path())
        .args(["--set", "tasks.size=7", "--set", "model.input=[1, 7, 7]"])
        .args(["--set", "tasks.train_count=14", "--set", "plan=layered", "--set", ONE_HIDDEN])
        .args(["--set", "eval.steps=10", "--set", "eval.validation_tasks=5", "--out"])
        .arg(&out);
    command.assert().success();
    let text = std::fs::read_to_string(out.join("table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cell = &table["cells"][0];
    assert_eq!(
        (&cell["iterations"], &cell["measured"]["metric"]),
        (&60.into(), &"accuracy".into())
    );
    let arguments = ["--data", folder.path().to_str().unwrap()];
    let value = eval_json(out.join("omniglot-mlp-5w1s"), &arguments);
    let share = value["runs"][0]["after"]["accuracy"].as_f64().unwrap();
    assert_eq!(cell["measured"]["mean"].as_f64().unwrap(), 100.0 * share);
    let picture = std::fs::read_to_string(out.join("accuracy.svg")).unwrap();
    assert!(picture.contains("omniglot-mlp-5w1s"));
}

#[test]
fn both_modes_of_the_batch_norms_are_evaluated_from_one_training() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path(), 10);
    let out = folder.path().join("table");
    let layers = "model.layers=[{ type = 'conv2d', filters = 4, kernel = 3, stride = 2 }, \
                  { type = 'batch-norm', activation = 'relu' }, { type = 'dense', units = 5 }]";
    let mut command = reptile();
    command.args(["reproduce", "omniglot-5w1s", "--tasks", "8", "--data"]).arg(folder.path());
    for assignment in [
        layers,
        "model.input=[1, 7, 7]",
        "tasks.size=7",
        "tasks.train_count=14",
        "iterations=4",
        "eval.every=4",
        "eval.validation_tasks=4",
        "eval.steps=3",
    ] {
        command.args(["--set", assignment]);
    }
    command.arg("--out").arg(&out).assert().success();
    let text = std::fs::read_to_string(out.join("table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = ["omniglot-5w1s", "omniglot-5w1s-t"];
    let cells = table["cells"].as_array().unwrap();
    assert_eq!(cells.iter().map(|cell| &cell["cell"]).collect::<Vec<_>>(), names);
    assert!(cells.iter().all(|cell| cell["training"] == names[0]) && !out.join(names[1]).exists());
    assert_eq!(cells[1]["paper"]["accuracy"], 97.68);

    let run = out.join(names[0]);
    let arguments = ["--data", folder.path().to_str().unwrap()];
    let both = eval_json(&run, &arguments);
    assert_eq!(both["transductive"], false);
    assert_ne!(both["runs"], both["transduction"]["runs"]);
    for (value, cell) in [(&both["runs"], &cells[0]), (&both["transduction"]["runs"], &cells[1])] {
        let share = value[0]["after"]["accuracy"].as_f64().unwrap();
        assert_eq!(cell["measured"]["mean"].as_f64().unwrap(), 100.0 * share);
    }
    let alone = eval_json(&run, &[&arguments[..], &["--transductive", "true"]].concat());
    assert_eq!(alone["transductive"], true);
    assert_eq!(alone["runs"], both["transduction"]["runs"]);
    let plain = reptile().arg("eval").arg(&run).args(arguments).assert().success();
    let text = String::from_utf8_lossy(&plain.get_output().stdout).into_owned();
    for part in ["each query with the support set", "transductive"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn too_few_classes_or_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path(), 3);
    let out = folder.path().join("run");
    let refused = |arguments: &[&str]| {
        let text = refusal(small(folder.path()).args(arguments).arg("--out").arg(&out));
        assert!(!out.exists(), "{text}");
        text
    };
    assert!(refused(&[]).contains("tasks.train_count"));
    let text = refused(&["--set", "tasks.train_count=1"]);
    assert!(text.contains("tasks.way") && text.contains('5'), "{text}");
    let few = ["--set", "tasks.train_count=2", "--set", "tasks.train_shots=21"];
    let text = refused(&few);
    assert!(text.contains("tasks.train_shots") && text.contains("21"), "{text}");
    let list = folder.path().join("train.txt");
    std::fs::write(&list, "images_background/Letters0/character99\n").unwrap();
    let text = refused(&["--train-classes", list.to_str().unwrap()]);
    assert!(text.contains("train.txt") && text.contains("line 1"), "{text}");
    let zip = folder.path().join("images_evaluation.zip");
    let file = std::fs::File::options().read(true).write(true).open(&zip).unwrap();
    let mut writer = ZipWriter::new_append(file).unwrap();
    let bomb = "images_evaluation/Letters1/character00/0003_99.png";
    writer.start_file(bomb, SimpleFileOptions::default()).unwrap();
    writer.write_all(&vec![0; 2 << 20]).unwrap();
    writer.finish().unwrap();
    let mut command = small(folder.path());
    command.args(["--set", "tasks.train_count=3", "--set", "tasks.way=3"]);
    command.args(["--set", "model.layers.1.units=3"]).env("REPTILE_IMAGE_LIMIT_MIB", "1");
    let text = refusal(command.arg("--out").arg(&out));
    assert!(text.contains(&format!("{bomb} unfolds to 2097152 bytes")), "{text}");
    assert!(text.contains("REPTILE_IMAGE_LIMIT_MIB sets another limit"), "{text}");
    let text = refusal(command.env("REPTILE_IMAGE_LIMIT_MIB", "much"));
    assert!(text.contains("`REPTILE_IMAGE_LIMIT_MIB`: is `much`"), "{text}");
    let bytes = std::fs::read(&zip).unwrap();
    std::fs::write(&zip, &bytes[..bytes.len() - 100]).unwrap();
    assert!(refused(&[]).contains("images_evaluation.zip"));
}
