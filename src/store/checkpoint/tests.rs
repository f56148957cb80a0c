use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::disk::shell::quoted;
use crate::disk::tensor_file::{self, Data};
use crate::meta::Sets;
use crate::model::{Activation, ModelSpec};

fn model() -> Model {
    let spec = ModelSpec::builder(&[2]).dense(3, Activation::Tanh).dense(1, Activation::Linear);
    Model::new(spec).unwrap()
}

/// `count` sets of distinct numbers.
fn sets(model: &Model, count: usize, first: f32) -> Vec<Vec<f32>> {
    let length = model.parameter_count();
    let set = |s| (0..length).map(|i| first + (s * length + i) as f32 / 8.0).collect();
    (0..count).map(set).collect()
}

fn checkpoint(state: TrainingState) -> Checkpoint {
    let run = RunInfo {
        seed: u64::MAX - 3,
        config_hash: "c0ffee".into(),
        split: Some(r#"{"train":[],"val":[],"test":[]}"#.into()),
        config: "seed = 0\n[model]\nloss = \"mse\" # é\n".into(),
        arithmetic: ARITHMETIC,
        ranks: 4,
    };
    Checkpoint { run, state }
}

/// A state with nothing but parameters.
fn bare(runs: usize) -> TrainingState {
    let parameters = sets(&model(), runs, -3.0);
    TrainingState { iteration: 120, adam_steps: 600, runs, parameters, ..Default::default() }
}

/// One with every kind of tensor.
fn full(runs: usize) -> Checkpoint {
    let set = |first| sets(&model(), runs, first);
    let entries = |first| sets(&model(), 2 * runs, first);
    checkpoint(TrainingState {
        inner_first: set(100.0),
        inner_second: set(200.0),
        outer_first: set(300.0),
        outer_second: set(400.0),
        rates: set(500.0),
        ways: set(600.0),
        squares: set(700.0),
        round_momentum: set(750.0),
        memory: entries(800.0),
        memory_second: entries(900.0),
        memory_statistics: entries(1000.0),
        memory_losses: vec![vec![0.5]; 2 * runs],
        ..bare(runs)
    })
}

fn parse(bytes: &[u8]) -> Result<Checkpoint, String> {
    Checkpoint::from_file(&model(), &TensorFile::parse(bytes)?)
}

/// Fields, and tensors by shape and values.
type Parts = (BTreeMap<String, String>, BTreeMap<String, (Vec<usize>, Vec<f32>)>);

/// The file of `full(1)` after `change`, its digests left as they were.
fn tampered(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let bytes = full(1).to_bytes(&model()).unwrap();
    let file = TensorFile::parse(&bytes).unwrap();
    let floats = |name: &str, shape: &[usize]| (shape.to_vec(), file.floats(name, shape).unwrap());
    let tensors = file.tensors.iter().map(|(n, t)| (n.clone(), floats(n, t.shape()))).collect();
    let mut parts = (file.metadata.clone(), tensors);
    change(&mut parts);
    let data =
        |(name, (shape, values)): (String, (_, Vec<f32>))| (name, Data::floats(shape, &values));
    tensor_file::serialize(&parts.0, &parts.1.into_iter().map(data).collect())
}

#[test]
fn every_kind_of_state_round_trips() {
    let model = model();
    for runs in [1, 3] {
        let set = |count, first| sets(&model, count, first);
        let none = Sets::new;
        // Second and first moments.
        let inner = [
            [none(), none()],
            [set(runs, 9.0), none()],
            [set(runs * 4, 9.0), none()],
            [set(runs, 9.0), set(runs, 5.0)],
        ];
        let outer = [[none(), none()], [set(runs, 7.0), none()], [set(runs, 6.0), set(runs, 8.0)]];
        for (inner, outer) in inner.iter().flat_map(|i| outer.iter().map(move |o| (i, o))) {
            let [inner_second, inner_first] = inner.clone();
            let [outer_first, outer_second] = outer.clone();
            let moments = TrainingState {
                inner_second,
                inner_first,
                outer_first,
                outer_second,
                ..bare(runs)
            };
            let mut written = checkpoint(moments);
            assert_eq!(parse(&written.to_bytes(&model).unwrap()).unwrap(), written);
            written.state.rates = set(runs, 4.0);
            assert_eq!(parse(&written.to_bytes(&model).unwrap()).unwrap(), written);
        }
        let written = full(runs);
        assert_eq!(parse(&written.to_bytes(&model).unwrap()).unwrap(), written);
    }
}

/// A checkpoint takes the place of an older one only once it is on disk.
#[cfg(unix)]
#[test]
fn a_checkpoint_is_synced_and_then_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0000000120.safetensors");
    let synced = crate::disk::atomic::tests::synced(|| full(1).save(&model(), &path).unwrap());
    assert_eq!(synced, [false, true]);
}

