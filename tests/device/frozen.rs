//! Layers that are kept as they start: exactly, whatever trains the others, and the others as in float64.

use reptile::meta::{
    InnerSpec, OuterOptimizer, OuterSpec, PlanKind, StrategyKind, Trainer, TrainerSetup,
};
use reptile::model::{Activation, LayerSpec, Loss, Model, ModelSpec, Padding};
use reptile::optimizers::InnerOptimizer;
use reptile::reference::network::Targets;
use reptile::reference::reptile as reference;
use reptile::reference::sampling::{OwnRandom, Pool, order};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Batches, TaskFunctions};

use crate::common::{assert_close, widen, with};
use crate::harness::{Device, On, Tests, named};
use crate::trainer::meta;

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(frozen_layers_stay_and_the_others_agree_with_float64));
    tests.on(On::FIRST, named!(what_cannot_be_frozen_is_refused));
}

const SEED: u64 = 21;

/// Labels by the largest of four numbers, as images of 2 × 2.
const LARGEST: &str = "
    struct Task { turn: u32 }
    fn draw_task(random: ptr<function, Random>) -> Task { return Task(below(random, 4u)); }
    fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> u32 {
        let label = below(random, 3u);
        for (var i = 0u; i < INPUTS; i++) {
            (*x)[i] = 0.5 * uniform(random);
        }
        (*x)[(label + task.turn) % INPUTS] += 1.0;
        return label;
    }";

/// A body whose layers are frozen, and a head of two.
fn networks() -> [Model; 2] {
    let dense = |units, activation| LayerSpec::from(reptile::layers::Dense::new(units, activation));
    let spec = ModelSpec::builder(&[4]).loss(Loss::CrossEntropy);
    let rows = spec.layer(dense(7, Activation::Tanh).frozen());
    let rows = rows.layer(dense(6, Activation::Relu).frozen());
    let rows = rows.dense(5, Activation::Tanh).dense(3, Activation::Linear);
    let spec = ModelSpec::builder(&[1, 2, 2]).loss(Loss::CrossEntropy);
    let spec = spec.conv2d(5, 3, 1, Padding::SAME).batch_norm(Activation::Tanh);
    let frozen: Vec<_> = spec.layers.iter().cloned().map(LayerSpec::frozen).collect();
    let images = with(spec, |spec| spec.layers = frozen);
    let images = images.conv2d(6, 3, 1, Padding::SAME).batch_norm(Activation::Relu);
    [rows, images.dense(3, Activation::Linear)].map(|spec| Model::new(spec).unwrap())
}

fn setup(model: &Model) -> TrainerSetup {
    let functions = TaskFunctions::new("largest", LARGEST);
    let (inner, outer) = (InnerSpec::sgd(0.05, 4, 4), OuterSpec::interpolation(0.5, 3));
    let setup = TrainerSetup::new(model, functions, inner, outer, Batches::new([1, 9], 4, 4));
    with(setup, |it| {
        (it.seed, it.iterations, it.inner.weight_decay) = (SEED, 10, 0.99);
    })
}

/// Inputs and labels of a task, and its minibatches.
fn drawn(setup: &TrainerSetup, iteration: u32, number: u32) -> (Vec<f64>, Vec<u32>, Vec<u32>) {
    let stream = Stream::new(SEED, Phase::Train, iteration, number);
    let Batches { group, steps, batch, .. } = setup.batches.clone();
    let order = order(&stream, Pool { way: 1, group, tail: 0 }, steps, batch, false);
    let turn = OwnRandom::of_task(&stream).below(4);
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for example in 0..group as u32 {
        let mut random = OwnRandom::of_example(&stream, example);
        let label = random.below(3);
        let mut own: Vec<f32> = (0..4).map(|_| 0.5 * random.uniform()).collect();
        own[((label + turn) % 4) as usize] += 1.0;
        x.extend(own);
        labels.push(label);
    }
    (widen(&x), labels, order)
}

fn in_float64(setup: &TrainerSetup) -> Vec<f64> {
    let (model, meta_batch) = (&setup.model, setup.outer.meta_batch);
    let mut learner = reference::Learner::new(widen(&model.initial(SEED)), meta_batch);
    for iteration in 0..3 {
        let drawn: Vec<_> =
            (0..meta_batch as u32).map(|number| drawn(setup, iteration, number)).collect();
        let tasks: Vec<_> = drawn
            .iter()
            .map(|(x, labels, order)| reference::Task {
                x,
                targets: Targets::Labels(labels),
                order,
                batch: setup.batches.batch,
                tail: 0,
            })
            .collect();
        let meta = meta(setup, u64::from(iteration));
        reference::meta_iteration(model, &mut learner, &meta, &tasks);
    }
    learner.theta
}

fn frozen_layers_stay_and_the_others_agree_with_float64(Device { name, gpu, .. }: &Device) {
    for model in networks() {
        let kept = model.frozen_parameters();
        assert!(!kept.is_empty() && kept.end < model.parameter_count());
        let sgd = setup(&model);
        let others = with(sgd.clone(), |it| {
            it.inner.optimizer = InnerOptimizer::Adam;
            it.outer.optimizer = OuterOptimizer::Adam;
            (it.inner.rate, it.outer.rate) = (0.01, 0.01);
        });
        for (what, setup) in [("sgd", &sgd), ("adam", &others)] {
            let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
            assert_eq!(trainer.plan(), PlanKind::Layered);
            trainer.advance(3, |_| true).unwrap();
            let got = &trainer.snapshot().unwrap().parameters[0];
            let start = model.initial(SEED);
            assert_eq!(got[kept.clone()], start[kept.clone()], "{what}, {name}");
            assert_ne!(got[kept.end..], start[kept.end..], "{what}, {name}");
            if what == "sgd" {
                let wanted = in_float64(setup);
                assert_close(&format!("{what}, {name}"), got, &wanted, 3e-5);
            }
        }
    }
}

fn what_cannot_be_frozen_is_refused(Device { gpu, .. }: &Device) {
    let [rows, _] = networks();
    let refused = |change: &dyn Fn(&mut TrainerSetup)| {
        let setup = with(setup(&rows), |it| change(it));
        Trainer::new(gpu, setup).unwrap_err().to_string()
    };
    let fused = refused(&|it| it.plan = PlanKind::Fused);
    assert!(fused.contains("frozen"), "{fused}");
    let learned = refused(&|it| {
        it.inner.weight_decay = 1.0;
        it.strategy.kind = StrategyKind::Aruba;
    });
    assert!(learned.contains("some are frozen"), "{learned}");
    let dense = |units| LayerSpec::from(reptile::layers::Dense::new(units, Activation::Linear));
    let spec = ModelSpec::builder(&[4]).loss(Loss::CrossEntropy);
    let middle = spec.clone().layer(dense(4)).layer(dense(4).frozen()).layer(dense(3));
    let text = Model::new(middle).unwrap_err().to_string();
    assert!(text.contains("dense2 is frozen, but dense1 before it is not"), "{text}");
    let all = spec.layer(dense(4).frozen()).layer(dense(3).frozen());
    let text = Model::new(all).unwrap_err().to_string();
    assert!(text.contains("every layer is frozen"), "{text}");
}
