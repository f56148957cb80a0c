use proptest::prelude::*;

use super::*;
use crate::float64::numbers;
use crate::model::{Activation, Loss, ModelSpec};
use crate::optimizers::{InnerOptimizer, Settings};
use crate::reference::network::{forward, loss};
use crate::reference::sampling::{Pool, order};
use crate::rng::{Phase, Stream};

const SGD: optimizers::Inner = optimizers::Inner::SGD;
const ADAM: optimizers::Inner = optimizers::Inner::new(
    InnerOptimizer::Adam,
    Settings { beta1: 0.3, beta2: 0.9, epsilon: 1e-3, ..Settings::DEFAULT },
);

fn model() -> Model {
    let spec = ModelSpec::builder(&[3]).dense(5, Activation::Tanh).dense(2, Activation::Linear);
    Model::new(spec.loss(Loss::Mse)).unwrap()
}

fn meta(optimizer: optimizers::Inner) -> Meta {
    Meta {
        algorithm: Algorithm::Reptile,
        inner: Inner { optimizer, rate: 0.1, weight_decay: 1.0 },
        policy: StatePolicy::Mean,
        outer: Outer::INTERPOLATION,
        outer_rate: 0.25,
    }
}

/// Three regression tasks of 8 examples for [`model`], with minibatches of 4.
struct Tasks {
    x: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
    order: Vec<Vec<u32>>,
    tail: usize,
}

impl Tasks {
    fn new(seed: u64, steps: usize, tail_shots: usize) -> Self {
        let pool = Pool { way: 2, group: 4, tail: tail_shots };
        let stream = |task| Stream::new(seed, Phase::Train, 0, task);
        Self {
            x: (0..3).map(|task| numbers(seed + task, 8 * 3)).collect(),
            y: (10..13).map(|task| numbers(seed + task, 8 * 2)).collect(),
            order: (0..3).map(|task| order(&stream(task), pool, steps, 4, false)).collect(),
            tail: 2 * tail_shots,
        }
    }

    fn all(&self) -> Vec<Task<'_>> {
        let arrays = self.x.iter().zip(&self.y).zip(&self.order);
        arrays
            .map(|((x, y), order)| Task {
                x,
                targets: Targets::Values(y),
                order,
                batch: 4,
                tail: self.tail,
            })
            .collect()
    }
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let share = (a - b).abs() / (1e-12 * (1.0 + b.abs()));
        assert!(share < 1.0, "{a} against {b}: error is {share:.2} of the tolerance");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn one_sgd_step_with_interpolation_is_joint_training(seed in 0..u64::MAX / 2) {
        let (model, meta, tasks) = (model(), meta(SGD), Tasks::new(seed, 1, 0));
        let theta = numbers(seed, model.parameter_count());
        let mut learner = Learner::new(theta.clone(), 3);
        meta_iteration(&model, &mut learner, &meta, &tasks.all());

        let (mut x, mut y) = (Vec::new(), Vec::new());
        for task in 0..3 {
            x.extend(gather_rows(&tasks.x[task], 3, &tasks.order[task]));
            y.extend(gather_rows(&tasks.y[task], 2, &tasks.order[task]));
        }
        let (_, gradient) = loss_and_gradient(&model, &theta, &x, Targets::Values(&y));
        let rate = meta.outer_rate * meta.inner.rate;
        let joint: Vec<f64> = theta.iter().zip(gradient).map(|(t, g)| t - rate * g).collect();
        close(&learner.theta, &joint);
    }
}

#[test]
fn fomaml_is_reptile_at_one_step_and_the_last_step_at_more() {
    let model = model();
    let theta = numbers(1, model.parameter_count());
    let train = |algorithm, steps| {
        let mut meta = Meta { algorithm, ..meta(ADAM) };
        meta.inner.weight_decay = 0.9;
        let mut learner = Learner::new(theta.clone(), 3);
        meta_iteration(&model, &mut learner, &meta, &Tasks::new(2, steps, 0).all());
        learner.theta
    };
    assert_eq!(train(Algorithm::Fomaml, 1), train(Algorithm::Reptile, 1));
    let (three, two) = (train(Algorithm::Reptile, 3), train(Algorithm::Reptile, 2));
    let last: Vec<f64> =
        theta.iter().zip(three).zip(two).map(|((theta, three), two)| theta + three - two).collect();
    close(&train(Algorithm::Fomaml, 3), &last);
}

