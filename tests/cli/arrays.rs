//! Tasks over arrays of the user's own, from files to results.

use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::common::{integers, numbers};
use crate::program::{eval_json, refusal, reptile, stderr};

/// A `.npy` of this type and shape.
fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend([header.as_bytes(), data].concat());
    bytes
}

/// What `numpy.savez_compressed` writes.
fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn floats(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy("<f4", shape, bytemuck::cast_slice(values))
}

/// A configuration with these lines in `[tasks]`.
fn config(folder: &Path, network: &str, tasks: &str) -> PathBuf {
    let path = folder.join("own.toml");
    let text = format!(
        "iterations = 60\n[model]\n{network}\n[tasks]\nkind = \"arrays\"\n{tasks}\n\
         [inner]\noptimizer = \"sgd\"\nrate = 0.05\nbatch = 5\nsteps = 6\n\
         [outer]\nrate = 0.5\nmeta_batch = 4\n[eval]\nsteps = 6\nbatch = 5\ntasks = 20\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Forty lines, each seen at twelve places from 400 to 600.
fn points(scale: f32) -> [Vec<f32>; 2] {
    let (x, slopes) = (numbers(1, 40 * 12), numbers(2, 40));
    let y = x.iter().enumerate().map(|(place, x)| scale * (3.0 + slopes[place / 12]) * x);
    [x.iter().map(|x| 500.0 + 100.0 * x).collect(), y.collect()]
}

fn lines(path: &Path, scale: f32) {
    let [x, y] = points(scale);
    let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let x = npy("<f8", &[40, 12, 1], bytemuck::cast_slice(&x));
    npz(path, &[("x", x), ("y", floats(&[40, 12], &y))]);
}

const LINES: &str = "input = [1]\nloss = \"mse\"\nlayers = [{ type = \"dense\", units = 8, \
                     activation = \"tanh\" }, { type = \"dense\", units = 1 }]";

/// Adapts the run `out` to the first line, given as the file has it: the squared error, as a share of the squares.
fn error_of_adapted(folder: &Path, out: &Path) -> f32 {
    let [x, y] = points(1.0).map(|all| all[..12].to_vec());
    let view = |values| TensorView::new(Dtype::F32, vec![1, 12, 1], bytemuck::cast_slice(values));
    let tensors = [("support_x", &x), ("support_y", &y), ("query_x", &x)];
    let views = tensors.map(|(name, values)| (name, view(values).unwrap()));
    let [tasks, adapted] = ["mine", "adapted"].map(|name| folder.join(name));
    std::fs::write(&tasks, serialize(views, None).unwrap()).unwrap();
    let mut adapt = reptile();
    adapt.args(["adapt", "--steps", "30"]).arg(out).arg("--tasks").arg(&tasks);
    adapt.arg("--out").arg(&adapted).assert().success();
    let bytes = std::fs::read(&adapted).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let output: Vec<f32> =
        bytemuck::pod_collect_to_vec(file.tensor("query_output").unwrap().data());
    let error: f32 = output.iter().zip(&y).map(|(got, y)| (got - y).powi(2)).sum();
    error / y.iter().map(|y| y * y).sum::<f32>()
}

#[test]
fn a_list_of_tasks_is_trained_on_tested_and_adapted_to() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("lines.npz"), folder.path().join("run"));
    lines(&data, 1.0);
    let tasks = "data = \"lines.npz\"\nshots = 5\nnormalize = \"mean-std\"";
    let config = config(folder.path(), LINES, tasks);
    // The file is named as seen from the working directory.
    let mut train = reptile();
    train.current_dir(&folder).args(["train", "--no-autotune"]).arg(&config);
    let said = stderr(train.arg("--out").arg(&out).assert().success());
    for part in [
        "the array `x` is f64, rounded to f32",
        "data: train: 28 tasks, 336 examples, 12 each",
        "data: test: 8 tasks",
        "tasks.train_shots = 12, tasks.queries = 7, by the files",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let stored = std::fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(stored.contains("train_shots = 12") && stored.contains("queries = 7"), "{stored}");
    let scores = |more: &[&str]| eval_json(&out, more)["runs"][0]["after"]["loss"].clone();
    let score = scores(&[]);
    let random = &eval_json(&out, &[])["random_initialisation"]["after"]["loss"];
    assert!(score.as_f64().unwrap() < 0.7 * random.as_f64().unwrap(), "{score} and {random}");
    // A stream of its test tasks, with the sizes that the files have.
    let mut online = reptile();
    online.current_dir(&folder).arg("online").arg(&config).args(["--samples", "1", "5"]);
    online.args(["--tasks", "3", "--meta-steps", "2", "--out", "stream"]).assert().success();
    let arrivals = ["--arrivals", "stream", "--samples", "1"];
    crate::program::write_task(&folder.path().join("stream/a.safetensors"), 1.0, 12);
    let mut online = reptile();
    online.current_dir(&folder).arg("online").arg(&config).args(arrivals).args(["--out", "other"]);
    let text = refusal(&mut online);
    assert!(
        text.contains("tasks.normalize") && text.contains("normalise those yourself"),
        "{text}"
    );
    let error = error_of_adapted(folder.path(), &out);
    assert!(error < 0.3, "{error} of the variance: inputs are normalised as in training");
    // Elsewhere it is found by --data, and refused once it is another one.
    let moved = folder.path().join("moved.npz");
    std::fs::rename(&data, &moved).unwrap();
    let gone = refusal(reptile().arg("eval").arg(&out));
    assert!(gone.contains("lines.npz"), "{gone}");
    let place = moved.to_str().unwrap();
    assert_eq!(scores(&["--data", place]), score);
    lines(&moved, 2.0);
    let other = refusal(reptile().arg("eval").arg(&out).args(["--data", place]));
    assert!(other.contains("is not what the run was trained on"), "{other}");
    assert!(scores(&["--data", place, "--changed-data"]) != score);
    // A training goes on under the same file that leaves sizes open, or under none.
    std::fs::remove_file(&moved).unwrap();
    lines(&data, 1.0);
    let mut resume = reptile();
    resume.current_dir(&folder).args(["train", "--resume", "--iterations", "70"]).arg(&config);
    resume.arg("--out").arg(&out).assert().success();
}

#[test]
fn episodes_are_drawn_from_labelled_examples() {
    let folder = tempfile::tempdir().unwrap();
    // Twelve classes around as many places, in halves.
    let (centres, noise) = (numbers(3, 12 * 6), numbers(4, 300 * 6));
    let labels: Vec<i64> = integers(5, 300, 12).into_iter().map(i64::from).collect();
    let value = |place: usize| 4.0 * centres[labels[place / 6] as usize * 6 + place % 6];
    let x: Vec<half::f16> =
        (0..1800).map(|place| half::f16::from_f32(value(place) + noise[place])).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|it| it.to_le_bytes()).collect();
    std::fs::write(folder.path().join("x.npy"), npy("<f2", &[300, 6], &bytes)).unwrap();
    let y = npy("<i8", &[300], bytemuck::cast_slice(&labels));
    std::fs::write(folder.path().join("y.npy"), &y).unwrap();
    let network = "input = [6]\nloss = \"cross-entropy\"\nlayers = [{ type = \"dense\", units = \
                   16, activation = \"relu\" }, { type = \"dense\", units = 3 }]";
    let tasks = "data = \".\"\nparts = [0.6, 0.0, 0.4]\nshots = 2\ntrain_shots = 8";
    let config = config(folder.path(), network, tasks);
    let out = folder.path().join("run");
    let mut train = reptile();
    train.current_dir(&folder).args(["train", "--no-autotune"]).arg(&config);
    let said = stderr(train.arg("--out").arg(&out).assert().success());
    assert!(said.contains("train: 7 classes") && said.contains("tasks.way = 3"), "{said}");
    let result = eval_json(&out, &[]);
    let accuracy = result["runs"][0]["after"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.7, "{accuracy}");
}

