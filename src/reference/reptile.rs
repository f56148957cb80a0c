//! Meta-learning: the inner loop on one task, and one meta-iteration over M tasks
//! (Nichol, Achiam, Schulman 2018, arXiv 1803.02999).

use super::gather::gather_rows;
use super::network::{Targets, loss_and_gradient};
use super::storage::store;
use crate::model::Model;
use crate::optimizers::{self, OptimizerState, Outer};

/// The examples of one task and the minibatches cut from them.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Support inputs `[N, in]`.
    pub x: &'a [f64],
    /// Support targets, N of them.
    pub targets: Targets<'a>,
    /// The examples of each inner step, `[K, batch]` (the last one `[tail]` with a tail).
    pub order: &'a [u32],
    /// Examples of a minibatch.
    pub batch: usize,
    /// Examples of the last minibatch if that is the held-out tail (way · tail shots), else 0.
    pub tail: usize,
}

impl Task<'_> {
    /// The indices of each inner step's minibatch.
    pub(super) fn minibatches(&self) -> Vec<&[u32]> {
        let (ordinary, tail) = self.order.split_at(self.order.len() - self.tail);
        assert_eq!(ordinary.len() % self.batch, 0, "whole minibatches of {}", self.batch);
        let tail = (self.tail > 0).then_some(tail);
        ordinary.chunks_exact(self.batch).chain(tail).collect()
    }
}

/// The settings of an inner loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inner {
    /// The rule of each step.
    pub optimizer: optimizers::Inner,
    /// The rate α of this meta-iteration.
    pub rate: f64,
    /// Parameters are multiplied by it before each step; 1 = off.
    pub weight_decay: f64,
}

/// The end of an inner loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// θᴷ, `[P]`.
    pub parameters: Vec<f64>,
    /// θᴷ⁻¹, `[P]`: where the last step began, before its weight decay.
    pub before_last: Vec<f64>,
    /// The inner optimiser after the last step.
    pub state: OptimizerState,
    /// The loss of each minibatch before its step, after its weight decay, `[K]`.
    pub losses: Vec<f64>,
}

/// Adapts `theta` `[P]` to `task`: for each minibatch θ ← weight_decay · θ, then one step of the
/// inner optimiser at the gradient of that minibatch.
pub fn inner_loop(
    model: &Model,
    theta: &[f64],
    state: OptimizerState,
    inner: Inner,
    task: &Task,
) -> Adapted {
    let parameters = theta.to_vec();
    let mut adapted =
        Adapted { before_last: parameters.clone(), parameters, state, losses: Vec::new() };
    for indices in task.minibatches() {
        adapted.before_last.copy_from_slice(&adapted.parameters);
        let kept = model.frozen_parameters();
        adapted.parameters[kept.end..].iter_mut().for_each(|p| *p *= inner.weight_decay);
        let x = gather_rows(task.x, model.inputs(), indices);
        let (loss, gradient) = match task.targets {
            Targets::Values(values) => {
                let values = gather_rows(values, model.outputs(), indices);
                loss_and_gradient(model, &adapted.parameters, &x, Targets::Values(&values))
            }
            Targets::Labels(labels) => {
                let labels = gather_rows(labels, 1, indices);
                loss_and_gradient(model, &adapted.parameters, &x, Targets::Labels(&labels))
            }
        };
        adapted.losses.push(loss);
        let Adapted { parameters, state, .. } = &mut adapted;
        inner.optimizer.step(inner.rate, parameters, &gradient, state);
        parameters[kept.clone()].copy_from_slice(&theta[kept]);
        store(parameters);
    }
    adapted
}

/// Which part of an inner loop counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// All of it: θᴷ − θ.
    Reptile,
    /// The last step: θᴷ − θᴷ⁻¹ (first-order MAML).
    Fomaml,
}

/// Where a task's inner optimiser starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatePolicy {
    /// From the mean of the last meta-iteration's states.
    Mean,
    /// From the state that the same place in the meta-batch ended with.
    Slot,
    /// From zero.
    Reset,
}

/// The settings of a meta-iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meta {
    /// What of the inner loop counts.
    pub algorithm: Algorithm,
    /// The inner loop.
    pub inner: Inner,
    /// Where its optimiser starts.
    pub policy: StatePolicy,
    /// The rule of the outer step.
    pub outer: Outer,
    /// The outer rate ε of this meta-iteration.
    pub outer_rate: f64,
}

/// What meta-training carries from one meta-iteration to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    /// The initialisation θ, `[P]`.
    pub theta: Vec<f64>,
    /// The inner optimiser's state at each place in the meta-batch, `[M]`. All places are equal
    /// unless the policy is [`StatePolicy::Slot`]; [`OptimizerState::mean`] of them is what evaluation
    /// starts from.
    pub inner: Vec<OptimizerState>,
    /// The outer optimiser's state.
    pub outer: OptimizerState,
}

impl Learner {
    /// Before the first meta-iteration of `meta_batch` tasks.
    pub fn new(theta: Vec<f64>, meta_batch: usize) -> Self {
        let zeros = OptimizerState::zeros(theta.len());
        Self { inner: vec![zeros.clone(); meta_batch], outer: zeros, theta }
    }
}

/// One meta-iteration over `tasks` `[M]`; returns what became of each task.
///
/// # Panics
/// If M is not the meta-batch of `learner`.
pub fn meta_iteration(
    model: &Model,
    learner: &mut Learner,
    meta: &Meta,
    tasks: &[Task],
) -> Vec<Adapted> {
    assert_eq!(tasks.len(), learner.inner.len(), "one task for each place in the meta-batch");
    let places = tasks.iter().zip(&learner.inner);
    let adapted: Vec<Adapted> = places
        .map(|(task, state)| inner_loop(model, &learner.theta, state.clone(), meta.inner, task))
        .collect();
    let delta = reduce_delta(&learner.theta, &adapted, meta.algorithm);
    meta.outer.step(meta.outer_rate, &mut learner.theta, &delta, &mut learner.outer);
    let states: Vec<_> = adapted.iter().map(|adapted| adapted.state.clone()).collect();
    match meta.policy {
        StatePolicy::Mean => learner.inner.fill(OptimizerState::mean(&states)),
        StatePolicy::Slot => learner.inner = states,
        StatePolicy::Reset => {}
    }
    adapted
}

/// Δ `[P]`: the mean over the tasks of the way that counts.
pub fn reduce_delta(theta: &[f64], adapted: &[Adapted], algorithm: Algorithm) -> Vec<f64> {
    let mut delta = vec![0.0; theta.len()];
    for task in adapted {
        let start = match algorithm {
            Algorithm::Reptile => theta,
            Algorithm::Fomaml => &task.before_last,
        };
        for ((delta, end), start) in delta.iter_mut().zip(&task.parameters).zip(start) {
            *delta += (end - start) / adapted.len() as f64;
        }
    }
    delta
}

#[cfg(test)]
#[path = "reptile_tests.rs"]
mod tests;
