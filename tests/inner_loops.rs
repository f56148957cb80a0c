//! Whole inner loops in every plan, on every device, against float64.

mod common;

use std::sync::Arc;

use common::forms::{any_classifier, any_network};
use common::{
    assert_close, assert_close_from, devices, for_random, integers, network, numbers, widen,
};
use proptest::prelude::*;
use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, DeviceImages, Origin, PlanKind, StartingPoint, TaskBuffers,
};
use reptile::model::{Activation, LayerSpec, Loss, Model, ModelSpec, Padding};
use reptile::reference::glyphs::{GlyphFamily, glyph};
use reptile::reference::network::{Targets, forward};
use reptile::reference::optimizer::{InnerOptimizer, OptimizerState};
use reptile::reference::reptile::{Inner, Task, inner_loop};
use reptile::reference::sampling::{Pool, episode, order};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{
    Batches, Bits, EpisodeSpec, GlyphsSpec, ImageClass, ImageSet, Split, SplitClass, SplitPart,
    Variation,
};

const ALL: [&str; 4] = ["plain", "baseline", "checked", "rolled"];
const FAST: [&str; 2] = ["plain", "baseline"];

/// What tasks are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Rows of numbers with their minibatches, uploaded.
    Arrays,
    /// Glyphs of this side, drawn on the device.
    Glyphs { side: usize },
    /// Episodes over images of this side in device memory.
    Images { side: usize, channels: usize, bits: Bits },
}

/// An adaptation of some tasks.
#[derive(Clone, Debug)]
struct Case {
    model: Model,
    kind: Kind,
    transductive: bool,
    adam: Option<f32>,
    weight_decay: f32,
    tasks: usize,
    /// Support examples of a task; of a class, where there are classes.
    support: usize,
    /// Queries likewise.
    queries: usize,
    steps: usize,
    batch: usize,
    seed: u64,
}

/// The examples of all tasks and the order of their minibatches, one task after another.
struct Data {
    /// `[T, N, in]`
    x: Vec<f32>,
    values: Vec<f32>,
    labels: Vec<u32>,
    /// `[T, K · B]`
    order: Vec<u32>,
    /// `[T, Q, in]`
    query: Vec<f32>,
}

impl Case {
    /// Behind a batch-norm, the gradient by a bias or by the weights of an input that never changes is zero but
    /// for rounding, of which Adam with a small ε would make whole steps.
    const EPSILON: f32 = 1e-4;

    fn rule(&self) -> InnerRule {
        self.adam.map_or(InnerRule::Sgd, |beta1| InnerRule::Adam {
            beta1,
            beta2: 0.999,
            epsilon: Self::EPSILON,
        })
    }

    fn rate(&self) -> f32 {
        if self.adam.is_some() { 0.002 } else { 0.03 }
    }

    /// Classes that examples are grouped by.
    fn way(&self) -> usize {
        if self.kind == Kind::Arrays { 1 } else { self.model.outputs() }
    }

    /// Examples of a task: support, queries.
    fn counts(&self) -> [usize; 2] {
        [self.support, self.queries].map(|count| self.way() * count)
    }

    fn batches(&self) -> Batches {
        Batches {
            way: self.way(),
            group: self.support,
            tail: 0,
            steps: self.steps,
            batch: self.batch,
            replacement: false,
        }
    }

    fn glyphs(&self, size: usize) -> GlyphsSpec {
        let (way, shots, queries) = (self.way(), self.support, self.queries);
        let episodes = EpisodeSpec { way, shots, train_shots: shots, queries };
        GlyphsSpec { episodes, size, variation: Variation::default() }
    }

    /// Random images of as many classes as a task has and two more, each in one part.
    fn images(&self) -> Split {
        let Kind::Images { side, channels, bits } = self.kind else { panic!("no images") };
        let mut classes = Vec::new();
        let mut images = 0;
        for n in 0..self.way() + 2 {
            let own = self.support + self.queries + n % 3;
            classes.push(ImageClass {
                name: n.to_string(),
                first_image: images,
                images: own as u32,
            });
            images += own as u32;
        }
        let part = |rotation| -> Vec<SplitClass> {
            (0..classes.len()).map(|class| SplitClass { class, rotation }).collect()
        };
        let (train, test) = (part(0), part(3));
        let mut set = ImageSet {
            width: side,
            height: side,
            channels,
            bits,
            words: Vec::new(),
            classes,
            files: Vec::new(),
        };
        set.words = integers(self.seed, images as usize * set.words_per_image(), usize::MAX >> 32);
        Split { images: set, train, val: Vec::new(), test }
    }

