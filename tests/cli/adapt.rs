//! `reptile adapt` on a user's own tasks: against float64, and what it refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::{all, assert_close, integers, numbers, widen};
use crate::program::{Run, SMALL, refusal, reptile};
use reptile::config::Config;
use reptile::model::Model;
use reptile::optimizers::{self, InnerOptimizer, OptimizerState, Settings};
use reptile::reference::network::{Targets, forward};
use reptile::reference::reptile::{Inner, Task, inner_loop};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

const TASKS: usize = 3;
const SUPPORT: usize = 9;
const QUERIES: usize = 4;
const STEPS: usize = 32;
const BATCH: usize = 6;

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A file of regression tasks with an explicit order.
fn tasks() -> Tensors {
    let floats = |seed, shape: &[usize]| {
        let values = numbers(seed, shape.iter().product());
        (Dtype::F32, shape.to_vec(), bytemuck::cast_slice(&values).to_vec())
    };
    let order = integers(3, TASKS * STEPS * BATCH, SUPPORT);
    BTreeMap::from([
        ("support_x".to_string(), floats(1, &[TASKS, SUPPORT, 1])),
        ("support_y".to_string(), floats(2, &[TASKS, SUPPORT, 1])),
        ("query_x".to_string(), floats(4, &[TASKS, QUERIES, 1])),
        (
            "order".to_string(),
            (Dtype::I32, vec![TASKS, STEPS, BATCH], bytemuck::cast_slice(&order).to_vec()),
        ),
    ])
}

fn write(folder: &Path, tensors: &Tensors) -> PathBuf {
    let views: BTreeMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        })
        .collect();
    let path = folder.join("tasks.safetensors");
    std::fs::write(&path, serialize(views, None).unwrap()).unwrap();
    path
}

fn floats(bytes: &[u8], name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    (view.shape().to_vec(), bytemuck::pod_collect_to_vec(view.data()))
}

/// Canonical parameters of set `index` of a file of sets, or of a checkpoint without one.
fn parameters(model: &Model, bytes: &[u8], prefix: &str, index: Option<usize>) -> Vec<f32> {
    let mut all = Vec::new();
    for tensor in model.tensors() {
        let (_, values) = floats(bytes, &format!("{prefix}{}", tensor.name));
        let start = index.unwrap_or(0) * tensor.elements();
        all.extend_from_slice(&values[start..start + tensor.elements()]);
    }
    all
}

/// Adapts with `arguments` and compares everything with float64.
fn check(run: &Run, arguments: &[&str], optimizer: optimizers::Inner, reset: bool) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let file = write(folder.path(), &tasks());
    reptile()
        .arg("adapt")
        .arg(run.path())
        .arg("--tasks")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(arguments)
        .assert()
        .success();
    let config = Config::from_toml(&run.read("config.toml"), "config.toml").unwrap();
    let model = config.validate().unwrap();
    let stored = std::fs::read(run.checkpoint("0000000003")).unwrap();
    let got = std::fs::read(&out).unwrap();
    let theta = widen(&parameters(&model, &stored, "", None));
    let kept = optimizer.kept();
    let moment = |prefix, kept: bool| match kept && !reset {
        true => widen(&parameters(&model, &stored, prefix, None)),
        false => vec![0.0; theta.len()],
    };
    let state = OptimizerState {
        m: moment("inner.m/", kept.first),
        v: moment("inner.v/", kept.second),
        steps: if kept.any() && !reset { 3 * config.inner_steps() as u64 } else { 0 },
    };
    let inner = Inner { optimizer, rate: f64::from(config.inner.rate), weight_decay: 1.0 };
    let (x, y) = (widen(&numbers(1, TASKS * SUPPORT)), widen(&numbers(2, TASKS * SUPPORT)));
    let order = integers(3, TASKS * STEPS * BATCH, SUPPORT);
    let queries = widen(&numbers(4, TASKS * QUERIES));
    let (shape, losses) = floats(&got, "support_loss");
    assert_eq!(shape, [TASKS, STEPS]);
    let (shape, outputs) = floats(&got, "query_output");
    assert_eq!(shape, [TASKS, QUERIES, 1]);
    for task in 0..TASKS {
        let own = task * SUPPORT..(task + 1) * SUPPORT;
        let data = Task {
            x: &x[own.clone()],
            targets: Targets::Values(&y[own]),
            order: &order[task * STEPS * BATCH..][..STEPS * BATCH],
            batch: BATCH,
            tail: 0,
        };
        let wanted = inner_loop(&model, &theta, state.clone(), inner, &data);
        let what = format!("task {task}, {arguments:?}");
        assert_close(&what, &parameters(&model, &got, "", Some(task)), &wanted.parameters, 3e-5);
        assert_close(&what, &losses[task * STEPS..][..STEPS], &wanted.losses, 3e-5);
        let predictions =
            forward(&model, &wanted.parameters, &queries[task * QUERIES..][..QUERIES]);
        assert_close(&what, &outputs[task * QUERIES..][..QUERIES], &predictions, 3e-5);
    }
}

/// A run of three iterations with a network of its own.
fn trained(layers: &str, more: &[&str]) -> Run {
    let layers = format!("model.layers=[{layers}, {{ type = 'dense', units = 1 }}]");
    Run::train(&[&["--iterations", "3", "--set", &layers], more].concat())
}

