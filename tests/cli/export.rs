//! `reptile export`: files that ONNX Runtime reads, and finds the same in, where it is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use reptile::layers::{Function, GlobalPool};
use reptile::model::{Activation, Layer, LayerSpec, Model, ModelSpec, OnnxSettings, Padding};
use reptile::reference::network::{forward, statistics};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::common::{assert_close, numbers, widen};
use crate::program::{refusal, reptile, stderr};

/// A Python that has ONNX Runtime: that of `scripts/setup.sh --test`, or the first one.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python/bin/python");
    let found = [own, "python3".into()].into_iter().find(|python| {
        let asked = Command::new(python).args(["-c", "import onnxruntime"]).output();
        asked.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: no ONNX Runtime (scripts/setup.sh --test installs it)");
    }
    found
}

/// Files NAME.onnx and NAME.x in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.0.path().join(name).with_extension(extension)
    }

    fn add(
        &self,
        name: &str,
        model: &Model,
        parameters: &[f32],
        settings: &OnnxSettings,
        x: &[f32],
    ) {
        let bytes = model.to_onnx(parameters, settings).unwrap();
        std::fs::write(self.path(name, "onnx"), bytes).unwrap();
        self.give(name, x);
    }

    fn give(&self, name: &str, x: &[f32]) {
        std::fs::write(self.path(name, "x"), bytemuck::cast_slice(x)).unwrap();
    }

    fn run(&self, python: &Path) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx_runtime.py");
        let output = Command::new(python).arg(script).arg(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn outputs(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(&std::fs::read(self.path(name, "y")).unwrap())
    }
}

/// Networks of every type of layer: on images, and on features where that is possible.
fn networks() -> Vec<(String, Model)> {
    let mut all = Vec::new();
    for (number, layer) in LayerSpec::samples().into_iter().flatten().enumerate() {
        let images = ModelSpec::builder(&[3, 9, 7]).conv2d(6, 3, 1, Padding::SAME);
        let features = ModelSpec::builder(&[12]).dense(6, Activation::Tanh);
        for (kind, spec) in [("images", images), ("features", features)] {
            let spec = spec.layer(layer.clone());
            let spec = spec.layer(Function::new(Activation::Gelu));
            // A pooling of features is no network.
            if let Ok(model) = Model::new(spec.dense(5, Activation::Linear)) {
                all.push((format!("{kind}{number}"), model));
            }
        }
    }
    let global =
        ModelSpec::builder(&[2, 5, 4]).conv2d(4, [3, 2], [2, 1], Padding::Sides([2, 0, 1, 1]));
    let global = global.layer(GlobalPool::default());
    all.push(("global".into(), Model::new(global.dense(3, Activation::Linear)).unwrap()));
    let rows = ModelSpec::builder(&[3, 4]).dense(3, Activation::Linear);
    all.push(("rows".into(), Model::new(rows).unwrap()));
    all
}

#[test]
fn onnx_runtime_finds_the_reference_in_every_layer() {
    let Some(python) = python() else { return };
    let (files, mut wanted) = (Files::new(), BTreeMap::new());
    let cases = networks();
    let types = |kind: &str| {
        let layer = |layer: &Layer| format!("{:?}", layer.spec()).starts_with(kind);
        cases.iter().filter(|(_, model)| model.layers().iter().any(layer)).count()
    };
    for kind in [
        "Dense",
        "Conv2d",
        "BatchNorm",
        "LayerNorm",
        "GroupNorm",
        "MaxPool",
        "AveragePool",
        "GlobalPool",
    ] {
        assert!(types(kind) > 0, "{kind}");
    }
    for (name, model) in &cases {
        let parameters = numbers(1, model.parameter_count());
        let x = numbers(2, 6 * model.inputs());
        let mut settings = OnnxSettings::default();
        let add = |name: &str, settings: &OnnxSettings, x: &[f32]| {
            files.add(name, model, &parameters, settings, x);
        };
        add(name, &settings, &x);
        let own = forward(model, &widen(&parameters), &widen(&x));
        if model.has_batch_statistics() {
            // With the statistics of the batch, any example of it is what it was, alone too.
            let all = statistics(model, &widen(&parameters), &widen(&x));
            let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
            settings.statistics = Some(all.into_iter().map(|own| own.map(narrow)).collect());
            add(&format!("{name}-frozen"), &settings, &x[..model.inputs()]);
            wanted.insert(format!("{name}-frozen"), own[..model.outputs()].to_vec());
        }
        // Normalised inputs, and fewer outputs.
        let mut some = settings.clone();
        some.normalization = Some([vec![0.25; model.inputs()], vec![2.0; model.inputs()]]);
        some.outputs = Some(2);
        let raw: Vec<f32> = x.iter().map(|x| 2.0 * x + 0.25).collect();
        add(&format!("{name}-part"), &some, &raw);
        let part = own.chunks_exact(model.outputs()).flat_map(|row| &row[..2]);
        wanted.insert(format!("{name}-part"), part.copied().collect());
        wanted.insert(name.clone(), own);
    }
    files.run(&python);
    for (name, wanted) in &wanted {
        assert_close(name, &files.outputs(name), wanted, 1e-4);
    }
}

fn view<'a>(shape: &[usize], values: &'a [f32]) -> TensorView<'a> {
    TensorView::new(Dtype::F32, shape.to_vec(), bytemuck::cast_slice(values)).unwrap()
}

