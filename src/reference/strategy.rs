//! A learned strategy φ = [μ, σ]: inner loops with a rate for every parameter, and the steps on the rates.

use super::gather::gather_rows;
use super::network::{Targets, loss_and_gradient};
use super::reptile::Task;
use crate::float64::add_scaled;
use crate::model::Model;

/// The rule that moves the rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// First-order Meta-SGD by ln σ: h = −σ ⊙ g_query ⊙ Σ_k g_k (Li et al. 2017, arXiv 1707.09835), with AdaGrad's
    /// step (Duchi, Hazan and Singer 2011) −β h / √(s + s̄ / 100), s the sum of all h² so far, s̄ its mean over the layer.
    MetaSgd,
    /// h = Σ_k g_k ⊙ g_{k−1} (Baydin et al. 2018, arXiv 1703.04782), with the same step +β h / √(s + s̄ / 100) on σ.
    Hypergradient,
    /// b ← b + ½ (θ_i − θ)² + ζ² α² / (t + 1)^p, g ← g + Σ_k g_k² + ζ² / (t + 1)^p, σ = √(b / g)
    /// (Khodak et al. 2019, arXiv 1906.02717), with the first rate α.
    Aruba {
        /// ζ
        zeta: f64,
        /// p
        power: f64,
        /// α
        start: f64,
    },
}

/// Settings of a strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How σ moves.
    pub rule: Rule,
    /// β
    pub step: f64,
    /// Bounds of σ.
    pub bounds: [f64; 2],
    /// The parameters that share a rate, group by group; together all P.
    pub groups: Vec<Vec<usize>>,
    /// The parameters of each layer.
    pub layers: Vec<Vec<usize>>,
    /// Growth of the loss above which a task does not count.
    pub guard: f64,
    /// γ of μ ← γ μ + (1 − γ) Δ.
    pub momentum: f64,
}

/// What a strategy carries from one meta-iteration to the next, `[P]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    /// The initialisation θ.
    pub theta: Vec<f64>,
    /// σ
    pub rates: Vec<f64>,
    /// μ
    pub direction: Vec<f64>,
    /// b and g of ARUBA; of the others s in the second place.
    pub history: [Vec<f64>; 2],
}

impl Learner {
    /// Before the first meta-iteration, all rates equal.
    pub fn new(theta: Vec<f64>, rate: f64) -> Self {
        let zero = vec![0.0; theta.len()];
        Self {
            rates: vec![rate; theta.len()],
            direction: zero.clone(),
            history: [zero.clone(), zero],
            theta,
        }
    }
}

/// An inner loop as a strategy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// θ_i, `[P]`.
    pub parameters: Vec<f64>,
    /// g_k of each step, `[K][P]`.
    pub gradients: Vec<Vec<f64>>,
    /// The gradient of the query at θ_i, where there is one.
    pub query: Vec<f64>,
    /// The loss of each minibatch before its step, and of the query.
    pub losses: Vec<f64>,
}

/// The rates of ARUBA++, for [`inner_loop`]: σ = √(b / g) within `bounds`, where g += `factor` g_k² before each step.
pub fn refined(
    [ways, mut squares]: [Vec<f64>; 2],
    factor: f64,
    [low, high]: [f64; 2],
) -> impl FnMut(&[f64]) -> Vec<f64> {
    move |gradient| {
        for (sum, g) in squares.iter_mut().zip(gradient) {
            *sum += factor * g * g;
        }
        ways.iter().zip(&squares).map(|(b, g)| (b / g).sqrt().clamp(low, high)).collect()
    }
}

/// `rates`, of which the k-th step, counted from 1, takes `learned` / k behind the steps that they were learned with.
pub fn learned_with(
    learned: usize,
    mut rates: impl FnMut(&[f64]) -> Vec<f64>,
) -> impl FnMut(&[f64]) -> Vec<f64> {
    let mut steps = 0;
    move |gradient| {
        steps += 1;
        let part = (learned as f64 / f64::from(steps)).min(1.0);
        rates(gradient).into_iter().map(|rate| part * rate).collect()
    }
}

