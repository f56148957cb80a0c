//! Tasks over examples of the user's own: what is drawn, bit for bit, and whole trainings on them against float64.

use std::sync::Arc;

use reptile::gpu::{AdapterEntry, Gpu};
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, DeviceArrays, InnerSpec, Origin, OuterSpec, PlanKind,
    StartingPoint, Trainer, TrainerSetup,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding, padded};
use reptile::reference::network::Targets;
use reptile::reference::reptile as reference;
use reptile::reference::sampling::{Pool, episode, listed_task, order};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{ArraySet, ArrayTargets, Batches, SplitPart};

use crate::common::{assert_close, integers, network, numbers, widen, with, with_binding};
use crate::harness::{Device, On, Tests, named};
use crate::trainer::meta;

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(drawn_examples_are_those_of_the_reference));
    tests.on(On::EVERY, named!(trainings_agree_with_float64));
    tests.own(On::FIRST_OR_PLAIN, named!(parts_cut_into_pieces_have_the_same_bytes));
    tests.on(On::FIRST, named!(what_has_too_little_is_refused));
}

const SEED: u64 = 5 << 33;

/// A network, examples for it, and the minibatches of a task with its queries.
#[derive(Clone)]
struct Case {
    name: &'static str,
    model: Model,
    set: ArraySet,
    batches: Batches,
    queries: usize,
}

/// Groups of these sizes, one behind the other.
fn groups(sizes: &[u32]) -> Vec<[u32; 2]> {
    let mut first = 0;
    let group = |size: &u32| {
        first += size;
        [first - size, *size]
    };
    sizes.iter().map(group).collect()
}

fn examples(model: &Model, y: impl Fn(usize) -> ArrayTargets, sizes: &[u32]) -> ArraySet {
    let rows = sizes.iter().sum::<u32>() as usize;
    ArraySet { x: numbers(1, rows * model.inputs()), y: y(rows), groups: groups(sizes) }
}

fn cases() -> Vec<Case> {
    let values = network(3, &[(9, Activation::Tanh)], 2, Loss::Mse);
    let labels = network(5, &[(8, Activation::Tanh)], 3, Loss::CrossEntropy);
    let spec = ModelSpec::builder(&[2, 3, 3]).loss(Loss::CrossEntropy);
    let spec = spec.conv2d(5, 3, 1, Padding::SAME).activation(Activation::Tanh);
    let images = Model::new(spec.dense(3, Activation::Linear)).unwrap();
    let ragged = [12, 9, 15, 10, 9];
    let of = |name, model: &Model, set, batches, queries| Case {
        name,
        model: model.clone(),
        set,
        batches,
        queries,
    };
    let regression = examples(&values, |rows| ArrayTargets::Values(numbers(2, rows * 2)), &ragged);
    let all = ArraySet { groups: groups(&[11; 5]), ..regression.clone() };
    let own = examples(&labels, |rows| ArrayTargets::Labels(integers(3, rows, 3)), &[12; 4]);
    let classes = |model| examples(model, |_| ArrayTargets::Classes, &[9, 8, 12, 30, 8, 10]);
    let plain = Batches::new([1, 6], 4, 5);
    vec![
        of("values", &values, regression, plain.clone(), 3),
        of("all of a task", &values, all.clone(), Batches::new([1, 11], 4, 5), 0),
        of("a tail", &values, all, with(Batches::new([1, 11], 4, 5), |it| it.tail = 3), 0),
        of("labels", &labels, own, Batches::new([1, 8], 3, 4), 4),
        of("classes", &labels, classes(&labels), Batches::new([3, 4], 5, 4), 2),
        of("images", &images, classes(&images), Batches::new([3, 2], 4, 3), 3),
    ]
}

/// One task: its support and query examples, their labels where they follow from the place, and its minibatches.
struct Drawn {
    support: Vec<u32>,
    query: Vec<u32>,
    order: Vec<u32>,
}

impl Case {
    fn task(&self, phase: Phase, iteration: u32, number: u32) -> Drawn {
        let stream = Stream::new(SEED, phase, iteration, number);
        let Batches { way, group, tail, steps, batch, replacement, .. } = self.batches.clone();
        let order = order(&stream, Pool { way, group, tail }, steps, batch, replacement);
        let sizes = [group as u32, self.queries as u32];
        if !self.set.has_classes() {
            let list = &self.set.groups;
            let turn = (number, phase == Phase::Train);
            let task = listed_task(&stream, turn, list, sizes, tail as u32);
            return Drawn { support: task.support, query: task.query, order };
        }
        let groups = &self.set.groups;
        let size = |class: u32| groups[class as usize][1];
        let [shots, queries] = sizes;
        let drawn = episode(&stream, groups.len() as u32, &size, way as u32, shots, queries);
        let numbers = |of: &[(u32, u32)]| -> Vec<u32> {
            of.iter().map(|(class, example)| groups[*class as usize][0] + example).collect()
        };
        Drawn { support: numbers(&drawn.support), query: numbers(&drawn.query), order }
    }

