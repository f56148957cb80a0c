//! The rules that move parameters: inner steps, the outer update, the shared inner state.
//!
//! Adam is in TensorFlow's form: t += 1; m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²;
//! θ −= rate · √(1−β₂ᵗ) / (1−β₁ᵗ) · m / (√v + ε) (Kingma and Ba 2015, end of section 2).

use super::add_scaled;

/// The rule of the inner loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerOptimizer {
    /// θ −= rate · g.
    Sgd,
    /// Adam; with β₁ = 0, m = g.
    Adam {
        /// Decay β₁ of the first moment.
        beta1: f64,
        /// Decay β₂ of the second moment.
        beta2: f64,
        /// ε beside √v.
        epsilon: f64,
    },
}

/// The rule of the outer loop, for Δ = the mean way the tasks moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OuterOptimizer {
    /// θ += rate · Δ: the paper's Reptile.
    Interpolation,
    /// u = momentum · u − Δ; θ −= rate · u (PyTorch's SGD with the gradient −Δ).
    Momentum {
        /// What is kept of u at each step.
        momentum: f64,
    },
    /// Adam with the gradient −Δ.
    Adam {
        /// Decay β₁ of the first moment.
        beta1: f64,
        /// Decay β₂ of the second moment.
        beta2: f64,
        /// ε beside √v.
        epsilon: f64,
    },
}

/// What an optimiser remembers for one parameter set, in canonical order.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// Adam's first moment, or the u of momentum, `[P]`.
    pub m: Vec<f64>,
    /// Adam's second moment, `[P]`.
    pub v: Vec<f64>,
    /// Steps taken: Adam's t.
    pub steps: u64,
}

impl OptimizerState {
    /// The state before the first step of `parameters` parameters.
    pub fn zeros(parameters: usize) -> Self {
        Self { m: vec![0.0; parameters], v: vec![0.0; parameters], steps: 0 }
    }
}

/// One inner step of `parameters` `[P]` against `gradient` `[P]`. SGD leaves `state` as it is.
pub fn step(
    optimizer: InnerOptimizer,
    rate: f64,
    parameters: &mut [f64],
    gradient: &[f64],
    state: &mut OptimizerState,
) {
    match optimizer {
        InnerOptimizer::Sgd => add_scaled(parameters, -rate, gradient),
        InnerOptimizer::Adam { beta1, beta2, epsilon } => {
            adam(parameters, gradient, state, rate, [beta1, beta2, epsilon]);
        }
    }
}

/// Moves the initialisation `parameters` `[P]` by `delta` `[P]`, the result of
/// [`super::reptile::reduce_delta`].
pub fn outer_update(
    optimizer: OuterOptimizer,
    rate: f64,
    parameters: &mut [f64],
    delta: &[f64],
    state: &mut OptimizerState,
) {
    match optimizer {
        OuterOptimizer::Interpolation => add_scaled(parameters, rate, delta),
        OuterOptimizer::Momentum { momentum } => {
            for (u, delta) in state.m.iter_mut().zip(delta) {
                *u = momentum * *u - delta;
            }
            add_scaled(parameters, -rate, &state.m);
        }
        OuterOptimizer::Adam { beta1, beta2, epsilon } => {
            let gradient: Vec<f64> = delta.iter().map(|d| -d).collect();
            adam(parameters, &gradient, state, rate, [beta1, beta2, epsilon]);
        }
    }
}

/// The mean of the tasks' states: what every task starts from next under the `mean` policy, and
/// what evaluation starts from under `slot`.
///
/// # Panics
/// If there is no state, or they have not taken equally many steps.
pub fn mean_state(states: &[OptimizerState]) -> OptimizerState {
    let mut mean = OptimizerState::zeros(states[0].m.len());
    mean.steps = states[0].steps;
    let share = 1.0 / states.len() as f64;
    for state in states {
        assert_eq!(state.steps, mean.steps, "all tasks take the same steps");
        add_scaled(&mut mean.m, share, &state.m);
        add_scaled(&mut mean.v, share, &state.v);
    }
    mean
}