/// Adapts `theta` with the rates σ that `rates` says for a gradient: θ ← θ − σ ⊙ g for each minibatch of
/// `task`, the last of which is the query's and makes no step if `query`.
pub fn inner_loop(
    model: &Model,
    theta: &[f64],
    mut rates: impl FnMut(&[f64]) -> Vec<f64>,
    task: &Task,
    query: bool,
) -> Observed {
    let mut seen = Observed {
        parameters: theta.to_vec(),
        gradients: Vec::new(),
        query: Vec::new(),
        losses: Vec::new(),
    };
    let minibatches = task.minibatches();
    for (index, indices) in minibatches.iter().enumerate() {
        let x = gather_rows(task.x, model.inputs(), indices);
        let (values, labels);
        let targets = match task.targets {
            Targets::Values(all) => {
                values = gather_rows(all, model.outputs(), indices);
                Targets::Values(&values)
            }
            Targets::Labels(all) => {
                labels = gather_rows(all, 1, indices);
                Targets::Labels(&labels)
            }
        };
        let (loss, gradient) = loss_and_gradient(model, &seen.parameters, &x, targets);
        seen.losses.push(loss);
        if query && index + 1 == minibatches.len() {
            seen.query = gradient;
        } else {
            for ((p, rate), g) in seen.parameters.iter_mut().zip(rates(&gradient)).zip(&gradient) {
                *p -= rate * g;
            }
            seen.gradients.push(gradient);
        }
    }
    seen
}

/// ∇_s of the query's loss by s = ln σ, to first order (exact for K = 1), `[P]`.
pub fn query_gradient(rates: &[f64], seen: &Observed) -> Vec<f64> {
    let sum = |i: usize| seen.gradients.iter().map(|g| g[i]).sum::<f64>();
    (0..rates.len()).map(|i| -rates[i] * seen.query[i] * sum(i)).collect()
}

/// One meta-iteration, the `iteration`-th from 0 on: Reptile's step on θ with rate `outer_rate` along μ, and
/// the strategy's on σ. Returns what became of each task.
pub fn meta_iteration(
    model: &Model,
    learner: &mut Learner,
    settings: &Settings,
    iteration: u64,
    outer_rate: f64,
    tasks: &[Task],
) -> Vec<Observed> {
    let query = settings.rule == Rule::MetaSgd;
    let all: Vec<Observed> = tasks
        .iter()
        .map(|task| inner_loop(model, &learner.theta, |_| learner.rates.clone(), task, query))
        .collect();
    let share = 1.0 / all.len() as f64;
    let (mut delta, mut statistic, mut way) = (
        vec![0.0; learner.theta.len()],
        vec![0.0; learner.theta.len()],
        vec![0.0; learner.theta.len()],
    );
    let mut left_out = 0.0;
    for seen in &all {
        if seen.losses[seen.losses.len() - 1] > settings.guard * seen.losses[0] {
            left_out += share;
            continue;
        }
        let ways: Vec<f64> =
            seen.parameters.iter().zip(&learner.theta).map(|(a, b)| a - b).collect();
        add_scaled(&mut delta, share, &ways);
        add_scaled(&mut way, share, &ways.iter().map(|w| 0.5 * w * w).collect::<Vec<_>>());
        add_scaled(&mut statistic, share, &statistic_of(settings.rule, &learner.rates, seen));
    }
    for (mean, delta) in learner.direction.iter_mut().zip(&delta) {
        *mean = settings.momentum * *mean + (1.0 - settings.momentum) * delta;
    }
    add_scaled(&mut learner.theta, outer_rate, &learner.direction);
    let backoff = (-left_out).exp2();
    let mut shared = vec![[0.0; 2]; statistic.len()];
    for group in &settings.groups {
        let sums = [&statistic, &way].map(|of| group.iter().map(|i| of[*i]).sum::<f64>());
        group.iter().for_each(|i| shared[*i] = sums);
    }
    let steps = match settings.rule {
        Rule::Aruba { .. } => vec![0.0; statistic.len()],
        _ => adagrad(&shared, &mut learner.history[1], settings),
    };
    for group in &settings.groups {
        for i in group {
            let [sum, way] = shared[*i];
            let rate = learner.rates[*i];
            let moved = match settings.rule {
                Rule::MetaSgd => backoff * rate * (-steps[*i]).exp(),
                Rule::Hypergradient => backoff * (rate + steps[*i]),
                Rule::Aruba { zeta, power, start } => {
                    let count = group.len() as f64;
                    let prior = zeta * zeta * (iteration as f64 + 1.0).powf(-power);
                    let [b, g] = &mut learner.history;
                    b[*i] = backoff * backoff * (b[*i] + way / count + prior * start * start);
                    g[*i] += sum / count + prior;
                    (b[*i] / g[*i]).sqrt()
                }
            };
            learner.rates[*i] = moved.clamp(settings.bounds[0], settings.bounds[1]);
        }
    }
    all
}

