//! The float64 reference against PyTorch.

use crate::common::{assert_close, widen, with};
use crate::golden::{BATCH, BETA2, EPSILON, Expected, Golden, OuterSteps, RATE, STEPS, Steps};
use crate::harness::{Tests, all, named};
use reptile::optimizers::{self, InnerOptimizer, OptimizerState, Settings};
use reptile::reference::network::{Targets, forward, loss_and_gradient};
use reptile::reference::reptile::{Inner, Task, inner_loop};

pub fn tests(tests: &mut Tests) {
    tests.alone(named!(omniglot_agrees_with_pytorch));
    tests.alone(named!(norms_and_optimizers_agree_with_pytorch));
    if all() {
        // It takes a minute.
        tests.alone(named!(mini_imagenet_agrees_with_pytorch));
    }
}

/// The files hold float32.
const TOLERANCE: f64 = 1e-6;

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn check(what: &str, got: &[f64], wanted: &[Expected]) {
    for expected in wanted {
        let what = format!("{what} of {}", expected.name);
        assert_close(&what, &narrow(&expected.pick(got)), &expected.values, TOLERANCE);
    }
}

fn agrees(golden: &Golden) {
    let (model, theta) = (&golden.model, widen(&golden.parameters));
    let (x, labels) = golden.minibatch(0);
    let logits = forward(model, &theta, &widen(x));
    assert_close("logits", &narrow(&logits), &golden.logits, TOLERANCE);
    let (_, gradient) = loss_and_gradient(model, &theta, &widen(x), Targets::Labels(labels));
    check("gradient", &gradient, &golden.gradient);

    let order: Vec<u32> = (0..(STEPS * BATCH) as u32).collect();
    let (x, targets) = (widen(&golden.x), Targets::Labels(&golden.labels));
    let task = Task { x: &x, targets, order: &order, batch: BATCH, tail: 0 };
    let steps = |optimizer: optimizers::Inner, rate, losses: &[f64], parameters: &[Expected]| {
        let what = optimizer.optimizer.name();
        let inner = Inner { optimizer, rate: f64::from(rate), weight_decay: 1.0 };
        let adapted = inner_loop(model, &theta, OptimizerState::zeros(theta.len()), inner, &task);
        assert_close(&format!("losses, {what}"), &narrow(&adapted.losses), losses, TOLERANCE);
        check(what, &adapted.parameters, parameters);
    };
    let settings = with(Settings::DEFAULT, |it| (it.beta2, it.epsilon) = (BETA2, EPSILON));
    let adam = optimizers::Inner::new(InnerOptimizer::Adam, settings);
    steps(adam, RATE, &golden.losses, &golden.adam);
    for Steps { rule, rate, losses, parameters } in &golden.others {
        steps(*rule, *rate, losses, parameters);
    }
}

fn norms_and_optimizers_agree_with_pytorch() {
    let golden = Golden::norms();
    assert_eq!(golden.others.len(), 5, "sgd, momentum in two forms, rmsprop, adamw");
    agrees(&golden);
    for OuterSteps { rule, rate, start, deltas, end } in OuterSteps::all() {
        let (mut theta, mut state) = (widen(&start), OptimizerState::zeros(start.len()));
        for delta in &deltas {
            rule.step(f64::from(rate), &mut theta, delta, &mut state);
        }
        assert_close(rule.optimizer.name(), &narrow(&theta), &end, TOLERANCE);
    }
}

fn omniglot_agrees_with_pytorch() {
    agrees(&Golden::omniglot());
}

fn mini_imagenet_agrees_with_pytorch() {
    agrees(&Golden::mini_imagenet());
}