fn adam(
    parameters: &mut [f64],
    gradient: &[f64],
    state: &mut OptimizerState,
    rate: f64,
    [beta1, beta2, epsilon]: [f64; 3],
) {
    state.steps += 1;
    let t = state.steps as f64;
    let rate = rate * (1.0 - beta2.powf(t)).sqrt() / (1.0 - beta1.powf(t));
    let moments = state.m.iter_mut().zip(&mut state.v);
    for ((parameter, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        *parameter -= rate * *m / (v.sqrt() + epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// θ₀ = 1, g = 1, −2, 0.5; rate 0.1, β₁ = 0.5, β₂ = 0.75, ε = 0.5.
    const GRADIENTS: [f64; 3] = [1.0, -2.0, 0.5];
    const EXPECTED: [[f64; 3]; 3] = [
        [0.95, 0.5, 0.25],
        [0.991_607_066_483_610_7, -0.75, 1.1875],
        [0.998_964_794_724_780_8, -0.125, 0.953_125],
    ];

    fn check(parameters: &[f64], state: &OptimizerState, expected: [f64; 3]) {
        let got = [parameters[0], state.m[0], state.v[0]];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15, "{got} instead of {expected}");
        }
    }

    #[test]
    fn three_adam_steps_worked_by_hand() {
        let optimizer = InnerOptimizer::Adam { beta1: 0.5, beta2: 0.75, epsilon: 0.5 };
        let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
        for (gradient, expected) in GRADIENTS.iter().zip(EXPECTED) {
            step(optimizer, 0.1, &mut parameters, &[*gradient], &mut state);
            check(&parameters, &state, expected);
        }
        assert_eq!(state.steps, 3);
    }

    #[test]
    fn outer_adam_takes_minus_delta_as_the_gradient() {
        let optimizer = OuterOptimizer::Adam { beta1: 0.5, beta2: 0.75, epsilon: 0.5 };
        let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
        for (gradient, expected) in GRADIENTS.iter().zip(EXPECTED) {
            outer_update(optimizer, 0.1, &mut parameters, &[-gradient], &mut state);
            check(&parameters, &state, expected);
        }
    }

    #[test]
    fn without_beta1_the_first_moment_is_the_gradient() {
        let optimizer = InnerOptimizer::Adam { beta1: 0.0, beta2: 0.75, epsilon: 0.0 };
        let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
        step(optimizer, 0.1, &mut parameters, &[-3.0], &mut state);
        assert_eq!(state.m, [-3.0]);
        assert!((parameters[0] - 1.1).abs() < 1e-15, "the first step is the rate itself");
    }

    #[test]
    fn momentum_gathers_delta() {
        let optimizer = OuterOptimizer::Momentum { momentum: 0.5 };
        let (mut parameters, mut state) = ([1.0], OptimizerState::zeros(1));
        outer_update(optimizer, 0.25, &mut parameters, &[2.0], &mut state);
        assert_eq!((parameters[0], state.m[0]), (1.5, -2.0));
        outer_update(optimizer, 0.25, &mut parameters, &[-1.0], &mut state);
        assert_eq!((parameters[0], state.m[0]), (1.5, 0.0));
        outer_update(OuterOptimizer::Interpolation, 0.25, &mut parameters, &[2.0], &mut state);
        assert_eq!((parameters[0], state.m[0]), (2.0, 0.0));
    }

    #[test]
    fn the_mean_state_is_the_mean_of_both_moments() {
        let state = |m, v| OptimizerState { m: vec![m, 1.0], v: vec![v, 1.0], steps: 7 };
        let mean = mean_state(&[state(1.0, 2.0), state(-3.0, 4.0)]);
        assert_eq!(mean, state(-1.0, 3.0));
    }
}
