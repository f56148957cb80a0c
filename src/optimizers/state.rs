//! What the float64 twins of the rules remember.

use crate::float64::add_scaled;

/// What an optimiser remembers for one parameter set, in canonical order.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// Adam's first moment, or the u of momentum, `[P]`.
    pub m: Vec<f64>,
    /// The second moment of Adam or RMSprop, `[P]`.
    pub v: Vec<f64>,
    /// Steps taken: Adam's t.
    pub steps: u64,
}

impl OptimizerState {
    /// The state before the first step of `parameters` parameters.
    pub fn zeros(parameters: usize) -> Self {
        Self { m: vec![0.0; parameters], v: vec![0.0; parameters], steps: 0 }
    }

    /// The mean of the tasks' states: what every task starts from next under the `mean` policy, and what evaluation starts
    /// from under `slot`.
    ///
    /// # Panics
    /// If there is no state, or they have not taken equally many steps.
    pub fn mean(states: &[Self]) -> Self {
        let mut mean = Self::zeros(states[0].m.len());
        mean.steps = states[0].steps;
        let share = 1.0 / states.len() as f64;
        for state in states {
            assert_eq!(state.steps, mean.steps, "all tasks take the same steps");
            add_scaled(&mut mean.m, share, &state.m);
            add_scaled(&mut mean.v, share, &state.v);
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_state_is_the_mean_of_both_moments() {
        let state = |m, v| OptimizerState { m: vec![m, 1.0], v: vec![v, 1.0], steps: 7 };
        let mean = OptimizerState::mean(&[state(1.0, 2.0), state(-3.0, 4.0)]);
        assert_eq!(mean, state(-1.0, 3.0));
    }
}