    /// Inputs of these examples.
    fn x(&self, of: &[u32]) -> Vec<f32> {
        let inputs = self.model.inputs();
        of.iter().flat_map(|row| &self.set.x[*row as usize * inputs..][..inputs]).copied().collect()
    }

    fn values(&self, of: &[u32]) -> Vec<f32> {
        let ArrayTargets::Values(values) = &self.set.y else { return Vec::new() };
        let outputs = self.model.outputs();
        of.iter().flat_map(|row| &values[*row as usize * outputs..][..outputs]).copied().collect()
    }

    /// Labels of these examples, `per_class` of a class.
    fn labels(&self, of: &[u32], per_class: usize) -> Vec<u32> {
        match &self.set.y {
            ArrayTargets::Labels(labels) => of.iter().map(|row| labels[*row as usize]).collect(),
            _ => (0..of.len()).map(|place| (place / per_class.max(1)) as u32).collect(),
        }
    }

    fn origin(&self, gpu: &Gpu) -> Origin {
        // What is drawn from is the test part in tests, and the training part in training.
        let parts = [Some(&self.set), None, Some(&self.set)];
        let arrays = Arc::new(DeviceArrays::new(gpu, &self.model, parts).unwrap());
        Origin::Arrays { arrays, part: SplitPart::Test, queries: self.queries }
    }

    fn adaptation(&self, gpu: &Gpu, phase: Phase, tasks: usize) -> Adaptation {
        let (origin, batches) = (self.origin(gpu), self.batches.clone());
        let setup = AdaptationSetup::new(&self.model, origin, InnerRule::SGD, 0.02, batches);
        let setup = with(setup, |it| {
            it.phase = phase;
            it.seed = SEED;
            it.scored = self.queries > 0;
        });
        let mut adaptation = Adaptation::new(gpu, setup, tasks).unwrap();
        adaptation.start_from(&StartingPoint::new(self.model.initial(3))).unwrap();
        adaptation
    }

    fn training(&self, gpu: &Gpu) -> TrainerSetup {
        let (inner, outer) = (InnerSpec::sgd(0.03, 4, 5), OuterSpec::interpolation(0.4, 3));
        let origin = match self.origin(gpu) {
            Origin::Arrays { arrays, .. } => {
                Origin::Arrays { arrays, part: SplitPart::Train, queries: 0 }
            }
            _ => unreachable!("arrays"),
        };
        let setup = TrainerSetup::new(&self.model, origin, inner, outer, self.batches.clone());
        with(setup, |it| (it.seed, it.iterations) = (SEED, 10))
    }
}

fn drawn_examples_are_those_of_the_reference(Device { name, gpu, .. }: &Device) {
    for case in cases() {
        for phase in [Phase::Test, Phase::Train] {
            // More than there are in the list, so that it is gone through again.
            let (count, first) = (7, 2);
            let adaptation = case.adaptation(gpu, phase, count);
            adaptation.run(first).unwrap();
            let tasks = adaptation.tasks();
            let model = &case.model;
            let [support, queries] =
                [case.batches.support(), case.batches.way * case.queries].map(|it| it * count);
            let sets = [
                (support, case.batches.group, tasks.support_rows().unwrap()),
                (queries, case.queries, tasks.query_rows().unwrap()),
            ];
            let drawn: Vec<Drawn> =
                (0..count).map(|it| case.task(phase, 0, (first + it) as u32)).collect();
            for (which, (rows, per_class, [x, y])) in sets.into_iter().enumerate() {
                if rows == 0 {
                    continue;
                }
                let what = format!("{}, {phase:?}, set {which}, {name}", case.name);
                let numbers = |it: &Drawn| [&it.support, &it.query][which].clone();
                let own: Vec<u32> = drawn.iter().flat_map(numbers).collect();
                assert_eq!(own.len(), rows, "{what}");
                let got: Vec<f32> = gpu.read(x, 0, rows * model.inputs_padded()).unwrap();
                assert_eq!(got, model.pack_inputs(&case.x(&own)), "{what}");
                if model.loss() == Loss::CrossEntropy {
                    let wanted = drawn.iter().flat_map(|it| case.labels(&numbers(it), per_class));
                    let got: Vec<u32> = gpu.read(y, 0, rows).unwrap();
                    assert_eq!(got, wanted.collect::<Vec<_>>(), "{what}");
                } else {
                    let outputs = model.outputs();
                    let got: Vec<f32> = gpu.read(y, 0, rows * padded(outputs)).unwrap();
                    let got = got.chunks_exact(padded(outputs)).flat_map(|row| &row[..outputs]);
                    assert_eq!(got.copied().collect::<Vec<_>>(), case.values(&own), "{what}");
                }
            }
            let length = case.batches.order_len();
            let got: Vec<u32> = gpu.read(tasks.order(), 0, count * length).unwrap();
            let wanted: Vec<u32> = drawn.iter().flat_map(|it| it.order.clone()).collect();
            assert_eq!(got, wanted, "{}, {phase:?}, {name}", case.name);
        }
    }
}

