//! Data sets as people have them, through the program: the split of a run, paths, encodings, folders of output.

use std::path::{Path, PathBuf};

use crate::program::{bytes_of_parameters, eval_json, refusal, reptile, stderr};
use assert_cmd::Command;
use image::{GrayImage, Luma, Rgb, RgbImage};
use reptile::config::Config;
use reptile::store::checkpoint::Checkpoint;
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

/// A linear network on tasks of two classes, for the data set of `kind` below `tasks`.
fn config(tasks: &str, channels: usize) -> String {
    format!(
        r#"iterations = 2
[model]
input = [{channels}, 6, 6]
loss = "cross-entropy"
[[model.layers]]
type = "dense"
units = 2
[tasks]
{tasks}
way = 2
shots = 1
train_shots = 2
size = 6
[inner]
optimizer = "sgd"
rate = 0.1
steps = 2
batch = 2
[outer]
rate = 0.5
meta_batch = 2
[eval]
tasks = 3
steps = 2
batch = 2
validation_tasks = 2
[log]
checkpoint_every = 2
"#
    )
}

/// A folder with `data` and a configuration `mine.toml`.
struct Place(TempDir);

impl Place {
    /// Omniglot in folders: five characters in each part with four drawings each.
    fn omniglot() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let tasks = "kind = \"omniglot\"\ntrain_count = 6\nrotations = false";
        std::fs::write(place.path("mine.toml"), config(tasks, 1)).unwrap();
        for (part, alphabet) in [("images_background", "Alfa"), ("images_evaluation", "Beta")] {
            for character in 1..6 {
                place.character(part, alphabet, character);
            }
        }
        place
    }

    /// One character, whose drawings are like no others.
    fn character(&self, part: &str, alphabet: &str, character: u8) {
        for drawing in 0..4_u8 {
            let image = GrayImage::from_fn(6, 6, |x, y| {
                let dark = (x * 7 + y * 5 + u32::from(character) * 3 + u32::from(drawing)) % 4 == 0;
                Luma([if dark { 0 } else { 255 }])
            });
            let name = format!("data/{part}/{alphabet}/character{character:02}/{drawing}.png");
            self.save(image::DynamicImage::ImageLuma8(image), &name);
        }
    }

    /// Images in folders: so many classes in train, val and test with so many images each.
    fn images(counts: [(u8, u8); 3]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path("mine.toml"), config("kind = \"images\"", 3)).unwrap();
        for (part, (classes, images)) in ["train", "val", "test"].into_iter().zip(counts) {
            for class in 0..classes {
                for image in 0..images {
                    let picture = RgbImage::from_pixel(6, 6, Rgb([class * 40, image * 40, 9]));
                    let name = format!("data/{part}/{part}{class}/{image}.png");
                    place.save(image::DynamicImage::ImageRgb8(picture), &name);
                }
            }
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn save(&self, image: image::DynamicImage, name: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        image.save(self.path(name)).unwrap();
    }

    /// The program in this folder, with a cache of its own.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = reptile();
        command.current_dir(self.0.path()).env("REPTILE_CACHE", self.path("cache"));
        command.args(arguments);
        command
    }

    /// Trains `mine.toml` on `data` into `out`.
    fn train(&self, out: &str, more: &[&str]) -> Command {
        let mut command = self.program(&["train", "mine.toml", "--data", "data", "--out", out]);
        command.args(more);
        command
    }
}

fn parameters(run: &Path, iteration: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
    bytes_of_parameters(&run.join(format!("checkpoints/{iteration}.safetensors")))
}