/// A run on labelled examples that are normalised, in images with a batch-norm whose statistics are those of all queries.
fn trained(folder: &Path) -> PathBuf {
    let x: Vec<f32> = numbers(3, 8 * 10 * 18).iter().map(|x| 40.0 + 5.0 * x).collect();
    let labels: Vec<i32> = (0..80).map(|place| place / 10).collect();
    let labels = TensorView::new(Dtype::I32, vec![80], bytemuck::cast_slice(&labels)).unwrap();
    let tensors = [("x", view(&[80, 2, 3, 3], &x)), ("y", labels)];
    std::fs::write(folder.join("pool.safetensors"), serialize(tensors, None).unwrap()).unwrap();
    let text = "iterations = 4\n[model]\ninput = [2, 3, 3]\nloss = \"cross-entropy\"\nlayers = [\
        { type = \"conv2d\", filters = 4, kernel = 3 }, { type = \"batch-norm\", activation = \"relu\" }, \
        { type = \"dense\", units = 4 }]\n\
        [tasks]\nkind = \"arrays\"\ntrain = \"pool.safetensors\"\nshots = 2\nnormalize = \"mean-std\"\n\
        test_classes = \"train\"\n\
        [inner]\noptimizer = \"sgd\"\nrate = 0.05\nbatch = 4\nsteps = 3\n\
        [outer]\nrate = 0.5\nmeta_batch = 2\n[eval]\nsteps = 3\nbatch = 4\ntransductive = true\n";
    std::fs::write(folder.join("own.toml"), text).unwrap();
    let out = folder.join("run");
    let mut train = reptile();
    train.current_dir(folder).args(["train", "own.toml", "--no-autotune", "--out"]).arg(&out);
    train.assert().success();
    out
}

/// Adapts to two tasks of three classes, of four outputs: what the queries' logits are, and the queries `[2, 5, …]`.
fn adapted(folder: &Path, run: &Path, models: &Path) -> [Vec<f32>; 2] {
    let mine = folder.join("mine.safetensors");
    let scaled = |seed, count: usize| -> Vec<f32> {
        numbers(seed, count * 18).iter().map(|x| 40.0 + 5.0 * x).collect()
    };
    let (support, query) = (scaled(5, 2 * 6), scaled(6, 2 * 5));
    let labels: Vec<i32> = (0..12).map(|place| place % 3).collect();
    let labels = TensorView::new(Dtype::I32, vec![2, 6], bytemuck::cast_slice(&labels)).unwrap();
    let tensors = [
        ("support_x", view(&[2, 6, 2, 3, 3], &support)),
        ("support_y", labels),
        ("query_x", view(&[2, 5, 2, 3, 3], &query)),
    ];
    std::fs::write(&mine, serialize(tensors, None).unwrap()).unwrap();
    let mut adapt = reptile();
    adapt.arg("adapt").arg(run).arg("--tasks").arg(&mine).args(["--way", "3", "--out"]);
    adapt.arg(models).assert().success();
    let bytes = std::fs::read(models).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    [bytemuck::pod_collect_to_vec(file.tensor("query_output").unwrap().data()), query]
}

#[test]
fn adapted_models_have_their_logits_in_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let models = folder.path().join("adapted.safetensors");
    let [logits, query] = adapted(folder.path(), &run, &models);
    let files = Files::new();
    let export = |name: &str, from: &Path, more: &[&str]| {
        let mut command = reptile();
        command.arg("export").arg(from).arg("--onnx").arg(files.path(name, "onnx")).args(more);
        command
    };
    let base = ["--base", run.to_str().unwrap(), "--task", "1"];
    let said = stderr(export("batch", &models, &base).assert().success());
    assert!(said.contains("--support freezes them") && said.contains("model 1 of"), "{said}");
    let again = refusal(&mut export("batch", &models, &base));
    assert!(again.contains("batch.onnx") && again.contains("give another name"), "{again}");
    // Those of the queries, all in one batch, are what the batch had.
    let seen = folder.path().join("seen.safetensors");
    let second = &query[5 * 18..];
    let tensors = [("x", view(&[5, 2, 3, 3], second))];
    std::fs::write(&seen, serialize(tensors, None).unwrap()).unwrap();
    let support = ["--support", seen.to_str().unwrap()];
    let both = [&base[..], &support].concat();
    let said = stderr(export("frozen", &models, &both).assert().success());
    assert!(said.contains("statistics of 5 examples"), "{said}");
    export("run", &run, &support).assert().success();
    for (from, more, part) in [
        (&models, &[][..], "as --base"),
        (&models, &base[..2], "holds 2 models; choose one with --task (0 to 1)"),
        (&models, &["--base", base[1], "--task", "2"], "--task 2"),
        (&models, &["--base", base[1], "--run", "0"], "for a run"),
        (&run, &base[2..], "for adapted models"),
        (&run, &["--run", "1"], "holds 1, counted from 0"),
        (&run, &["--best"], "no best state"),
        (&run, &["--support", "nowhere.npz"], "nowhere.npz"),
    ] {
        let text = refusal(&mut export("none", from, more));
        assert!(text.contains(part), "{part}: {text}");
    }
    let nowhere = refusal(&mut export("none", &folder.path().join("nowhere"), &base[..2]));
    assert!(nowhere.contains("nowhere: no such file"), "{nowhere}");
    let mut other = reptile();
    other.arg("export").arg(&run).args(["--onnx", "net.pb"]);
    assert!(refusal(&mut other).contains("ends in .onnx"));
    let Some(python) = python() else { return };
    files.give("batch", second);
    files.give("frozen", &second[..18]);
    files.give("run", second);
    files.run(&python);
    let of_second = logits[5 * 4..].chunks_exact(4).flat_map(|row| &row[..3]);
    let of_second: Vec<f64> = of_second.map(|it| f64::from(*it)).collect();
    assert_close("batch", &files.outputs("batch"), &of_second, 1e-4);
    assert_close("frozen", &files.outputs("frozen"), &of_second[..3], 1e-4);
    assert_eq!(files.outputs("run").len(), 5 * 4);
}