    fn origin(&self, gpu: &Gpu) -> Origin {
        let queries = self.queries;
        match self.kind {
            Kind::Arrays => Origin::Rows { queries, ordered: true },
            Kind::Glyphs { side } => Origin::Glyphs(self.glyphs(side)),
            Kind::Images { .. } => Origin::Episodes {
                images: Arc::new(DeviceImages::new(gpu, &self.images()).unwrap()),
                part: SplitPart::Test,
                queries,
            },
        }
    }

    /// The tasks: those that are uploaded, or as the samplers' twins draw them. Glyphs, whose edges depend on
    /// rounding, are taken from `drawn` on the device, once they are seen to be near to their twins.
    fn data(&self, gpu: &Gpu, drawn: &TaskBuffers) -> Data {
        let counts = self.counts();
        if self.kind == Kind::Arrays {
            let [inputs, outputs] = [self.model.inputs(), self.model.outputs()];
            let [support, queries] = counts.map(|count| self.tasks * count);
            return Data {
                x: numbers(self.seed, support * inputs),
                values: numbers(self.seed + 1, support * outputs),
                labels: integers(self.seed + 1, support, outputs),
                order: integers(self.seed + 2, self.tasks * self.steps * self.batch, counts[0]),
                query: numbers(self.seed + 3, queries * inputs),
            };
        }
        let mut data =
            Data { x: vec![], values: vec![], labels: vec![], order: vec![], query: vec![] };
        for task in 0..self.tasks {
            let stream = Stream::new(self.seed, Phase::Test, 0, task as u32);
            let pool = Pool { way: self.way(), group: self.support, tail: 0 };
            data.order.extend(order(&stream, pool, self.steps, self.batch, false));
            data.labels.extend((0..counts[0]).map(|example| (example / self.support) as u32));
            match self.kind {
                Kind::Glyphs { side } => {
                    let [x, query] = [&mut data.x, &mut data.query];
                    x.extend(self.drawn_glyphs(side, &stream, 0..self.support));
                    query.extend(self.drawn_glyphs(
                        side,
                        &stream,
                        self.support..self.support + self.queries,
                    ));
                }
                _ => {
                    let [support, query] = self.drawn_images(&stream);
                    data.x.extend(support);
                    data.query.extend(query);
                }
            }
        }
        if let Kind::Glyphs { .. } = self.kind {
            let sets = [drawn.support_rows().unwrap()[0], drawn.query_rows().unwrap()[0]];
            for (own, buffer) in [&mut data.x, &mut data.query].into_iter().zip(sets) {
                let rows = own.len() / self.model.inputs();
                let floats = gpu.read(buffer, 0, rows * self.model.inputs_padded()).unwrap();
                let images = self.model.unpack_inputs(&floats);
                assert_eq!(self.model.pack_inputs(&images), floats, "the padding is zero");
                // Of black on white; an edge is a quarter of a pixel.
                assert_close("glyphs", &images, &widen(own), 2e-4);
                *own = images;
            }
        }
        data
    }

    /// Examples `which` of each class of a task.
    fn drawn_glyphs(
        &self,
        side: usize,
        stream: &Stream,
        which: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let Variation { jitter, rotation, scale, shear, shift, width } = Variation::default();
        let family = GlyphFamily { jitter, rotation, scale, shear, shift, width };
        let one = |class: usize, example: usize| {
            glyph(stream, &family, [class as u32, example as u32], side)
        };
        (0..self.way())
            .flat_map(|class| which.clone().flat_map(move |example| one(class, example)))
            .map(|pixel| pixel as f32)
            .collect()
    }

