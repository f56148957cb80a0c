//! What ranks have in common: the step of a round from the mean difference of all, and what a rank goes on from where that
//! comes one round late.

use crate::cluster::{DistributedSpec, RoundOptimizer};
use crate::meta::{Sets, TrainingState};
use crate::optimizers::{OptimizerState, Outer, OuterOptimizer, Settings};

/// The parameters that all ranks had in common last, those of all runs one after another.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    pub parameters: Vec<f32>,
    /// The momentum u of the rounds' optimiser; empty before its first step.
    momentum: Vec<f32>,
}

impl Agreed {
    /// θ ← θ − rate · the direction of the rounds' optimiser, whose gradient is −`moved`: the mean difference of all ranks.
    pub fn step(&mut self, spec: &DistributedSpec, moved: &[f32]) {
        let rule = rule(spec);
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        let (mut parameters, mut state) =
            (wide(&self.parameters), OptimizerState::zeros(moved.len()));
        if !self.momentum.is_empty() {
            state.m = wide(&self.momentum);
        }
        rule.step(f64::from(spec.rate()), &mut parameters, &wide(moved), &mut state);
        if rule.kept().first {
            self.momentum = narrow(state.m);
        }
        self.parameters = narrow(parameters);
    }

    /// Adds what the mean difference of the last step had left out: what it is then is what it would have been with all of it.
    pub fn complete(&mut self, spec: &DistributedSpec, left_out: &[f32]) {
        let (rate, momentum) = (f64::from(spec.rate()), f64::from(spec.momentum));
        let factor = match spec.optimizer {
            RoundOptimizer::Interpolation | RoundOptimizer::Momentum => rate,
            RoundOptimizer::Nesterov => rate * (1.0 + momentum),
        };
        for (value, rest) in self.parameters.iter_mut().zip(left_out) {
            *value = (f64::from(*value) + factor * f64::from(*rest)) as f32;
        }
        self.momentum.iter_mut().zip(left_out).for_each(|(u, rest)| *u -= rest);
    }

    /// The momentum, `[R][P]`; none where there is none.
    pub fn momentum(&self, runs: usize) -> Sets {
        let one = self.momentum.len().checked_div(runs).unwrap_or(0);
        self.momentum.chunks(one.max(1)).map(<[f32]>::to_vec).collect()
    }

    /// Goes on with that momentum.
    pub fn set_momentum(&mut self, sets: &Sets) {
        self.momentum = sets.concat();
    }
}

/// The rounds' optimiser.
fn rule(spec: &DistributedSpec) -> Outer {
    let optimizer = match spec.optimizer {
        RoundOptimizer::Interpolation => OuterOptimizer::Interpolation,
        RoundOptimizer::Momentum => OuterOptimizer::Momentum,
        RoundOptimizer::Nesterov => OuterOptimizer::Nesterov,
    };
    Outer::new(optimizer, Settings { momentum: spec.momentum, ..Settings::DEFAULT })
}

/// What a rank goes on from where the means are one round late: `averaged` is the state that all ranks had at the end of the
/// round before, `began` is what this rank began its last round with, `now` what it made of that. Its own difference comes on
/// top of parameters and of a strategy's sums, its own factor on top of learned rates; moments, which are means of the near
/// past themselves, are the averaged ones.
pub(super) fn late(
    mut averaged: TrainingState,
    began: &TrainingState,
    now: &TrainingState,
) -> TrainingState {
    let plus = |mean: f32, began: f32, now: f32| mean + (now - began);
    let times = |mean: f32, began: f32, now: f32| {
        if began == 0.0 { mean } else { mean * (now / began) }
    };
    change(&mut averaged.parameters, &began.parameters, &now.parameters, plus);
    change(&mut averaged.rates, &began.rates, &now.rates, times);
    change(&mut averaged.ways, &began.ways, &now.ways, plus);
    change(&mut averaged.squares, &began.squares, &now.squares, plus);
    (averaged.iteration, averaged.adam_steps) = (now.iteration, now.adam_steps);
    averaged
}