#[test]
fn names_and_shapes_are_the_documented_ones() {
    let model = model();
    let (inner_second, outer_first) = (sets(&model, 4, 0.0), sets(&model, 2, 0.0));
    let state = TrainingState { inner_second, outer_first, ..bare(2) };
    let bytes = checkpoint(state).to_bytes(&model).unwrap();
    let file = TensorFile::parse(&bytes).unwrap();
    assert_eq!(file.tensors["dense1.weight"].shape(), [2, 3, 2]);
    assert_eq!(file.tensors["inner.v/dense1.weight"].shape(), [2, 2, 3, 2]);
    assert_eq!(file.tensors["outer.u/dense2.bias"].shape(), [2, 1]);
    assert_eq!(file.tensors.len(), 12);
    // Run 1, second layer's bias: the last number of its set.
    let bias = file.floats("dense2.bias", &[2, 1]).unwrap();
    assert_eq!(bias[1], sets(&model, 2, -3.0)[1][12]);
    let single = full(1).to_bytes(&model).unwrap();
    assert_eq!(TensorFile::parse(&single).unwrap().tensors["dense1.weight"].shape(), [3, 2]);
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let model = model();
    let bytes = full(2).to_bytes(&model).unwrap();
    for _ in 0..20 {
        assert_eq!(full(2).clone().to_bytes(&model).unwrap(), bytes);
    }
}

#[test]
fn every_truncation_is_found() {
    let bytes = full(1).to_bytes(&model()).unwrap();
    for length in 0..bytes.len() {
        assert!(parse(&bytes[..length]).unwrap_err().contains("truncated"), "{length}");
    }
}