#[test]
fn the_last_step_of_a_tail_sees_the_held_out_examples_alone() {
    let (model, inner, tasks) = (model(), meta(SGD).inner, Tasks::new(3, 3, 1));
    let task = tasks.all()[0];
    let theta = numbers(3, model.parameter_count());
    let state = OptimizerState::zeros(theta.len());
    let adapted = inner_loop(&model, &theta, state.clone(), inner, &task);
    assert_eq!(adapted.losses.len(), 3);

    let ordinary = Task { order: &task.order[..8], tail: 0, ..task };
    assert_eq!(inner_loop(&model, &theta, state, inner, &ordinary).parameters, adapted.before_last);
    let (x, y) = (gather_rows(task.x, 3, &[3, 7]), gather_rows(&tasks.y[0], 2, &[3, 7]));
    let (loss, gradient) = loss_and_gradient(&model, &adapted.before_last, &x, Targets::Values(&y));
    assert_eq!(loss, adapted.losses[2]);
    let moved = adapted.before_last.iter().zip(gradient).map(|(p, g)| p - inner.rate * g);
    close(&adapted.parameters, &moved.collect::<Vec<_>>());
}

#[test]
fn weight_decay_comes_before_the_loss() {
    let (model, tasks) = (model(), Tasks::new(4, 1, 0));
    let task = tasks.all()[0];
    let theta = numbers(4, model.parameter_count());
    let state = OptimizerState::zeros(theta.len());
    let inner = Inner { optimizer: SGD, rate: 0.0, weight_decay: 0.5 };
    let adapted = inner_loop(&model, &theta, state, inner, &task);
    let halved: Vec<f64> = theta.iter().map(|p| 0.5 * p).collect();
    assert_eq!(adapted.parameters, halved);
    assert_eq!(adapted.before_last, theta);
    let (x, y) = (gather_rows(task.x, 3, task.order), gather_rows(&tasks.y[0], 2, task.order));
    assert_eq!(adapted.losses, [loss(&model, &forward(&model, &halved, &x), Targets::Values(&y))]);
}

#[test]
fn policies_differ_in_where_the_second_iteration_starts() {
    let (model, tasks) = (model(), Tasks::new(5, 2, 0));
    let after_one = |policy| {
        let mut learner = Learner::new(numbers(5, model.parameter_count()), 3);
        let meta = Meta { policy, ..meta(ADAM) };
        let adapted = meta_iteration(&model, &mut learner, &meta, &tasks.all());
        (learner, adapted.into_iter().map(|task| task.state).collect::<Vec<_>>())
    };
    let (mean, states) = after_one(StatePolicy::Mean);
    assert_eq!(mean.inner, vec![OptimizerState::mean(&states); 3]);
    assert_eq!(mean.inner[0].steps, 2);
    let (slot, states) = after_one(StatePolicy::Slot);
    assert_eq!(slot.inner, states);
    assert_ne!(slot.inner[0], slot.inner[1]);
    assert_eq!(OptimizerState::mean(&slot.inner), mean.inner[0]);
    let (reset, _) = after_one(StatePolicy::Reset);
    assert_eq!(reset.inner, vec![OptimizerState::zeros(model.parameter_count()); 3]);
}

#[test]
fn labels_follow_their_examples() {
    let spec = ModelSpec::builder(&[2]).dense(3, Activation::Linear).loss(Loss::CrossEntropy);
    let model = Model::new(spec).unwrap();
    let (x, order) = (numbers(6, 8), [3, 1]);
    let task =
        Task { x: &x, targets: Targets::Labels(&[0, 1, 2, 2]), order: &order, batch: 2, tail: 0 };
    let theta = numbers(7, model.parameter_count());
    let state = OptimizerState::zeros(theta.len());
    let adapted = inner_loop(&model, &theta, state, meta(SGD).inner, &task);
    let rows = [x[6], x[7], x[2], x[3]];
    let expected = loss(&model, &forward(&model, &theta, &rows), Targets::Labels(&[2, 1]));
    assert_eq!(adapted.losses, [expected]);
}

#[test]
fn training_lowers_the_loss_after_adaptation() {
    let model = model();
    let mut learner = Learner::new(numbers(8, model.parameter_count()), 3);
    let tasks = Tasks::new(9, 6, 0);
    let meta = meta(SGD);
    let last = |adapted: Vec<Adapted>| adapted.iter().map(|task| task.losses[5]).sum::<f64>();
    let before = last(meta_iteration(&model, &mut learner, &meta, &tasks.all()));
    for _ in 0..100 {
        meta_iteration(&model, &mut learner, &meta, &tasks.all());
    }
    let after = last(meta_iteration(&model, &mut learner, &meta, &tasks.all()));
    assert!(after < 0.8 * before, "{before} to {after}");
}