#[test]
fn a_run_keeps_its_split_when_classes_come() {
    let place = Place::omniglot();
    let text = stderr(place.train("run", &[]).assert().success());
    for part in [
        "data: images_background: 5 characters, 20 images",
        "data: split: 6 characters to train on, 4 to test on",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    place.train("whole", &["--iterations", "4"]).assert().success();
    let before = eval_json(place.path("run"), &[]);
    // The first in the alphabet, so that a split drawn anew would be another one.
    place.character("images_background", "Aaaa", 1);
    let after = place.program(&["eval", "run", "--json"]).assert().success();
    let said = stderr(after);
    assert!(said.contains("1 class came after") && said.contains("Aaaa/character01"), "{said}");
    assert_eq!(eval_json(place.path("run"), &[]), before);
    // The stored split goes with a checkpoint, wherever that lies.
    let lone = place.path("lone.safetensors");
    std::fs::copy(place.path("run/checkpoints/0000000002.safetensors"), &lone).unwrap();
    assert_eq!(eval_json(&lone, &[]), before);
    place.program(&["train", "--out", "run", "--resume", "--iterations", "4"]).assert().success();
    let [run, whole] = ["run", "whole"].map(|run| parameters(&place.path(run), "0000000004"));
    assert_eq!(run, whole, "a resumed run draws from the same classes");
}

#[test]
fn images_that_changed_and_classes_that_are_gone_are_named() {
    let place = Place::omniglot();
    place.train("run", &[]).assert().success();
    let image = "data/images_evaluation/Beta/character02/1.png";
    place.save(image::DynamicImage::ImageLuma8(GrayImage::new(6, 6)), image);
    let named = "images_evaluation/Beta/character02/1.png";
    for arguments in
        [&["eval", "run"][..], &["train", "--out", "run", "--resume", "--iterations", "4"]]
    {
        let text = refusal(&mut place.program(arguments));
        assert!(text.contains(named) && text.contains("--changed-data"), "{text}");
    }
    let value = eval_json(place.path("run"), &["--changed-data"]);
    assert_eq!(value["changed_data"], serde_json::json!([named]));
    let gone = "images_background/Alfa/character03";
    std::fs::remove_dir_all(place.path("data").join(gone)).unwrap();
    let text = refusal(&mut place.program(&["eval", "run"]));
    assert!(text.contains("1 class is missing") && text.contains(gone), "{text}");
    let text = place.program(&["eval", "run", "--changed-data"]).assert().success();
    let text = String::from_utf8_lossy(&text.get_output().stdout).into_owned();
    assert!(
        text.contains("not on the data") && text.contains(&format!("{gone} (missing)")),
        "{text}"
    );
}

#[test]
fn paths_and_lists_hold_from_any_folder() {
    let place = Place::omniglot();
    let list = |range: std::ops::Range<u8>| -> String {
        range.map(|it| format!("images_background/Alfa/character{it:02}\n")).collect()
    };
    std::fs::write(place.path("train.txt"), list(1..3)).unwrap();
    std::fs::write(place.path("test.txt"), list(3..6)).unwrap();
    let lists = ["--train-classes", "train.txt", "--test-classes", "test.txt"];
    place.train("run", &lists).assert().success();
    let stored = std::fs::read_to_string(place.path("run/config.toml")).unwrap();
    assert!(stored.contains(place.path("data").to_str().unwrap()), "{stored}");
    let first = eval_json(place.path("run"), &[]);
    // The lists were read when the run began.
    std::fs::write(place.path("train.txt"), list(3..6)).unwrap();
    std::fs::remove_file(place.path("test.txt")).unwrap();
    assert_eq!(eval_json(place.path("run"), &[]), first);
    let split = std::fs::read_to_string(place.path("run/split.json")).unwrap();
    assert!(split.find("character02").unwrap() < split.find("character03").unwrap(), "{split}");
    place.program(&["train", "--out", "run", "--resume", "--iterations", "3"]).assert().success();
}

#[test]
fn runs_from_before_splits_were_stored_go_on() {
    let place = Place::omniglot();
    let list = |name: &str, part: &str| {
        let classes: String = (1..5).map(|it| format!("{part}/character{it:02}\n")).collect();
        std::fs::write(place.path(name), classes).unwrap();
    };
    list("train.txt", "images_background/Alfa");
    list("test.txt", "images_evaluation/Beta");
    let lists = ["--train-classes", "train.txt", "--test-classes", "test.txt"];
    place.train("run", &lists).assert().success();
    place.train("whole", &lists).args(["--iterations", "4"]).assert().success();
    let scores = eval_json(place.path("run"), &[]);
    // Such a run had relative paths and no split, in its folder and in its checkpoints.
    let relative = |text: &str| {
        let folder = format!("{}/", place.0.path().display());
        text.replace(&folder, "")
    };
    let path = place.path("run/config.toml");
    let config = relative(&std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, &config).unwrap();
    std::fs::remove_file(place.path("run/split.json")).unwrap();
    let model = Config::from_toml(&config, "config").unwrap().validate().unwrap();
    let file = place.path("run/checkpoints/0000000002.safetensors");
    let mut old = Checkpoint::load(&model, &file).unwrap();
    (old.run.split, old.run.config, old.run.config_hash) =
        (None, config, "of another version".into());
    old.save(&model, &file).unwrap();
    let evaluated = place.program(&["eval", "run", "--json"]).assert().success();
    let said = String::from_utf8_lossy(&evaluated.get_output().stderr).into_owned();
    assert!(said.contains("from before splits were stored"), "{said}");
    let value: serde_json::Value = serde_json::from_slice(&evaluated.get_output().stdout).unwrap();
    assert_eq!(value["runs"], scores["runs"]);
    let resumed = ["train", "--out", "run", "--resume", "--iterations", "4"];
    let said = stderr(place.program(&resumed).assert().success());
    assert!(said.contains("from before splits were stored"), "{said}");
    let [run, whole] = ["run", "whole"].map(|run| parameters(&place.path(run), "0000000004"));
    assert_eq!(run, whole);
    assert!(place.path("run/split.json").is_file());
    // The old checkpoint, with its relative paths, is still one of the run.
    let older = ["--checkpoint", "run/checkpoints/0000000002.safetensors"];
    place.program(&[&resumed[..], &older].concat()).assert().success();
}

#[test]
fn a_check_looks_at_what_is_drawn_from_alone() {
    // Too few classes to validate on, too few images to test on.
    let place = Place::images([(3, 2), (1, 1), (2, 1)]);
    let text = stderr(place.train("run", &[]).assert().success());
    assert!(text.contains("there are no test tasks so far: `tasks.shots`"), "{text}");
    let text = refusal(&mut place.train("validated", &["--set", "eval.every=1"]));
    assert!(text.contains("tasks.way") && text.contains("val tasks"), "{text}");
    let text = refusal(&mut place.program(&["eval", "run"]));
    assert!(text.contains("test task needs 2 images") && text.contains("tasks.shots"), "{text}");
    // A test part that comes later is one; what was trained on is not tested on.
    std::fs::remove_dir_all(place.path("data/test")).unwrap();
    place.train("without", &[]).assert().success();
    let text = refusal(&mut place.program(&["eval", "without"]));
    assert!(text.contains("no folder `test`"), "{text}");
    for class in ["new0", "new1"] {
        for image in 0..3_u8 {
            let picture = RgbImage::from_pixel(6, 6, Rgb([image * 50, 7, 80]));
            place.save(picture.into(), &format!("data/test/{class}/{image}.png"));
        }
    }
    place.program(&["eval", "without"]).assert().success();
    // Without `val` the training classes are validated on, and must hold support and query.
    std::fs::remove_dir_all(place.path("data/val")).unwrap();
    let more = ["--set", "eval.every=1", "--set", "tasks.queries=2"];
    let text = refusal(&mut place.train("validated", &more));
    assert!(text.contains("there is no `val`") && text.contains("tasks.shots"), "{text}");
}

#[test]
fn trainings_started_at_once_get_folders_of_their_own() {
    let place = Place::images([(2, 2), (0, 0), (2, 2)]);
    let start = || {
        let mut command = crate::program::program();
        command.current_dir(place.0.path()).env("REPTILE_CACHE", place.path("cache"));
        command.args(["train", "mine.toml", "--data", "data", "--iterations", "1"]);
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for name in ["mine", "mine-2", "mine-3", "mine-4"] {
        assert!(place.path("runs").join(name).join("checkpoints/0000000001.safetensors").is_file());
    }
    // One that fails leaves no folder.
    refusal(&mut place.program(&["train", "mine.toml", "--data", "nowhere"]));
    assert!(!place.path("runs/mine-5").exists());
}

#[test]
fn configurations_may_be_utf_16() {
    let place = Place::images([(2, 2), (0, 0), (2, 2)]);
    let text = std::fs::read_to_string(place.path("mine.toml")).unwrap();
    let units = std::iter::once(0xFEFF)
        .chain(text.replace('\n', "\r\n").encode_utf16().collect::<Vec<_>>());
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    std::fs::write(place.path("mine.toml"), bytes).unwrap();
    place.train("run", &[]).assert().success();
    std::fs::write(place.path("mine.toml"), b"# gr\xF6\xDFe\n").unwrap();
    let text = refusal(&mut place.train("other", &[]));
    assert!(text.contains("mine.toml") && text.contains("save it as UTF-8"), "{text}");
}

#[test]
fn bytes_are_said_to_be_pixels() {
    let place = Place::images([(2, 2), (0, 0), (2, 2)]);
    place.train("run", &[]).assert().success();
    let pixels: Vec<u8> = (0..2 * 108).map(|value| value as u8).collect();
    let adapted = |name: &str, dtype, x: &[u8]| {
        let labels: Vec<u8> = [0_i64, 1].iter().flat_map(|label| label.to_le_bytes()).collect();
        let tensors = [
            ("support_x", TensorView::new(dtype, vec![1, 2, 3, 6, 6], x).unwrap()),
            ("support_y", TensorView::new(Dtype::I64, vec![1, 2], &labels).unwrap()),
        ];
        std::fs::write(place.path("tasks.safetensors"), serialize(tensors, None).unwrap()).unwrap();
        let arguments = ["adapt", "run", "--tasks", "tasks.safetensors", "--out", name];
        stderr(place.program(&arguments).assert().success())
    };
    let said = adapted("bytes.safetensors", Dtype::U8, &pixels);
    assert!(said.contains("divided by 255"), "{said}");
    let floats: Vec<u8> =
        pixels.iter().flat_map(|byte| (f32::from(*byte) / 255.0).to_le_bytes()).collect();
    assert!(!adapted("floats.safetensors", Dtype::F32, &floats).contains("255"));
    let [a, b] = ["bytes", "floats"]
        .map(|name| bytes_of_parameters(&place.path(&format!("{name}.safetensors"))));
    assert_eq!(a, b);
}

#[test]
fn sweeps_keep_their_split_too() {
    let place = Place::images([(3, 2), (2, 2), (2, 2)]);
    let sweep = "config = \"mine.toml\"\nseeds = 1\n[values]\ninner.rate = [0.1, 0.2]\n";
    std::fs::write(place.path("sweep.toml"), sweep).unwrap();
    let sweep = |more: &[&str]| {
        let mut command = place.program(&["sweep", "--data", "data", "--out", "out"]);
        command.args(more);
        command
    };
    sweep(&["sweep.toml"]).assert().success();
    place.save(RgbImage::new(6, 6).into(), "data/train/train1/0.png");
    let text = refusal(&mut sweep(&["--resume"]));
    assert!(text.contains("train1/0.png") && text.contains("--changed-data"), "{text}");
    let assert = sweep(&["--resume", "--changed-data"]).assert().success();
    let table = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(table.contains("not on the data it was begun with: train1/0.png"), "{table}");
}

#[test]
fn the_variables_of_wgpu_choose_an_adapter() {
    let place = Place::images([(2, 2), (0, 0), (2, 2)]);
    let text = refusal(place.train("run", &[]).env("WGPU_ADAPTER_NAME", "no such card"));
    assert!(text.contains("`no such card` (WGPU_ADAPTER_NAME)"), "{text}");
    let foreign = if cfg!(target_os = "macos") { "dx12" } else { "metal" };
    let text = refusal(place.train("run", &[]).env("WGPU_BACKEND", foreign));
    assert!(text.contains("WGPU_BACKEND"), "{text}");
}
