//! The float64 reference against PyTorch.

use crate::common::{assert_close, widen};
use crate::golden::{BATCH, BETA2, EPSILON, Expected, Golden, RATE, STEPS};
use crate::harness::{Tests, all, named};
use reptile::optimizers::{self, InnerOptimizer, OptimizerState, Settings};
use reptile::reference::network::{Targets, forward, loss_and_gradient};
use reptile::reference::reptile::{Inner, Task, inner_loop};

pub fn tests(tests: &mut Tests) {
    tests.alone(named!(omniglot_agrees_with_pytorch));
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
    let settings = Settings { beta2: BETA2, epsilon: EPSILON, ..Settings::DEFAULT };
    let optimizer = optimizers::Inner::new(InnerOptimizer::Adam, settings);
    let inner = Inner { optimizer, rate: f64::from(RATE), weight_decay: 1.0 };
    let adapted = inner_loop(model, &theta, OptimizerState::zeros(theta.len()), inner, &task);
    assert_close("losses", &narrow(&adapted.losses), &golden.losses, TOLERANCE);
    check("Adam", &adapted.parameters, &golden.adam);
}

fn omniglot_agrees_with_pytorch() {
    agrees(&Golden::omniglot());
}

fn mini_imagenet_agrees_with_pytorch() {
    agrees(&Golden::mini_imagenet());
}
