use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use safetensors::tensor::Dtype;

use super::*;
use crate::disk::tensor_file::{Data, serialize};
use crate::model::{Activation, Loss, ModelSpec, Padding};

/// Arrays by their names in a file of a folder that goes with it.
struct File {
    folder: tempfile::TempDir,
    arrays: BTreeMap<String, Data>,
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), arrays: BTreeMap::new() }
    }

    fn floats(mut self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        self.arrays.insert(name.into(), Data::floats(shape.to_vec(), values));
        self
    }

    fn integers(mut self, name: &str, shape: &[usize], values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.arrays.insert(name.into(), Data { dtype: Dtype::I64, shape: shape.to_vec(), bytes });
        self
    }

    fn path(&self) -> PathBuf {
        let path = self.folder.path().join("arrays.safetensors");
        std::fs::write(&path, serialize(&BTreeMap::new(), &self.arrays)).unwrap();
        path
    }

    fn read(&self, change: impl Fn(&mut ArraysSpec), model: &Model) -> Result<ArrayData> {
        let mut spec = ArraysSpec::new(1);
        spec.train = Some(self.path());
        change(&mut spec);
        let parts = [SplitPart::Train];
        read(&spec, model, Reading { parts: &parts, ..Reading::default() })
    }

    fn refused(&self, change: impl Fn(&mut ArraysSpec), model: &Model) -> String {
        self.read(change, model).unwrap_err().to_string()
    }
}

fn network(input: &[usize], outputs: usize, loss: Loss) -> Model {
    let spec = ModelSpec::builder(input).loss(loss);
    let spec = match input.len() {
        3 => spec.conv2d(2, 3, 1, Padding::SAME).dense(outputs, Activation::Linear),
        _ => spec.dense(outputs, Activation::Linear),
    };
    Model::new(spec).unwrap()
}