#[test]
fn flipped_bits_are_found() {
    let bytes = full(1).to_bytes(&model()).unwrap();
    // All bits of a smaller file: `store::digests`.
    for at in (0..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(parse(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn changed_tensors_and_fields_are_named() {
    let weight = |parts: &mut Parts, at: usize, value| {
        parts.1.get_mut("dense1.weight").unwrap().1[at] = value;
    };
    let shape = |parts: &mut Parts| parts.1.get_mut("outer.m/dense1.weight").unwrap().0 = vec![6];
    let set = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        tampered(move |parts| drop(parts.0.insert(name, value)))
    };
    let cases = [
        (tampered(|p| weight(p, 1, 0.25)), "tensor `dense1.weight` was changed after"),
        (tampered(|p| weight(p, 5, f32::NAN)), "tensor `dense1.weight` is NaN at [2, 1]"),
        (tampered(shape), "tensor `outer.m/dense1.weight` has the shape [6], but [3, 2] was"),
        (
            tampered(|p| drop(p.1.remove("inner.m/dense2.bias"))),
            "tensor `inner.m/dense2.bias` is missing",
        ),
        (
            tampered(|p| p.1.retain(|name, _| !name.starts_with("inner.v/"))),
            "tensor `inner.v/dense1.weight` is missing",
        ),
        (
            tampered(|p| p.1.retain(|name, _| !name.starts_with("outer."))),
            "tensor `outer.m/dense1.bias` is missing",
        ),
        (
            tampered(|p| drop(p.1.insert("dense3.bias".into(), (vec![1], vec![0.0])))),
            "tensor `dense3.bias` does not belong",
        ),
        (set("iteration", "121"), "metadata field `iteration` was changed after"),
        (set("iteration", "many"), "metadata field `iteration` is `many`, not a whole number"),
        (set("seed", "-1"), "metadata field `seed` is `-1`"),
        (set("runs", "0"), "metadata field `runs` is 0"),
        (set("runs", "2"), "tensor `dense1.weight` has the shape [3, 2], but [2, 3, 2] was"),
        (set("config", "seed = 1"), "metadata field `config` was changed after"),
        (set("format", "reptile-checkpoint-9"), "`format` is `reptile-checkpoint-9`, not"),
        (set("note", "mine"), "metadata field `note` was added after"),
        (set("digest", "00"), "`digest` was changed after"),
    ];
    for (bytes, expected) in cases {
        let message = parse(&bytes).unwrap_err();
        assert!(message.contains(expected), "{message:?} should say {expected:?}");
    }
    for field in [
        "format",
        "iteration",
        "adam_steps",
        "seed",
        "runs",
        "config_hash",
        "config",
        "digests",
        "digest",
    ] {
        let message = parse(&tampered(|parts| drop(parts.0.remove(field)))).unwrap_err();
        assert!(message.contains(&format!("metadata field `{field}`")), "{message}");
        assert!(message.contains("is missing"), "{message}");
    }
}

#[test]
fn other_number_types_are_named() {
    // The same header with F32 spelt as the other four-byte type.
    let bytes = full(1).to_bytes(&model()).unwrap();
    let at = bytes.windows(3).position(|w| w == b"F32").unwrap();
    let mut other = bytes.clone();
    other[at..at + 3].copy_from_slice(b"I32");
    let message = parse(&other).unwrap_err();
    assert_eq!(message, "tensor `dense1.bias` is I32, but F32 was expected");
}

#[test]
fn what_could_not_be_loaded_is_not_saved() {
    let (folder, model) = (tempfile::tempdir().unwrap(), model());
    let path = folder.path().join("c.safetensors");
    full(1).save(&model, &path).unwrap();
    let before = fs::read(&path).unwrap();

    let mut infinite = full(1);
    infinite.state.parameters[0][7] = f32::INFINITY;
    let message = infinite.save(&model, &path).unwrap_err().to_string();
    assert!(message.contains("tensor `dense1.bias` is inf at [1]"), "{message}");

    let mut short = full(2);
    short.state.parameters.pop();
    let message = short.save(&model, &path).unwrap_err().to_string();
    assert!(message.contains("1 parameter sets where 2 belong"), "{message}");

    let mut other = full(1);
    other.state.outer_second.clear();
    other.state.outer_first = vec![vec![0.0; 5]];
    let message = other.save(&model, &path).unwrap_err().to_string();
    assert!(message.contains("`outer.u/dense1.weight`…: set 0 has 5 numbers, the model 13"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn the_header_is_read_without_the_model_and_checked() {
    let (folder, model) = (tempfile::tempdir().unwrap(), model());
    let path = folder.path().join("c.safetensors");
    let written = full(3);
    written.save(&model, &path).unwrap();
    let header = Checkpoint::load_header(&path).unwrap();
    assert_eq!((header.iteration, header.adam_steps, header.runs), (120, 600, 3));
    assert_eq!((header.run.seed, header.run.config_hash.as_str()), (u64::MAX - 3, "c0ffee"));
    assert_eq!(header.run, written.run);

    let change = |parts: &mut Parts| drop(parts.0.insert("seed".into(), "4".into()));
    fs::write(&path, tampered(change)).unwrap();
    let message = Checkpoint::load_header(&path).unwrap_err().to_string();
    assert!(message.contains("c.safetensors: metadata field `seed` was changed"), "{message}");
}

/// Those of earlier versions say nothing of their arithmetic.
#[test]
fn a_checkpoint_without_arithmetic_is_of_the_first_one() {
    let mut written = full(1);
    written.run.arithmetic = 1;
    let bytes = written.to_bytes(&model()).unwrap();
    assert!(!TensorFile::parse(&bytes).unwrap().metadata.contains_key("arithmetic"));
    assert_eq!(parse(&bytes).unwrap().run.arithmetic, 1);
}

#[test]
fn a_damaged_checkpoint_offers_the_newest_good_one_before_it() {
    let (folder, model) = (tempfile::tempdir().unwrap(), model());
    let path = |iteration| folder.path().join(file_name(iteration));
    for iteration in [100, 200, 300, 400] {
        let mut stored = full(1);
        stored.state.iteration = iteration;
        stored.save(&model, path(iteration)).unwrap();
    }
    let whole = fs::read(path(200)).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(path(300), &whole[..whole.len() / 2]).unwrap();
    fs::write(path(200), &flipped).unwrap();

    let offer = format!("go on from {}", quoted(&path(100)));
    let message = Checkpoint::load(&model, path(300)).unwrap_err().to_string();
    assert!(message.contains("truncated") && message.contains(&offer), "{message}");
    let message = Checkpoint::load_header(path(300)).unwrap_err().to_string();
    assert!(message.contains("truncated") && message.contains(&offer), "{message}");

    fs::remove_file(path(100)).unwrap();
    let message = Checkpoint::load(&model, path(300)).unwrap_err().to_string();
    assert!(message.contains("no good older one"), "{message}");
    assert!(Checkpoint::load(&model, path(400)).is_ok());
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let (folder, model) = (tempfile::tempdir().unwrap(), model());
    let path = folder.path().join(file_name(1));
    full(1).save(&model, &path).unwrap();
    let wider = ModelSpec::builder(&[2]).dense(4, Activation::Tanh).dense(1, Activation::Linear);
    let message = Checkpoint::load(&Model::new(wider).unwrap(), &path).unwrap_err().to_string();
    assert!(message.contains("`dense1.weight` has the shape [3, 2], but [4, 2] was"), "{message}");
    let deeper = ModelSpec::builder(&[2])
        .dense(3, Activation::Tanh)
        .dense(1, Activation::Tanh)
        .dense(1, Activation::Linear);
    let message = Checkpoint::load(&Model::new(deeper).unwrap(), &path).unwrap_err().to_string();
    assert!(message.contains("`dense3.weight` is missing"), "{message}");
}

#[test]
fn only_names_by_iteration_are_numbered() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "0000000200.safetensors",
        "0000000030.safetensors",
        "20000000000.safetensors",
        "best.safetensors",
        "30.safetensors",
        "+000000030.safetensors",
        ".reptile-x.tmp",
    ] {
        fs::write(folder.path().join(name), b"").unwrap();
    }
    let found: Vec<u64> = numbered(folder.path()).unwrap().into_iter().map(|(i, _)| i).collect();
    assert_eq!(found, [30, 200, 20_000_000_000]);
}