fn change(means: &mut Sets, began: &Sets, now: &Sets, of: impl Fn(f32, f32, f32) -> f32) {
    let own = began.iter().flatten().zip(now.iter().flatten());
    let means = means.iter_mut().flatten();
    means.zip(own).for_each(|(mean, (began, now))| *mean = of(*mean, *began, *now));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(optimizer: RoundOptimizer, rate: f32) -> DistributedSpec {
        DistributedSpec { optimizer, rate: Some(rate), momentum: 0.5, ..Default::default() }
    }

    /// Worked by hand: u = −2, then 0; the ways of Nesterov are 2 + 1 and −1 − 0.
    #[test]
    fn the_step_is_that_of_the_optimizer() {
        let steps = |optimizer| {
            let mut agreed = Agreed { parameters: vec![1.0], ..Agreed::default() };
            let spec = spec(optimizer, 0.25);
            let one = |moved| {
                agreed.step(&spec, &[moved]);
                agreed.parameters[0]
            };
            [2.0, -1.0].map(one)
        };
        assert_eq!(steps(RoundOptimizer::Interpolation), [1.5, 1.25]);
        assert_eq!(steps(RoundOptimizer::Momentum), [1.5, 1.5]);
        assert_eq!(steps(RoundOptimizer::Nesterov), [1.75, 1.5]);
    }

    #[test]
    fn what_was_left_out_can_be_added_to_the_last_step() {
        use RoundOptimizer::{Interpolation, Momentum, Nesterov};
        for optimizer in [Interpolation, Momentum, Nesterov] {
            let spec = spec(optimizer, 0.25);
            let mut whole = Agreed { parameters: vec![1.0], ..Agreed::default() };
            whole.step(&spec, &[4.0]);
            let mut parts = whole.clone();
            whole.step(&spec, &[-3.0]);
            parts.step(&spec, &[-2.0]);
            assert_ne!(parts.parameters, whole.parameters);
            parts.complete(&spec, &[-1.0]);
            assert_eq!(parts.parameters, whole.parameters, "{optimizer:?}");
            assert_eq!(parts.momentum, whole.momentum, "{optimizer:?}");
        }
    }

    #[test]
    fn momentum_goes_to_a_checkpoint_and_back() {
        let spec = spec(RoundOptimizer::Nesterov, 1.0);
        let mut agreed = Agreed { parameters: vec![0.0; 4], ..Agreed::default() };
        assert!(agreed.momentum(2).is_empty());
        agreed.step(&spec, &[1.0, 2.0, 3.0, 4.0]);
        let sets = agreed.momentum(2);
        assert_eq!(sets, [[-1.0, -2.0], [-3.0, -4.0]]);
        let mut other = Agreed { parameters: agreed.parameters.clone(), ..Agreed::default() };
        other.set_momentum(&sets);
        agreed.step(&spec, &[0.5; 4]);
        other.step(&spec, &[0.5; 4]);
        assert_eq!(agreed.parameters, other.parameters);
    }

    /// With means that are one round late no difference is lost: two ranks come to the mean of what they did.
    #[test]
    fn late_means_lose_nothing() {
        let state = |value: f32| TrainingState {
            runs: 1,
            parameters: vec![vec![value]],
            rates: vec![vec![2.0_f32.powf(value)]],
            squares: vec![vec![value]],
            inner_second: vec![vec![value]],
            ..TrainingState::default()
        };
        // Of both ranks, in each round.
        let did = [[1.0, 3.0], [2.0, 8.0], [4.0, 16.0]];
        let mean = |a: &Sets, b: &Sets| vec![vec![(a[0][0] + b[0][0]) / 2.0]];
        let mut ranks = [state(0.0), state(0.0)];
        let mut agreed = 0.0;
        let mut sent: Option<([TrainingState; 2], f32)> = None;
        for did in did {
            let now = [0, 1].map(|rank: usize| state(ranks[rank].parameters[0][0] + did[rank]));
            let moved = (did[0] + did[1]) / 2.0;
            let before = sent.replace((now.clone(), moved));
            if let Some((states, moved)) = before {
                agreed += moved;
                let mut averaged = states[0].clone();
                averaged.parameters = vec![vec![agreed]];
                averaged.squares = mean(&states[0].squares, &states[1].squares);
                averaged.inner_second = mean(&states[0].inner_second, &states[1].inner_second);
                ranks = [0, 1].map(|rank: usize| late(averaged.clone(), &ranks[rank], &now[rank]));
                assert_eq!(ranks[0].inner_second, averaged.inner_second);
            } else {
                ranks = now;
            }
        }
        // The last round's own differences are still on their way.
        assert_eq!(agreed, 2.0 + 5.0);
        assert_eq!(ranks.each_ref().map(|rank| rank.parameters[0][0]), [7.0 + 4.0, 7.0 + 16.0]);
    }

    #[test]
    fn rates_stay_positive() {
        let state = |rate| TrainingState { rates: vec![vec![rate, 0.0]], ..Default::default() };
        let next = late(state(0.01), &state(0.1), &state(0.001));
        assert_eq!(next.rates[0][1], 0.0, "of padding");
        assert!((next.rates[0][0] - 1e-4).abs() < 1e-9, "{:?}", next.rates);
    }
}