/// β h / √(s + s̄ / 100) of every parameter, 0 where a layer has seen nothing yet; `h` is the first of each pair, and its
/// squares are added to `squares`.
fn adagrad(h: &[[f64; 2]], squares: &mut [f64], settings: &Settings) -> Vec<f64> {
    let mut steps = vec![0.0; h.len()];
    for layer in &settings.layers {
        layer.iter().for_each(|i| squares[*i] += h[*i][0] * h[*i][0]);
        let mean = layer.iter().map(|i| squares[*i]).sum::<f64>() / layer.len() as f64;
        if mean > 0.0 {
            for i in layer {
                steps[*i] = settings.step * h[*i][0] / (squares[*i] + 0.01 * mean).sqrt();
            }
        }
    }
    steps
}

/// What a task tells the rule, `[P]`.
fn statistic_of(rule: Rule, rates: &[f64], seen: &Observed) -> Vec<f64> {
    match rule {
        Rule::MetaSgd => query_gradient(rates, seen),
        Rule::Hypergradient => {
            let mut sum = vec![0.0; rates.len()];
            for pair in seen.gradients.windows(2) {
                let products: Vec<f64> = pair[0].iter().zip(&pair[1]).map(|(a, b)| a * b).collect();
                add_scaled(&mut sum, 1.0, &products);
            }
            sum
        }
        Rule::Aruba { .. } => {
            let mut sum = vec![0.0; rates.len()];
            for gradient in &seen.gradients {
                add_scaled(&mut sum, 1.0, &gradient.iter().map(|g| g * g).collect::<Vec<_>>());
            }
            sum
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float64::numbers;
    use crate::model::{Activation, ModelSpec};

    /// For one step the formula is the derivative of the query's loss after adaptation by ln σ: against
    /// central differences of that very loss.
    #[test]
    fn meta_sgd_with_one_step_is_the_gradient_of_the_true_objective() {
        let spec = ModelSpec::builder(&[2]).dense(4, Activation::Tanh).dense(1, Activation::Linear);
        let model = Model::new(spec).unwrap();
        let theta = numbers(1, model.parameter_count());
        let (x, y) = (numbers(2, 20), numbers(3, 10));
        let order = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let targets = Targets::Values(&y);
        let task = Task { x: &x, targets, order: &order, batch: 5, tail: 0 };
        let logs: Vec<f64> = numbers(4, theta.len()).iter().map(|n| n - 2.0).collect();
        let adapt = |logs: &[f64]| {
            let rates: Vec<f64> = logs.iter().map(|s| s.exp()).collect();
            (inner_loop(&model, &theta, |_| rates.clone(), &task, true), rates)
        };
        let (seen, rates) = adapt(&logs);
        assert_eq!((seen.gradients.len(), seen.losses.len()), (1, 2));
        let gradient = query_gradient(&rates, &seen);
        let size = gradient.iter().fold(0.0_f64, |all, g| all.max(g.abs()));
        for i in 0..logs.len() {
            let loss = |h: f64| {
                let mut logs = logs.clone();
                logs[i] += h;
                adapt(&logs).0.losses[1]
            };
            let difference = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            assert!((difference - gradient[i]).abs() < 1e-8 * size.max(1.0), "{i}: {difference}");
        }
        assert!(size > 1e-3, "the gradient is not nothing");
    }
}