    /// Support and query images of a task.
    fn drawn_images(&self, stream: &Stream) -> [Vec<f32>; 2] {
        let split = self.images();
        let (set, classes) = (&split.images, split.classes(SplitPart::Test));
        let class = |number: u32| classes[number as usize];
        let images = |number: u32| set.classes[class(number).class].images;
        let [way, shots, queries] =
            [self.way(), self.support, self.queries].map(|count| count as u32);
        let drawn = episode(stream, classes.len() as u32, &images, way, shots, queries);
        [drawn.support, drawn.query].map(|examples| {
            let pixels = |(number, image): &(u32, u32)| -> Vec<f32> {
                let SplitClass { class, rotation } = class(*number);
                let image = (set.classes[class].first_image + image) as usize;
                (0..set.pixels()).map(|pixel| set.pixel(image, rotation, pixel)).collect()
            };
            examples.iter().flat_map(pixels).collect()
        })
    }
}

/// Parameters, support losses and query outputs of all tasks, one after another.
struct Results<T> {
    parameters: Vec<T>,
    losses: Vec<T>,
    outputs: Vec<T>,
}

/// What `plan` makes of the tasks, and the tasks; nothing if it cannot take them.
fn on_device(gpu: &Gpu, case: &Case, plan: PlanKind) -> Option<(Results<f32>, Data)> {
    let model = &case.model;
    let setup = AdaptationSetup {
        model: model.clone(),
        rule: case.rule(),
        rate: case.rate(),
        weight_decay: case.weight_decay,
        plan,
        batches: case.batches(),
        origin: case.origin(gpu),
        phase: Phase::Test,
        seed: case.seed,
        scored: false,
        transductive: vec![case.transductive],
    };
    let mut adaptation = match Adaptation::new(gpu, setup, case.tasks) {
        Ok(adaptation) => adaptation,
        Err(error) if plan == PlanKind::Fused && error.to_string().contains("plan") => return None,
        Err(error) => panic!("{error}"),
    };
    adaptation.start_from(&StartingPoint {
        parameters: model.initial(case.seed),
        state: [None, None],
        adam_steps: 0,
        rates: None,
        sums: None,
    });
    if case.kind == Kind::Arrays {
        let tasks = adaptation.tasks();
        let data = case.data(gpu, tasks);
        tasks.upload_support_x(gpu, model, &data.x);
        match case.model.loss() {
            Loss::Mse => tasks.upload_support_values(gpu, model, &data.values),
            Loss::CrossEntropy => tasks.upload_support_labels(gpu, &data.labels),
        }
        tasks.upload_order(gpu, &data.order);
        tasks.upload_query_x(gpu, model, &data.query);
    }
    adaptation.run(0).unwrap();
    let [_, outputs] = adaptation.query_outputs().unwrap();
    let results = Results {
        parameters: adaptation.adapted().unwrap().concat(),
        losses: adaptation.support_losses().unwrap(),
        outputs: outputs.unwrap(),
    };
    Some((results, case.data(gpu, adaptation.tasks())))
}

/// The predictions of one task's queries, in one batch or each in one with the support set.
fn predictions(case: &Case, parameters: &[f64], support: &[f64], query: &[f64]) -> Vec<f64> {
    let (model, outputs) = (&case.model, case.model.outputs());
    if case.transductive || !model.has_batch_statistics() {
        return forward(model, parameters, query);
    }
    let alone = |query: &[f64]| {
        let rows = forward(model, parameters, &[support, query].concat());
        rows[rows.len() - outputs..].to_vec()
    };
    query.chunks_exact(model.inputs()).flat_map(alone).collect()
}

