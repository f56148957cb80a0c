use std::fs;

use super::*;
use crate::model::{Activation, ModelSpec};

/// A tensor to put into a test file: name, type, shape, bytes.
#[derive(Clone)]
struct Raw(&'static str, Dtype, Vec<usize>, Vec<u8>);

fn f32s(name: &'static str, shape: &[usize], values: &[f32]) -> Raw {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Raw(name, Dtype::F32, shape.to_vec(), bytes)
}

fn i64s(name: &'static str, shape: &[usize], values: &[i64]) -> Raw {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Raw(name, Dtype::I64, shape.to_vec(), bytes)
}

fn i32s(name: &'static str, shape: &[usize], values: &[i32]) -> Raw {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Raw(name, Dtype::I32, shape.to_vec(), bytes)
}

fn load(tensors: &[Raw], model: &Model) -> Result<TaskArrays, String> {
    let views = tensors.iter().map(|Raw(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    TaskArrays::from_bytes(&safetensors::serialize(views, None).unwrap(), model)
}

fn regression() -> Model {
    Model::new(ModelSpec::builder(&[1, 2]).dense(2, Activation::Linear)).unwrap()
}

fn classifier() -> Model {
    let spec = ModelSpec::builder(&[1]).dense(3, Activation::Linear);
    Model::new(spec.loss(Loss::CrossEntropy)).unwrap()
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

/// Two regression tasks with three support examples and one query.
fn values() -> Vec<Raw> {
    vec![
        f32s("support_x", &[2, 3, 1, 2], &ramp(12)),
        f32s("support_y", &[2, 3, 2], &ramp(12)),
        f32s("query_x", &[2, 1, 1, 2], &ramp(4)),
        f32s("query_y", &[2, 1, 2], &ramp(4)),
        i32s("order", &[2, 2, 1], &[0, 2, 1, 1]),
    ]
}

/// Two classification tasks with two support examples.
fn labels() -> Vec<Raw> {
    vec![f32s("support_x", &[2, 2, 1], &ramp(4)), i64s("support_y", &[2, 2], &[0, 2, 1, 1])]
}

fn with(mut tensors: Vec<Raw>, tensor: Raw) -> Vec<Raw> {
    tensors.retain(|other| other.0 != tensor.0);
    tensors.push(tensor);
    tensors
}

fn without(mut tensors: Vec<Raw>, name: &str) -> Vec<Raw> {
    tensors.retain(|other| other.0 != name);
    tensors
}

#[test]
fn regression_tasks_are_read() {
    let tasks = load(&values(), &regression()).unwrap();
    assert_eq!((tasks.tasks, tasks.support), (2, 3));
    assert_eq!(tasks.support_x, ramp(12));
    assert_eq!(tasks.support_y, Targets::Values(ramp(12)));
    let query = tasks.query.unwrap();
    assert_eq!((query.count, query.x), (1, ramp(4)));
    assert_eq!(query.y, Some(Targets::Values(ramp(4))));
    let order = Order { steps: 2, batch: 1, indices: vec![0, 2, 1, 1] };
    assert_eq!(tasks.order, Some(order));
}

#[test]
fn labels_of_both_types_are_read_and_the_rest_is_optional() {
    let wide = load(&labels(), &classifier()).unwrap();
    assert_eq!(wide.support_y, Targets::Labels(vec![0, 2, 1, 1]));
    assert_eq!((&wide.query, &wide.order), (&None, &None));
    let narrow = with(labels(), i32s("support_y", &[2, 2], &[0, 2, 1, 1]));
    assert_eq!(load(&narrow, &classifier()).unwrap(), wide);
    let unknown = with(labels(), f32s("query_x", &[2, 4, 1], &ramp(8)));
    assert_eq!(load(&unknown, &classifier()).unwrap().query.unwrap().y, None);
}

#[test]
fn bad_regression_tasks_are_refused_by_name() {
    let mut broken = ramp(12);
    broken[9] = f32::NAN;
    let half = Raw("support_y", Dtype::F16, vec![2, 3, 2], vec![0; 24]);
    let double = Raw("query_x", Dtype::F64, vec![2, 1, 1, 2], vec![0; 32]);
    let cases = [
        (without(values(), "support_x"), "tensor `support_x` is missing"),
        (without(values(), "support_y"), "tensor `support_y` is missing"),
        (without(values(), "query_x"), "`query_y` is there without `query_x`"),
        (
            with(values(), f32s("suport_y", &[1], &[0.0])),
            "tensor `suport_y` is unknown; did you mean `support_y`?",
        ),
        (
            with(values(), f32s("support_x", &[2, 3, 2], &ramp(12))),
            "`support_x` has the shape [2, 3, 2], but [T, N, 1, 2] was expected",
        ),
        (
            with(values(), f32s("query_x", &[1, 2, 1, 2], &ramp(4))),
            "`query_x` has the shape [1, 2, 1, 2], but [2, Q, 1, 2] was expected",
        ),
        (
            with(values(), f32s("support_x", &[2, 0, 1, 2], &[])),
            "`support_x` has the shape [2, 0, 1, 2]: no size may be zero",
        ),
        (
            with(values(), f32s("support_y", &[2, 2, 3], &ramp(12))),
            "`support_y` has the shape [2, 2, 3], but [2, 3, 2] was expected",
        ),
        (
            with(values(), f32s("query_y", &[2, 2, 1], &ramp(4))),
            "`query_y` has the shape [2, 2, 1], but [2, 1, 2] was expected",
        ),
        (
            with(values(), f32s("support_x", &[2, 3, 1, 2], &broken)),
            "`support_x` is NaN at [1, 1, 0, 1]",
        ),
        (
            with(values(), f32s("query_y", &[2, 1, 2], &[0.0, 0.0, f32::NEG_INFINITY, 0.0])),
            "`query_y` is -inf at [1, 0, 0]",
        ),
        (with(values(), half), "`support_y` is F16, but F32 was expected; convert"),
        (with(values(), double), "`query_x` is F64, but F32 was expected; convert"),
        (
            with(values(), i64s("support_y", &[2, 3, 2], &[0; 12])),
            "`support_y` is I64, but F32 was expected; convert",
        ),
    ];
    for (tensors, expected) in cases {
        let message = load(&tensors, &regression()).unwrap_err();
        assert!(message.contains(expected), "{message:?} should say {expected:?}");
    }
}

#[test]
fn bad_labels_are_refused_with_their_place() {
    let label = |value| with(labels(), i64s("support_y", &[2, 2], &[0, 2, 1, value]));
    let cases = [
        (label(3), "task 1, sample 1 has the label 3, but the model has 3 classes: 0 to 2"),
        (label(-1), "task 1, sample 1 has the label -1"),
        (label(1 << 32), "has the label 4294967296"),
        (
            with(labels(), f32s("support_y", &[2, 2], &ramp(4))),
            "`support_y` is F32, but I64 or I32 was expected; convert",
        ),
        (
            with(labels(), i64s("support_y", &[2, 2, 1], &[0; 4])),
            "`support_y` has the shape [2, 2, 1], but [2, 2] was expected",
        ),
    ];
    for (tensors, expected) in cases {
        let message = load(&tensors, &classifier()).unwrap_err();
        assert!(message.contains(expected), "{message:?} should say {expected:?}");
    }
}

#[test]
fn bad_orders_are_refused_with_their_place() {
    let order = |shape: &[usize], indices: &[i32]| with(values(), i32s("order", shape, indices));
    let cases = [
        (
            order(&[2, 2, 1], &[0, 2, 3, 1]),
            "`order` is 3 at [1, 0, 0], but each task has 3 support examples: 0 to 2",
        ),
        (order(&[2, 2, 1], &[0, -2, 0, 1]), "`order` is -2 at [0, 1, 0]"),
        (order(&[2, 2], &[0; 4]), "`order` has the shape [2, 2], but [2, K, B] was expected"),
        (order(&[1, 2, 2], &[0; 4]), "`order` has the shape [1, 2, 2], but [2, 2, 2] was expected"),
        (order(&[2, 0, 2], &[]), "`order` has the shape [2, 0, 2]: no size may be zero"),
        (
            with(values(), f32s("order", &[2, 2, 1], &[0.0; 4])),
            "`order` is F32, but I64 or I32 was expected",
        ),
    ];
    for (tensors, expected) in cases {
        let message = load(&tensors, &regression()).unwrap_err();
        assert!(message.contains(expected), "{message:?} should say {expected:?}");
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.safetensors");
    assert!(matches!(TaskArrays::load(&path, &regression()), Err(Error::Io { .. })));
    fs::write(&path, "support_x,support_y").unwrap();
    let message = TaskArrays::load(&path, &regression()).unwrap_err().to_string();
    assert!(message.contains("tasks.safetensors: not a safetensors file"), "{message}");
}

#[test]
fn bytes_are_pixels_for_a_network_for_images_alone() {
    let images = Model::new(ModelSpec::builder(&[1, 1, 2]).dense(2, Activation::Linear)).unwrap();
    let pixels = || {
        let mut tensors = with(values(), f32s("support_x", &[2, 3, 1, 1, 2], &ramp(12)));
        tensors = with(tensors, f32s("query_x", &[2, 1, 1, 1, 2], &ramp(4)));
        with(tensors, Raw("query_x", Dtype::U8, vec![2, 1, 1, 1, 2], vec![0, 51, 102, 255]))
    };
    let tasks = load(&pixels(), &images).unwrap();
    assert_eq!((tasks.from_bytes, tasks.query.unwrap().x), (true, vec![0.0, 0.2, 0.4, 1.0]));
    let bytes = Raw("query_x", Dtype::U8, vec![2, 1, 1, 2], vec![0; 4]);
    let text = load(&with(values(), bytes), &regression()).unwrap_err();
    assert!(text.contains("divided by 255") && !text.contains("or U8"), "{text}");
    assert!(!load(&values(), &regression()).unwrap().from_bytes);
}