#[test]
fn sgd_agrees_with_float64_for_networks_of_all_kinds() {
    let networks = [
        "{ type = 'dense', units = 30, activation = 'gelu' }, \
         { type = 'dense', units = 17, activation = 'sigmoid' }, \
         { type = 'dense', units = 9, activation = 'relu' }",
        "{ type = 'dense', units = 5, activation = 'tanh' }",
        "{ type = 'dense', units = 200, activation = 'relu' }",
    ];
    // Devices are tested with networks of all kinds; here it is what the program makes of one.
    for layers in &networks[..if all() { 3 } else { 1 }] {
        let run = trained(layers, &["--set", "inner.rate=0.005"]);
        check(&run, &[], optimizers::Inner::SGD, true);
        for arguments in [&["--plan", "fused"][..], &["--plan", "layered"], &["--baseline"]] {
            check(&run, arguments, optimizers::Inner::SGD, true);
        }
    }
}

#[test]
fn adam_starts_from_the_shared_state_unless_it_is_reset() {
    let layers = "{ type = 'dense', units = 20, activation = 'tanh' }";
    let adam = ["--set", "inner.optimizer=adam", "--set", "inner.rate=0.001"];
    let run = trained(layers, &adam);
    let optimizer = optimizers::Inner::new(InnerOptimizer::Adam, Settings::DEFAULT);
    check(&run, &[], optimizer, false);
    check(&run, &["--reset-optimizer"], optimizer, true);
    check(&run, &["--optimizer", "sgd"], optimizers::Inner::SGD, true);
    // The moments of one optimiser are nothing to another.
    let with = |optimizer| optimizers::Inner::new(optimizer, Settings::DEFAULT);
    check(&run, &["--optimizer", "rmsprop"], with(InnerOptimizer::RmsProp), true);
    let momentum = ["--set", "inner.optimizer=momentum", "--set", "inner.rate=0.001"];
    let gathered = trained(layers, &momentum);
    check(&gathered, &[], with(InnerOptimizer::Momentum), false);
    check(&gathered, &["--optimizer", "adam"], optimizer, true);
    // A run of SGD has no state to start from.
    let run = trained(layers, &["--set", "inner.rate=0.001"]);
    check(&run, &["--optimizer", "adam"], optimizer, true);
}

#[test]
fn without_an_order_the_seed_decides() {
    let run = trained("{ type = 'dense', units = 8, activation = 'tanh' }", &[]);
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tasks();
    tensors.remove("order");
    let file = write(folder.path(), &tensors);
    let adapted = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        reptile()
            .arg("adapt")
            .arg(run.path())
            .args(["--steps", "7", "--batch", "4", "--seed", seed])
            .arg("--tasks")
            .arg(&file)
            .arg("--out")
            .arg(&out)
            .assert()
            .success();
        std::fs::read(&out).unwrap()
    };
    let first = adapted("a", "1");
    assert_eq!(floats(&first, "support_loss").0, [TASKS, 7]);
    assert_eq!(first, adapted("b", "1"));
    assert_ne!(floats(&first, "dense1.weight"), floats(&adapted("c", "2"), "dense1.weight"));
}

#[test]
fn bad_tasks_are_refused_and_nothing_is_written() {
    let run = trained("{ type = 'dense', units = 8, activation = 'tanh' }", &[]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let refused = |change: &dyn Fn(&mut Tensors), arguments: &[&str]| {
        let mut tensors = tasks();
        change(&mut tensors);
        let file = write(folder.path(), &tensors);
        let mut command = reptile();
        command.arg("adapt").arg(run.path()).arg("--tasks").arg(&file).arg("--out").arg(&out);
        let text = refusal(command.args(arguments));
        assert!(!out.exists(), "{text}");
        text
    };
    let nan = |tensors: &mut Tensors| {
        tensors.get_mut("support_x").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    };
    assert!(refused(&nan, &[]).contains("support_x"));
    let text = refused(&|tensors| drop(tensors.remove("support_y")), &[]);
    assert!(text.contains("support_y"), "{text}");
    let shape = |tensors: &mut Tensors| {
        tensors.get_mut("support_x").unwrap().1 = vec![TASKS, 3, 3];
    };
    assert!(refused(&shape, &[]).contains("support_x"));
    let index = |tensors: &mut Tensors| {
        tensors.get_mut("order").unwrap().2[..4].copy_from_slice(&99_i32.to_le_bytes());
    };
    assert!(refused(&index, &[]).contains("order"));
    assert!(refused(&|_| {}, &["--steps", "5"]).contains("--steps"));
    assert!(refused(&|_| {}, &["--rate", "-1"]).contains("--rate"));
    assert!(refused(&|_| {}, &["--run", "4"]).contains("--run"));
    std::fs::write(&out, "mine").unwrap();
    let file = write(folder.path(), &tasks());
    let text = refusal(
        reptile().arg("adapt").arg(run.path()).arg("--tasks").arg(&file).arg("--out").arg(&out),
    );
    assert!(text.contains("another name") && std::fs::read(&out).unwrap() == b"mine", "{text}");
}

#[test]
fn more_models_than_a_file_may_hold_are_refused_before_the_work() {
    let run = Run::train(&[&["--iterations", "2"], &SMALL[..]].concat());
    let mut command = reptile();
    command.arg("adapt").arg(run.path()).args(["--test-tasks", "4000000000", "--out"]);
    let text = refusal(command.arg(run.path().join("out")));
    assert!(text.contains("would hold") && text.contains("REPTILE_FILE_LIMIT_MIB"), "{text}");
}
