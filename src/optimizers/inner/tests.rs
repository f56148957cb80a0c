//! The twins against steps worked by hand, and what is true of every rule.

use super::{Inner, InnerOptimizer};
use crate::optimizers::{OptimizerState, Settings};

/// θ₀ = 1, g = 1, −2, 0.5; rate 0.1, β₁ = 0.5, β₂ = 0.75, ε = 0.5.
pub(in crate::optimizers) const GRADIENTS: [f64; 3] = [1.0, -2.0, 0.5];

pub(in crate::optimizers) const ADAM: Settings =
    Settings { beta1: 0.5, beta2: 0.75, epsilon: 0.5, ..Settings::DEFAULT };

/// [θ, m, v] of Adam after each step.
pub(in crate::optimizers) const ADAM_STEPS: [[f64; 3]; 3] = [
    [0.95, 0.5, 0.25],
    [0.991_607_066_483_610_7, -0.75, 1.1875],
    [0.998_964_794_724_780_8, -0.125, 0.953_125],
];

/// Takes the steps of `rule` from θ₀ = 1, and compares [θ, m, v] after each with `expected`.
fn check(rule: Inner, expected: [[f64; 3]; 3]) {
    let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
    for (gradient, expected) in GRADIENTS.iter().zip(expected) {
        rule.step(0.1, &mut parameters, &[*gradient], &mut state);
        let got = [parameters[0], state.m[0], state.v[0]];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15, "{rule:?}: {got} instead of {expected}");
        }
    }
}

#[test]
fn three_steps_worked_by_hand() {
    check(Inner::new(InnerOptimizer::Adam, ADAM), ADAM_STEPS);
    check(Inner::SGD, [[0.9, 0.0, 0.0], [1.1, 0.0, 0.0], [1.05, 0.0, 0.0]]);
    let momentum = |nesterov| {
        Inner::new(InnerOptimizer::Momentum, Settings { momentum: 0.5, nesterov, ..ADAM })
    };
    // u = 1, −1.5, −0.25; with Nesterov's form the way is g + u / 2 = 1.5, −2.75, 0.375.
    check(momentum(false), [[0.9, 1.0, 0.0], [1.05, -1.5, 0.0], [1.075, -0.25, 0.0]]);
    check(momentum(true), [[0.85, 1.0, 0.0], [1.125, -1.5, 0.0], [1.0875, -0.25, 0.0]]);
    // v = 0.25, 1.1875, 0.953125.
    let rmsprop = Inner::new(InnerOptimizer::RmsProp, Settings { rho: 0.75, ..ADAM });
    let way = |v: f64, g: f64| 0.1 * g / (v.sqrt() + 0.5);
    let first = 1.0 - way(0.25, 1.0);
    let second = first - way(1.1875, -2.0);
    let third = second - way(0.953_125, 0.5);
    assert!((first - 0.9).abs() < 1e-15);
    check(rmsprop, [[first, 0.0, 0.25], [second, 0.0, 1.1875], [third, 0.0, 0.953_125]]);
}

/// m̂ = v̂ = 1 after the first step, and (1 − 0.1 · 0.2) θ before it: 0.98 − 0.1 / 1.5.
#[test]
fn adamw_decays_and_corrects_each_moment() {
    let settings = Settings { decoupled_weight_decay: 0.2, ..ADAM };
    let rule = Inner::new(InnerOptimizer::AdamW, settings);
    let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
    rule.step(0.1, &mut parameters, &[1.0], &mut state);
    assert!((parameters[0] - (0.98 - 0.1 / 1.5)).abs() < 1e-15, "{}", parameters[0]);
    // m = −0.75 / 0.75, v = 1.1875 / 0.4375.
    let expected = 0.98 * parameters[0] + 0.1 / ((1.1875_f64 / 0.4375).sqrt() + 0.5);
    rule.step(0.1, &mut parameters, &[-2.0], &mut state);
    assert!((parameters[0] - expected).abs() < 1e-15, "{} {expected}", parameters[0]);
}

#[test]
fn without_beta1_the_first_moment_is_the_gradient() {
    let settings = Settings { beta1: 0.0, epsilon: 1e-30, ..ADAM };
    let rule = Inner::new(InnerOptimizer::Adam, settings);
    assert!(!rule.kept().first);
    let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
    rule.step(0.1, &mut parameters, &[-3.0], &mut state);
    assert_eq!(state.m, [-3.0]);
    assert!((parameters[0] - 1.1).abs() < 1e-15, "the first step is the rate itself");
}

/// Every rule goes down a bowl, and what it says that it keeps is what its twin changes.
#[test]
fn every_rule_goes_downhill_and_keeps_what_it_says() {
    for &optimizer in InnerOptimizer::ALL {
        let rule = Inner::new(optimizer, Settings { beta1: 0.5, ..Settings::DEFAULT });
        let mut state = OptimizerState::zeros(2);
        let mut parameters = [1.0, -2.0];
        let bowl = |at: &[f64; 2]| at[0] * at[0] + 3.0 * at[1] * at[1];
        let start = bowl(&parameters);
        for _ in 0..300 {
            let gradient = [2.0 * parameters[0], 6.0 * parameters[1]];
            rule.step(0.01, &mut parameters, &gradient, &mut state);
        }
        assert!(bowl(&parameters) < 0.1 * start, "{optimizer}: {parameters:?}");
        let changed = [&state.m, &state.v].map(|moment| moment.iter().any(|value| *value != 0.0));
        assert_eq!(changed, [rule.kept().first, rule.kept().second], "{optimizer}");
        let json = serde_json::to_string(&optimizer).unwrap();
        assert_eq!(json, format!("\"{optimizer}\""));
        assert_eq!(serde_json::from_str::<InnerOptimizer>(&json).unwrap(), optimizer);
    }
}