#[test]
fn what_cannot_be_read_is_named_before_a_run_begins() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let file = |name: &str, x: Vec<u8>| {
        let y = floats(&[2, 3, 1], &[0.0; 6]);
        npz(&folder.path().join(name), &[("x", x), ("y", y)]);
    };
    let mut inputs = vec![1.0; 6];
    inputs[4] = f32::NAN;
    file("nan.npz", floats(&[2, 3, 1], &inputs));
    file("objects.npz", npy("|O", &[2], b"cimport"));
    file("wide.npz", floats(&[2, 3, 2], &[0.0; 12]));
    std::fs::write(folder.path().join("text.npz"), "x,y\n1,2\n").unwrap();
    for (tasks, part) in [
        ("train = \"nan.npz\"\nshots = 1", "`x` is NaN at [1, 1, 0]"),
        ("train = \"objects.npz\"\nshots = 1", "Python objects"),
        ("train = \"wide.npz\"\nshots = 1", "give [T, N, 1]"),
        ("train = \"text.npz\"\nshots = 1", "not a safetensors file"),
        ("train = \"none.npz\"\nshots = 1", "none.npz"),
        ("shots = 1", "tasks.train"),
        ("data = \"nan.npz\"\ntrain = \"nan.npz\"\nshots = 1", "one file for all parts"),
        ("data = \"nan.npz\"\nparts = [0.5, 0.6, 0.0]\nshots = 1", "tasks.parts"),
        ("train = \"nan.npz\"\nshots = 1\nnormalise = 1", "did you mean `tasks.normalize`"),
    ] {
        let config = config(folder.path(), LINES, tasks);
        let mut train = reptile();
        train.current_dir(&folder).arg("train").arg(&config).arg("--out").arg(&out);
        let text = refusal(&mut train);
        assert!(text.contains(part), "{part}: {text}");
        assert!(!out.exists(), "{tasks}");
    }
}