fn in_float64(case: &Case, data: &Data) -> Results<f64> {
    let model = &case.model;
    let theta = widen(&model.initial(case.seed));
    let optimizer = case.adam.map_or(InnerOptimizer::Sgd, |beta1| InnerOptimizer::Adam {
        beta1: beta1.to_string().parse().unwrap(),
        beta2: 0.999,
        epsilon: f64::from(Case::EPSILON),
    });
    let inner = Inner {
        optimizer,
        rate: f64::from(case.rate()),
        weight_decay: f64::from(case.weight_decay),
    };
    let (x, values, query) = (widen(&data.x), widen(&data.values), widen(&data.query));
    let [support, queries] = case.counts();
    let mut results = Results { parameters: vec![], losses: vec![], outputs: vec![] };
    for task in 0..case.tasks {
        let own = |width: usize| task * support * width..(task + 1) * support * width;
        let targets = match case.model.loss() {
            Loss::Mse => Targets::Values(&values[own(case.model.outputs())]),
            Loss::CrossEntropy => Targets::Labels(&data.labels[own(1)]),
        };
        let steps = case.steps * case.batch;
        let task_data = Task {
            x: &x[own(case.model.inputs())],
            targets,
            order: &data.order[task * steps..(task + 1) * steps],
            batch: case.batch,
            tail: 0,
        };
        let state = OptimizerState::zeros(theta.len());
        let adapted = inner_loop(model, &theta, state, inner, &task_data);
        let width = queries * case.model.inputs();
        let query = &query[task * width..][..width];
        let outputs = predictions(case, &adapted.parameters, task_data.x, query);
        results.parameters.extend(adapted.parameters);
        results.losses.extend(adapted.losses);
        results.outputs.extend(outputs);
    }
    results
}

/// Compares both plans with float64, and with each other, on every device in `modes`; the fused one must run
/// where it fits.
fn check(case: &Case, modes: &[&str], fused_fits: bool) {
    for device in devices().iter().filter(|device| modes.contains(&device.mode)) {
        let mut layered = None;
        for plan in [PlanKind::Layered, PlanKind::Fused] {
            let Some((got, data)) = on_device(&device.gpu, case, plan) else {
                assert!(!fused_fits, "{}: the fused plan must take {case:?}", device.name);
                continue;
            };
            let wanted = in_float64(case, &data);
            let what = |part: &str| format!("{part}, {plan:?}, {}, {case:?}", device.name);
            assert_close(&what("parameters"), &got.parameters, &wanted.parameters, 3e-5);
            // Logits near zero are differences of larger numbers.
            let close = |part, got: &[f32], wanted: &[f64]| {
                assert_close_from(&what(part), got, wanted, 3e-5, 0.1);
            };
            close("support losses", &got.losses, &wanted.losses);
            close("query outputs", &got.outputs, &wanted.outputs);
            let first = layered.get_or_insert_with(|| widen(&got.outputs));
            close("query outputs of both plans", &got.outputs, first);
        }
    }
}

/// Networks of every form for tasks of every kind.
fn case() -> impl Strategy<Value = Case> {
    let side = 1..10_usize;
    let of_arrays = any_network().prop_map(|model| (model, Kind::Arrays));
    let of_glyphs = (3..10_usize, 2..6_usize).prop_flat_map(|(side, way)| {
        any_classifier(1, side, way).prop_map(move |model| (model, Kind::Glyphs { side }))
    });
    let bits = prop_oneof![Just(Bits::One), Just(Bits::Eight)];
    let of_images = (side, 2..6_usize, prop_oneof![Just(1_usize), Just(3)], bits).prop_flat_map(
        |(side, way, channels, bits)| {
            any_classifier(channels, side, way)
                .prop_map(move |model| (model, Kind::Images { side, channels, bits }))
        },
    );
    let of = prop_oneof![3 => of_arrays, 2 => of_glyphs, 2 => of_images];
    let learner = (
        prop_oneof![2 => Just(None), 1 => Just(Some(0.0_f32)), 1 => Just(Some(0.9_f32))],
        prop_oneof![Just(1.0_f32), Just(0.99_f32)],
        any::<bool>(),
    );
    let sizes = (1..6_usize, 1..9_usize, 1..4_usize, 1..6_usize, 1..14_usize);
    (of, learner, sizes, 0..1000_u64).prop_map(|((model, kind), learner, sizes, seed)| {
        let (adam, weight_decay, transductive) = learner;
        let (tasks, support, queries, steps, batch) = sizes;
        Case {
            model,
            kind,
            transductive,
            adam,
            weight_decay,
            tasks,
            support,
            queries,
            steps,
            batch,
            seed,
        }
    })
}

#[test]
fn networks_of_every_form_agree_with_float64_in_both_plans() {
    for_random(20, case(), |case| check(case, &FAST, false));
}

