//! The outer twins against steps worked by hand.

use super::{Outer, OuterOptimizer};
use crate::optimizers::inner::tests::{ADAM, ADAM_STEPS, GRADIENTS};
use crate::optimizers::{OptimizerState, Settings};

#[test]
fn adam_takes_minus_delta_as_the_gradient() {
    let rule = Outer::new(OuterOptimizer::Adam, ADAM);
    let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
    for (gradient, expected) in GRADIENTS.iter().zip(ADAM_STEPS) {
        rule.step(0.1, &mut parameters, &[-gradient], &mut state);
        for (got, expected) in [parameters[0], state.m[0], state.v[0]].iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15, "{got} instead of {expected}");
        }
    }
}

#[test]
fn momentum_gathers_delta() {
    let settings = Settings { momentum: 0.5, ..Settings::DEFAULT };
    let rule = Outer::new(OuterOptimizer::Momentum, settings);
    let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
    rule.step(0.25, &mut parameters, &[2.0], &mut state);
    assert_eq!((parameters[0], state.m[0]), (1.5, -2.0));
    rule.step(0.25, &mut parameters, &[-1.0], &mut state);
    assert_eq!((parameters[0], state.m[0]), (1.5, 0.0));
    Outer::INTERPOLATION.step(0.25, &mut parameters, &[2.0], &mut state);
    assert_eq!((parameters[0], state.m[0]), (2.0, 0.0));
}

/// u = −2, then 0; the ways are 2 + 1 and −1 − 0.
#[test]
fn nesterov_looks_ahead() {
    let settings = Settings { momentum: 0.5, ..Settings::DEFAULT };
    let rule = Outer::new(OuterOptimizer::Nesterov, settings);
    let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
    rule.step(0.25, &mut parameters, &[2.0], &mut state);
    assert_eq!((parameters[0], state.m[0]), (1.75, -2.0));
    rule.step(0.25, &mut parameters, &[-1.0], &mut state);
    assert_eq!((parameters[0], state.m[0]), (1.5, 0.0));
}