/// Three meta-iterations with SGD and interpolation in float64.
fn in_float64(case: &Case, setup: &TrainerSetup) -> Vec<f64> {
    let model = &case.model;
    let meta_batch = setup.outer.meta_batch;
    let mut learner = reference::Learner::new(widen(&model.initial(SEED)), meta_batch);
    let without = Case { queries: 0, ..case.clone() };
    for iteration in 0..3 {
        let drawn: Vec<Drawn> = (0..meta_batch as u32)
            .map(|number| without.task(Phase::Train, iteration, number))
            .collect();
        let of = |task: &Drawn| {
            let group = case.batches.group;
            (
                widen(&case.x(&task.support)),
                widen(&case.values(&task.support)),
                case.labels(&task.support, group),
            )
        };
        let data: Vec<_> = drawn.iter().map(of).collect();
        let tasks: Vec<reference::Task<'_>> = drawn
            .iter()
            .zip(&data)
            .map(|(task, (x, values, labels))| reference::Task {
                x,
                targets: match model.loss() {
                    Loss::Mse => Targets::Values(values),
                    Loss::CrossEntropy => Targets::Labels(labels),
                },
                order: &task.order,
                batch: case.batches.batch,
                tail: case.batches.way * case.batches.tail,
            })
            .collect();
        let meta = meta(setup, u64::from(iteration));
        reference::meta_iteration(model, &mut learner, &meta, &tasks);
    }
    learner.theta
}

fn trainings_agree_with_float64(Device { name, gpu, .. }: &Device) {
    for case in cases() {
        let setup = case.training(gpu);
        let wanted = in_float64(&case, &setup);
        for plan in [PlanKind::Layered, PlanKind::Fused] {
            if plan == PlanKind::Fused && !case.model.is_mlp() {
                continue;
            }
            let setup = with(setup.clone(), |it| it.plan = plan);
            let mut trainer = Trainer::new(gpu, setup).unwrap();
            trainer.advance(3, |_| true).unwrap();
            let got = &trainer.snapshot().unwrap().parameters[0];
            assert_close(&format!("{}, {plan:?}, {name}", case.name), got, &wanted, 3e-5);
        }
    }
}

/// Devices with small bindings beside the same ones as they are.
fn parts_cut_into_pieces_have_the_same_bytes(entry: &AdapterEntry) {
    let model = network(11, &[(8, Activation::Tanh)], 3, Loss::CrossEntropy);
    let labels = |rows| ArrayTargets::Labels(integers(3, rows, 3));
    for (y, batches) in [
        (&labels as &dyn Fn(usize) -> ArrayTargets, Batches::new([1, 40], 4, 3)),
        (&|_| ArrayTargets::Classes, Batches::new([3, 15], 4, 3)),
    ] {
        // 1,200 examples of 48 bytes.
        let set = examples(&model, y, &[60; 20]);
        let case = Case { name: "pieces", model: model.clone(), set, batches, queries: 0 };
        let parameters = |binding: Option<u64>| {
            let gpu = with_binding(entry, binding);
            let setup = case.training(&gpu);
            let mut trainer = Trainer::new(&gpu, setup).unwrap();
            trainer.advance(3, |_| true).unwrap();
            trainer.snapshot().unwrap().parameters
        };
        assert_eq!(parameters(Some(24_000)), parameters(None), "{}", entry.info.name);
    }
}

fn what_has_too_little_is_refused(Device { gpu, .. }: &Device) {
    let cases = cases();
    let (list, classes) = (&cases[0], &cases[4]);
    let refused = |case: &Case, change: &dyn Fn(&mut Batches), queries| {
        let mut case = case.clone();
        change(&mut case.batches);
        case.queries = queries;
        let (origin, batches) = (case.origin(gpu), case.batches.clone());
        let setup = AdaptationSetup::new(&case.model, origin, InnerRule::SGD, 0.02, batches);
        Adaptation::new(gpu, with(setup, |it| it.scored = true), 2).unwrap_err().to_string()
    };
    for (text, part) in [
        (refused(list, &|it| it.group = 9, 1), "needs 10 examples of a task, but one has only 9"),
        (refused(list, &|it| it.way = 2, 1), "tasks of a list are one group"),
        (refused(classes, &|it| it.group = 8, 1), "needs 9 examples of a class"),
        (refused(classes, &|it| it.way = 7, 1), "3 units for 7 classes"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let arrays = DeviceArrays::new(gpu, &list.model, [Some(&list.set), None, None]).unwrap();
    let origin = Origin::Arrays { arrays: Arc::new(arrays), part: SplitPart::Test, queries: 1 };
    let batches = list.batches.clone();
    let setup = AdaptationSetup::new(&list.model, origin, InnerRule::SGD, 0.02, batches);
    let text = Adaptation::new(gpu, setup, 2).unwrap_err().to_string();
    assert!(text.contains("no test part"), "{text}");
    let mixed = [Some(&list.set), None, Some(&classes.set)];
    let text = DeviceArrays::new(gpu, &list.model, mixed).unwrap_err().to_string();
    assert!(text.contains("give the same in both"), "{text}");
}