/// The long run (`make test-all`).
#[test]
#[ignore = "takes minutes: make test-all"]
fn two_hundred_networks_of_every_form_agree_with_float64_in_both_plans() {
    for_random(200, case(), |case| check(case, &FAST, false));
}

/// What once stayed in the layout of images, and kernels for rows read it all the same.
#[test]
fn flattened_images_are_rows_to_the_fused_plan() {
    let image = || ModelSpec::builder(&[3, 5, 5]).loss(Loss::CrossEntropy);
    let dense = |spec: ModelSpec, units| {
        Model::new(spec.dense(units, Activation::Relu).dense(3, Activation::Linear)).unwrap()
    };
    let flatten = |spec: ModelSpec| spec.layer(LayerSpec::Flatten);
    let images = Kind::Images { side: 5, channels: 3, bits: Bits::Eight };
    let case = |model, kind| Case { model, kind, support: 2, batch: 4, steps: 5, ..sine_case() };
    for (model, kind, fused_fits) in [
        (dense(flatten(image()), 16), Kind::Arrays, true),
        (dense(flatten(flatten(image())), 30), Kind::Arrays, true),
        (dense(flatten(flatten(image())), 30), images, false),
        (
            dense(flatten(ModelSpec::builder(&[1, 10, 10]).loss(Loss::CrossEntropy)), 16),
            Kind::Glyphs { side: 10 },
            true,
        ),
        (dense(flatten(image().activation(Activation::Tanh)), 8), Kind::Arrays, false),
        (dense(image().max_pool(2, Padding::SAME), 8), images, false),
    ] {
        check(&case(model, kind), &FAST, fused_fits);
    }
}

/// The sine network of the paper's authors, 32 steps.
fn sine_case() -> Case {
    Case {
        model: network(1, &[(64, Activation::Tanh), (64, Activation::Tanh)], 1, Loss::Mse),
        kind: Kind::Arrays,
        transductive: false,
        adam: None,
        weight_decay: 1.0,
        tasks: 3,
        support: 10,
        queries: 5,
        steps: 32,
        batch: 10,
        seed: 5,
    }
}

#[test]
fn the_fused_plan_takes_the_sine_network_on_every_device() {
    check(&sine_case(), &ALL, true);
}

#[test]
fn fused_and_layered_agree_to_one_part_in_100000_after_32_steps() {
    let case = sine_case();
    for device in devices().iter() {
        let (layered, _) = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
        let (fused, _) = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
        let what = format!("fused against layered, {}", device.name);
        assert_close(&what, &fused.parameters, &widen(&layered.parameters), 1e-5);
    }
}

#[test]
fn wide_narrow_and_linear_networks_and_large_batches_agree_with_float64() {
    let case = |inputs, hidden: &[_], outputs| Case {
        model: network(inputs, hidden, outputs, Loss::Mse),
        steps: 4,
        ..sine_case()
    };
    check(&case(1, &[(128, Activation::Relu)], 1), &ALL, true);
    check(&case(1, &[(20, Activation::Tanh)], 1), &ALL, true);
    check(&case(9, &[], 3), &ALL, true);
    let hidden = [(40, Activation::Relu), (30, Activation::Tanh)];
    let large = Case {
        model: network(50, &hidden, 10, Loss::CrossEntropy),
        support: 120,
        batch: 100,
        steps: 3,
        ..sine_case()
    };
    check(&large, &FAST, false);
}

/// Some drivers end loops after 65,535 rounds: long inner loops are cut into several dispatches.
#[test]
fn long_inner_loops_agree_in_both_plans() {
    let case = Case { steps: 4000, tasks: 1, batch: 2, weight_decay: 0.999, ..sine_case() };
    for device in devices().iter().filter(|device| FAST.contains(&device.mode)) {
        let (layered, _) = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
        let (fused, _) = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
        let what = format!("fused against layered, {}", device.name);
        assert_close(&what, &fused.parameters, &widen(&layered.parameters), 2e-3);
        assert_close(&what, &fused.losses[..64], &widen(&layered.losses[..64]), 1e-4);
        assert!(fused.losses[case.steps - 1] != 0.0, "the last step was done, {what}");
    }
}
