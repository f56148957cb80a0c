//! What the tests of the program share.
#![allow(dead_code)] // each test file uses its own part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;
use tempfile::TempDir;

/// The program, with its cache below `target/`.
pub fn program() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reptile"));
    command.env("REPTILE_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command
}

/// The same, for what is soon done.
pub fn reptile() -> Command {
    let mut command = Command::from_std(program());
    command.timeout(Duration::from_secs(120));
    command
}

/// Whether there are real data sets; says so if not.
pub fn has_data() -> bool {
    let there = std::env::var_os("REPTILE_DATA").is_some();
    if !there {
        eprintln!("skipped: no data");
    }
    there
}

/// `train` with the preset that every test here starts from.
pub fn sine_config() -> [&'static str; 3] {
    ["train", "--preset", "sine"]
}

/// A network whose kernels are compiled in no time, for tests of what is around it.
pub const SMALL: [&str; 6] =
    ["--set", "model.layers.0.units=8", "--set", "model.layers.1.units=8", "--set", "plan=layered"];

/// For a preset of images: one hidden layer, which compiles in half the time of two.
pub const ONE_HIDDEN: &str = "model.layers=[{ type = 'dense', units = 32, activation = 'relu' }, \
    { type = 'dense', units = 5 }]";

pub fn stdout(command: &mut Command) -> String {
    let output = command.assert().success();
    String::from_utf8(output.get_output().stdout.clone()).unwrap()
}

pub fn stderr(assert: Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

/// What the program says when it refuses with exit code 1.
pub fn refusal(command: &mut Command) -> String {
    stderr(command.assert().code(1))
}

pub fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes a file with a task y = a x.
pub fn write_task(path: &Path, a: f32, examples: usize) {
    let x: Vec<f32> = (0..examples).map(|i| i as f32 / 3.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| a * x).collect();
    let view =
        |values: &'static [u8], count| TensorView::new(Dtype::F32, vec![1, count, 1], values);
    let bytes = |values: &[f32]| -> &'static [u8] {
        Box::leak(bytemuck::cast_slice(values).to_vec().into_boxed_slice())
    };
    let tensors = BTreeMap::from([
        ("support_x", view(bytes(&x), examples).unwrap()),
        ("support_y", view(bytes(&y), examples).unwrap()),
    ]);
    std::fs::write(path, serialize(tensors, None).unwrap()).unwrap();
}

/// A run in a temporary folder.
pub struct Run {
    folder: TempDir,
    pub output: String,
}

impl Run {
    /// Trains the sine preset with more arguments.
    pub fn train(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let assert =
            reptile().args(sine_config()).args(arguments).arg("--out").arg(&out).assert().success();
        Self { folder, output: stderr(assert) }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub fn checkpoint(&self, number: &str) -> PathBuf {
        self.path().join("checkpoints").join(format!("{number}.safetensors"))
    }

    /// The numbers of the checkpoints, in order.
    pub fn checkpoints(&self) -> Vec<String> {
        numbers(&self.path())
    }
}

/// The numbers of the checkpoints of a run's folder, in order.
pub fn numbers(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub fn eval_json(run: impl AsRef<Path>, arguments: &[&str]) -> Value {
    let mut command = reptile();
    command.arg("eval").arg(run.as_ref()).arg("--json").args(arguments);
    let mut value: Value = serde_json::from_str(&stdout(&mut command)).unwrap();
    value.as_object_mut().unwrap().remove("checkpoint");
    value
}

/// Takes away what differs from time to time.
pub fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.contains("seconds") && name != "tasks_per_second");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// The bytes of every tensor of a checkpoint.
pub fn bytes_of_parameters(checkpoint: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(checkpoint).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// Waits up to a minute.
pub fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal by its name.
pub fn signal(child: &std::process::Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Whether a file is there and not empty.
pub trait HasContent {
    fn exists_with_content(&self) -> bool;
}

impl HasContent for PathBuf {
    fn exists_with_content(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.len() > 0)
    }
}