/// Numbers that all differ.
fn counted(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

fn same(_: &mut ArraysSpec) {}

#[test]
fn what_fills_up_short_tasks_does_not_count() {
    let model = network(&[2], 1, Loss::Mse);
    let mut x = counted(12);
    // Task 1 has one example of three.
    x[8..].fill(f32::NAN);
    let mut y = counted(6);
    y[4..].fill(f32::INFINITY);
    let file = File::new().floats("x", &[2, 3, 2], &x).floats("y", &[2, 3, 1], &y);
    assert!(file.refused(same, &model).contains("`x` is NaN at [1, 1, 0]"));
    let file = file.integers("count", &[2], &[3, 1]);
    let read = file.read(same, &model).unwrap();
    let set = read.parts[0].as_ref().unwrap();
    assert_eq!(set.groups, [[0, 3], [3, 1]]);
    assert_eq!(set.x, counted(8));
    assert_eq!(set.y, ArrayTargets::Values(counted(4)));
    // The support of a training task: what every task has.
    assert_eq!(read.sizes, [1, 1, 1]);
    assert!(read.notes.iter().any(|note| note == "train: 2 tasks, 4 examples, 1 or more each"));
    for (count, part) in [
        (vec![3, 0], "`count` is 0 at [1]"),
        (vec![4, 1], "`count` is 4 at [0]"),
        (vec![1; 3], "has the shape [3], but [2]"),
    ] {
        let (shape, values) = ([count.len()], count);
        let file = File::new().floats("x", &[2, 3, 2], &counted(12));
        let file = file.floats("y", &[2, 3], &counted(6)).integers("count", &shape, &values);
        let text = file.refused(same, &model);
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn arrays_that_do_not_fit_the_network_are_named() {
    let (values, classes) = (network(&[2], 3, Loss::Mse), network(&[2], 3, Loss::CrossEntropy));
    let x = |file: File| file.floats("x", &[2, 3, 2], &counted(12));
    let pool = |file: File| file.floats("x", &[6, 2], &counted(12));
    let floats = |shape: &[usize]| File::new().floats("y", shape, &counted(shape.iter().product()));
    let labels = |shape: &[usize], of: &[i64]| File::new().integers("y", shape, of);
    for (file, model, part) in [
        (floats(&[2, 3, 3]).floats("x", &[2, 3, 3], &counted(18)), &values, "give [T, N, 2]"),
        (floats(&[2, 3, 3]).floats("x", &[0, 3, 2], &[]), &values, "no size may be zero"),
        (x(floats(&[2, 3])), &values, "`y` has the shape [2, 3], but [2, 3, 3]"),
        (x(labels(&[2, 3], &[0, 1, 2, 0, 3, 1])), &classes, "`y` is 3 at [1, 1]"),
        (x(labels(&[2, 3], &[0, -1, 2, 0, 2, 1])), &classes, "`y` is -1 at [0, 1]"),
        (x(floats(&[2, 3])), &classes, "integers were expected"),
        (x(labels(&[6], &[0; 6])), &classes, "but [2, 3] was expected"),
        (pool(labels(&[6], &[0; 6])), &values, "loss cross-entropy"),
        (pool(labels(&[5], &[0; 5])), &classes, "but [6] was expected"),
        (pool(labels(&[6], &[0; 6]).integers("count", &[6], &[1; 6])), &classes, "`count` belongs"),
        (x(File::new()), &values, "no array `y`; it holds x"),
    ] {
        let text = file.refused(same, model);
        assert!(text.contains(part) && text.contains("arrays.safetensors"), "{part}: {text}");
    }
    let text = File::new().refused(|spec| spec.train = None, &values);
    assert!(text.contains("tasks.train"), "{text}");
    let two = x(labels(&[2, 3], &[0, 2, 2, 0, 2, 0])).read(same, &classes).unwrap();
    assert!(two.notes.iter().any(|note| note.ends_with("no example has the label 1")));
}

#[test]
fn classes_are_the_labels_that_there_are() {
    let model = network(&[1], 2, Loss::CrossEntropy);
    let file = File::new().floats("x", &[6, 1], &counted(6));
    let file = file.integers("y", &[6], &[9, -2, 9, 4, -2, 9]);
    let read = file.read(|spec| spec.train_shots = Some(1), &model).unwrap();
    let set = read.parts[0].as_ref().unwrap();
    assert_eq!(set.groups, [[0, 2], [2, 1], [3, 3]]);
    assert_eq!(set.x, [1.0, 4.0, 3.0, 0.0, 2.0, 5.0]);
    assert!(read.notes.iter().any(|note| note.contains("labels are 3 numbers from -2 to 9")));
    let many = file.refused(|spec| spec.way = Some(4), &model);
    assert!(many.contains("4 classes a task, but there are only 3"), "{many}");
    let many = file.refused(|spec| spec.train_shots = Some(2), &model);
    assert!(many.contains("need 2 examples of a class, but one has 1"), "{many}");
}

#[test]
fn test_tasks_are_drawn_from_the_training_classes_where_that_is_said() {
    let model = network(&[1], 2, Loss::CrossEntropy);
    let file = File::new().floats("x", &[6, 1], &counted(6));
    let file = file.integers("y", &[6], &[0, 0, 0, 1, 1, 1]);
    let mut spec = ArraysSpec::new(1);
    spec.train = Some(file.path());
    let lacks = read(&spec, &model, Reading::ALL).unwrap_err().to_string();
    assert!(lacks.contains("no test part") && lacks.contains("tasks.test_classes"), "{lacks}");
    spec.test_classes = TestClasses::Train;
    let data = read(&spec, &model, Reading::ALL).unwrap();
    assert_eq!(data.sizes, [2, 3, 2]);
    assert!(std::ptr::eq(test_part(&spec, &data.parts).unwrap(), data.parts[0].as_ref().unwrap()));
    let many = ArraysSpec { shots: 3, ..spec };
    let many = read(&many, &model, Reading::ALL).unwrap_err().to_string();
    assert!(many.contains("tasks.shots"), "{many}");
}

/// Fifty tasks whose inputs are their numbers.
fn fifty() -> File {
    let x: Vec<f32> = (0..100).map(|i| (i / 2) as f32).collect();
    File::new().floats("x", &[50, 2, 1], &x).floats("y", &[50, 2], &counted(100))
}

#[test]
fn one_file_is_cut_into_parts_that_do_not_meet() {
    let model = network(&[1], 1, Loss::Mse);
    let file = fifty();
    let parts = |seed| {
        let cut = |spec: &mut ArraysSpec| {
            (spec.data, spec.split_seed) = (spec.train.take(), seed);
        };
        let read = file.read(cut, &model).unwrap();
        read.parts.map(|part| {
            let part = part.unwrap();
            part.x.iter().step_by(2).map(|task| *task as u32).collect::<Vec<_>>()
        })
    };
    let [train, val, test] = parts(0);
    assert_eq!([train.len(), val.len(), test.len()], [35, 5, 10]);
    let all: BTreeSet<u32> = [train.clone(), val, test].concat().into_iter().collect();
    assert_eq!(all.len(), 50);
    assert_eq!(parts(0)[0], train);
    assert_ne!(parts(1)[0], train);
    let none = file
        .refused(|spec| (spec.data, spec.parts) = (spec.train.take(), [0.9, 0.001, 0.0]), &model);
    assert!(none.contains("leaves none to the val part"), "{none}");
}

#[test]
fn inputs_are_normalised_by_the_training_part_of_the_run() {
    let model = network(&[2], 1, Loss::Mse);
    // The second number never changes.
    let x = [1.0, 0.7, 3.0, 0.7, 5.0, 0.7, 7.0, 0.7];
    let file = File::new().floats("x", &[2, 2, 2], &x).floats("y", &[2, 2], &counted(4));
    let test = File::new().floats("x", &[1, 2, 2], &[4.0, 1.9, 9.0, 0.7]);
    let test = test.floats("y", &[1, 2], &counted(2));
    let both = |spec: &mut ArraysSpec| {
        (spec.test, spec.normalize) = (Some(test.path()), Normalize::MeanStd);
    };
    let first = file.read(both, &model).unwrap();
    let deviation = 5.0_f32.sqrt();
    let wanted = [-3.0, 0.0, -1.0, 0.0, 1.0, 0.0, 3.0, 0.0].map(|it| it / deviation);
    assert_eq!(first.parts[0].as_ref().unwrap().x, wanted);
    let tested = [0.0, 1.9 - 0.7, 5.0 / deviation, 0.0];
    assert_eq!(first.parts[2].as_ref().unwrap().x, tested);
    // Later it is the run's, from whatever it is stored in, for other arrays as well.
    let stored = StoredSplit::from_json(&first.stored.to_json()).unwrap();
    let mut spec = ArraysSpec::new(1);
    (spec.train, spec.test) = (Some(test.path()), Some(test.path()));
    let again = |stored: &StoredSplit, changed_data| {
        let parts = [SplitPart::Test];
        read(
            &spec,
            &model,
            Reading { stored: Some(stored), changed_data, parts: &parts, ..Reading::ALL },
        )
    };
    let refused = again(&stored, false).unwrap_err().to_string();
    assert!(refused.contains("train part is not what the run was trained on"), "{refused}");
    let changed = again(&stored, true).unwrap();
    assert_eq!(changed.changed, ["train"]);
    let other = again(&stored.of_other_arrays().unwrap(), false).unwrap();
    for read in [changed, other] {
        assert_eq!(read.parts[2].as_ref().unwrap().x, tested);
    }
    // Of an image, by channel.
    let images = network(&[2, 1, 2], 2, Loss::CrossEntropy);
    let file = File::new().floats("x", &[2, 2, 1, 2], &[0.0, 2.0, 7.0, 7.0, 4.0, 2.0, 7.0, 7.0]);
    let file = file.integers("y", &[2], &[0, 1]);
    let read = file.read(|spec| spec.normalize = Normalize::MeanStd, &images).unwrap();
    let two = 2.0_f32.sqrt();
    let wanted = [-two, 0.0, 0.0, 0.0, two, 0.0, 0.0, 0.0];
    let x = &read.parts[0].as_ref().unwrap().x;
    assert!(x.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{x:?}");
}

#[test]
fn a_part_that_is_needed_must_be_there() {
    let model = network(&[1], 1, Loss::Mse);
    let file = fifty();
    let mut spec = ArraysSpec::new(1);
    spec.train = Some(file.path());
    let of = |part| read(&spec, &model, Reading { parts: &[part], ..Reading::default() });
    let lacks = of(SplitPart::Test).unwrap_err().to_string();
    assert!(lacks.contains("there is no test part; name its file in tasks.test"), "{lacks}");
    let train = of(SplitPart::Train).unwrap();
    assert!(
        train
            .notes
            .iter()
            .any(|note| note.contains("no test tasks so far") && note.contains("no test part"))
    );
    let same = ArraysSpec { test_classes: TestClasses::Train, ..spec.clone() };
    let list = read(&same, &model, Reading::ALL).unwrap_err().to_string();
    assert!(list.contains("tasks.test_classes") && list.contains("lists of tasks"), "{list}");
    // Validation tasks are those of training.
    assert_eq!(of(SplitPart::Val).unwrap().sizes, [1, 2, 1]);
    spec.shots = 2;
    let few = read(&spec, &model, Reading { parts: &[SplitPart::Val], ..Reading::default() });
    let few = few.unwrap_err().to_string();
    assert!(few.contains("tasks.shots") && few.contains("no validation part"), "{few}");
}

#[test]
fn tests_on_what_was_trained_on_are_refused_or_told() {
    let model = network(&[1], 2, Loss::CrossEntropy);
    let pool = |first: i64, x: f32| {
        let file = File::new().floats("x", &[4, 1], &[x, x + 1.0, x + 2.0, x + 3.0]);
        file.integers("y", &[4], &[first, first, first + 1, first + 1])
    };
    let train = pool(0, 0.0);
    let tested = |test: &File, classes| {
        train.read(|spec| (spec.test, spec.test_classes) = (Some(test.path()), classes), &model)
    };
    let same = tested(&train, TestClasses::Own).unwrap_err().to_string();
    assert!(same.contains("the training examples themselves"), "{same}");
    tested(&train, TestClasses::Train).unwrap();
    let told = |test: &File| {
        let notes = tested(test, TestClasses::Own).unwrap().notes;
        notes.into_iter().find(|note| note.contains("also in the training part"))
    };
    assert_eq!(told(&pool(2, 9.0)), None);
    let own = told(&pool(1, 9.0)).unwrap();
    assert!(own.starts_with("1 label of the part test (1) is also"), "{own}");
    assert!(told(&pool(0, 9.0)).unwrap().starts_with("2 labels of the part test (0, 1) are also"));
    // What was dealt by chance cannot be dealt again, once it has changed.
    let file = fifty();
    let cut = |file: &File| {
        let mut spec = ArraysSpec::new(1);
        spec.data = Some(file.path());
        spec
    };
    let list = network(&[1], 1, Loss::Mse);
    let first =
        read(&cut(&file), &list, Reading { parts: &[SplitPart::Train], ..Reading::default() });
    let first = first.unwrap();
    let more =
        File::new().floats("x", &[51, 2, 1], &counted(102)).floats("y", &[51, 2], &counted(102));
    let later = Reading {
        stored: Some(&first.stored),
        changed_data: true,
        parts: &[SplitPart::Test],
        ..Reading::ALL
    };
    let refused = read(&cut(&more), &list, later).unwrap_err().to_string();
    assert!(
        refused.contains("dealt into parts") && refused.contains("another data set"),
        "{refused}"
    );
    let other = File::new().floats("x", &[50, 2, 1], &counted(100));
    let other = other.floats("y", &[50, 2], &counted(100));
    assert_eq!(read(&cut(&other), &list, later).unwrap().changed, ["train", "val", "test"]);
    // No example is left for the queries of test tasks.
    let short = file.read(|spec| spec.shots = 2, &list).unwrap();
    assert_eq!(short.sizes[2], 1);
}
