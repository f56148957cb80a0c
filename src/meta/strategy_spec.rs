//! The `[strategy]` part of a configuration: how the inner rates are learned.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::{InnerRule, RateRule, RateStep, Sharing};
use crate::meta::checks;
use crate::meta::schedule::Schedule;
use crate::meta::spec::{Algorithm, InnerSpec, OuterSpec};
use crate::optimizers::{InnerOptimizer, OuterOptimizer};

/// The largest β: a step is at most that, and f32 holds rates that are e^80 times as large.
const LARGEST_STEP: f32 = 80.0;

/// The largest c: it counts beside the squares of all meta-iterations.
const LARGEST_REFINE: f32 = 1e9;

/// How the inner rates are learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyKind {
    /// Not at all: `inner.rate` is the rate.
    #[default]
    None,
    /// First-order Meta-SGD (Li et al. 2017, arXiv 1707.09835; first order as in La-MAML, arXiv
    /// 2007.13904): a gradient step on ln σ that lowers the loss of a query set after adaptation.
    MetaSgd,
    /// σ ← σ + β Σ_k g_k ⊙ g_{k−1} (Baydin et al. 2018, arXiv 1703.04782); no query set.
    Hypergradient,
    /// σ = √(b / g) of the tasks' ways and gradients (Khodak et al. 2019, arXiv 1906.02717).
    Aruba,
}

/// Which parameters share a learned rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// All.
    Scalar,
    /// Those of a layer.
    Layer,
    /// None.
    #[default]
    Parameter,
}

/// `[strategy]`: a strategy φ = [μ, σ] of direction and rate that is learned beside the parameters. σ starts
/// at `inner.rate`. Sums over tasks are means, so that β does not depend on `outer.meta_batch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StrategySpec {
    /// How σ is learned. Default none.
    pub kind: StrategyKind,
    /// Which parameters share a rate. Default parameter.
    pub granularity: Granularity,
    /// β: AdaGrad's step of meta-sgd (on ln σ) and of hypergradient (on σ); 0 leaves σ as it is. Default: 0.3 of meta-sgd,
    /// 0.01 of hypergradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    /// γ of the direction μ ← γ μ + (1 − γ) Δ, θ ← θ + ε μ; 0 (default) = off.
    pub momentum: f32,
    /// Lower bound of σ. Default 1e-6.
    pub min_rate: f32,
    /// Upper bound of σ. Default 1.
    pub max_rate: f32,
    /// A task whose loss grew by more than this factor in its inner loop moves neither θ nor the
    /// statistics, but halves σ (by its share of the tasks); 0 = off. Default: 2 of hypergradient, whose rates climb until
    /// something stops them, 10 of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<f32>,
    /// meta-sgd: examples a class of a training task that only the query has; 0 (default): the query is one
    /// more minibatch.
    pub query_shots: usize,
    /// aruba: ζ, the weight of the start in g; that in b is ζ times `inner.rate`. Default 1.
    pub zeta: f32,
    /// aruba: p, how fast what is added to the start fades. Default 1.
    pub power: f32,
    /// aruba: c of ARUBA++; in adaptations a task's own g goes on, by c g_k² with each gradient. Default 0: off.
    pub refine: f32,
}

impl Default for StrategySpec {
    fn default() -> Self {
        Self {
            kind: StrategyKind::default(),
            granularity: Granularity::default(),
            rate: None,
            momentum: 0.0,
            min_rate: 1e-6,
            max_rate: 1.0,
            guard: None,
            query_shots: 0,
            zeta: 1.0,
            power: 1.0,
            refine: 0.0,
        }
    }
}

impl StrategySpec {
    /// Checks it for training with `inner` and `outer`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub(crate) fn check(&self, inner: &InnerSpec, outer: &OuterSpec) -> Result<()> {
        let spec = self;
        checks::below_one("strategy.momentum", spec.momentum)?;
        if spec.momentum > 0.0 && outer.optimizer != OuterOptimizer::Interpolation {
            let message = "the direction of a strategy takes the place of momentum and Adam; set \
                       outer.optimizer = \"interpolation\"";
            return Err(Error::config("strategy.momentum", message));
        }
        if let Some(rate) = spec.rate
            && !(0.0..=LARGEST_STEP).contains(&rate)
        {
            let message = format!("{rate} is not possible; give a number from 0 to {LARGEST_STEP}");
            return Err(Error::config("strategy.rate", message));
        }
        checks::positive("strategy.min_rate", spec.min_rate)?;
        checks::positive("strategy.max_rate", spec.max_rate)?;
        if !(1e-9..=1e9).contains(&spec.zeta) {
            let message = format!("{} is not possible; give a number from 1e-9 to 1e9", spec.zeta);
            return Err(Error::config("strategy.zeta", message));
        }
        checks::positive("strategy.power", spec.power)?;
        if let Some(guard) = spec.guard
            && !(guard == 0.0 || guard >= 1.0 && guard.is_finite())
        {
            let message =
                format!("{guard} is not possible; give a factor of 1 or more, or 0 for none");
            return Err(Error::config("strategy.guard", message));
        }
        refine(spec)?;
        if spec.kind == StrategyKind::None {
            return Ok(());
        }
        let [low, high] = [spec.min_rate, spec.max_rate];
        if low > high {
            let message = format!("{low} is above strategy.max_rate = {high}; give one below");
            return Err(Error::config("strategy.min_rate", message));
        }
        if !(low..=high).contains(&inner.rate) {
            let message = format!(
                "{} is where the learned rates start, which is not between strategy.min_rate = {low} and \
             strategy.max_rate = {high}",
                inner.rate
            );
            return Err(Error::config("inner.rate", message));
        }
        for (fits, key, message) in [
            (
                inner.optimizer == InnerOptimizer::Sgd,
                "inner.optimizer",
                "a learned strategy sets the rates of SGD; set it to \"sgd\"",
            ),
            (
                inner.schedule == Schedule::Constant,
                "inner.schedule",
                "a learned strategy changes the inner rates itself; leave the schedule constant",
            ),
            (
                inner.weight_decay == 1.0,
                "inner.weight_decay",
                "a learned strategy wants to see the gradients alone; set it to 1",
            ),
            (
                outer.algorithm == Algorithm::Reptile,
                "outer.algorithm",
                "a learned strategy goes with \"reptile\"",
            ),
        ] {
            if !fits {
                return Err(Error::config(key, message));
            }
        }
        Ok(())
    }

    /// Whether a training task has a query minibatch after its inner steps.
    pub fn has_query(&self) -> bool {
        self.kind == StrategyKind::MetaSgd
    }

    /// The inner optimiser of an adaptation after a training with `steps` inner steps, which takes the learned rates as they
    /// are, or as what ARUBA++ goes on from.
    pub fn adaptation_rule(&self, inner: &InnerSpec, steps: usize) -> InnerRule {
        match self.kind {
            StrategyKind::None => InnerRule::Optimizer(inner.rule()),
            StrategyKind::Aruba if self.refine > 0.0 => {
                let bounds = [self.min_rate, self.max_rate];
                let learned = u32::try_from(steps).ok();
                InnerRule::Refined { factor: self.refine, bounds, learned }
            }
            _ => InnerRule::learned(steps),
        }
    }

    /// β: what is set, or the kind's own.
    pub fn rate(&self) -> f32 {
        let own = if self.kind == StrategyKind::MetaSgd { 0.3 } else { 0.01 };
        self.rate.unwrap_or(own)
    }

    /// The guard of the outer update: that which is set, or the kind's own; 0 is none.
    pub fn guard(&self) -> f32 {
        match self.kind {
            StrategyKind::None => 0.0,
            StrategyKind::Hypergradient => self.guard.unwrap_or(2.0),
            StrategyKind::MetaSgd | StrategyKind::Aruba => self.guard.unwrap_or(10.0),
        }
    }

    /// How the kernels move σ; none if it is not learned.
    pub(super) fn step(&self) -> Option<RateStep> {
        let rule = match self.kind {
            StrategyKind::None => return None,
            StrategyKind::MetaSgd => RateRule::MetaSgd,
            StrategyKind::Hypergradient => RateRule::Hypergradient,
            StrategyKind::Aruba => RateRule::Aruba { zeta: self.zeta },
        };
        let sharing = match self.granularity {
            Granularity::Scalar => Sharing::All,
            Granularity::Layer => Sharing::Layer,
            Granularity::Parameter => Sharing::None,
        };
        Some(RateStep { rule, sharing, bounds: [self.min_rate, self.max_rate] })
    }

    /// ARUBA: 1 / (t + 1)^p.
    pub(super) fn prior(&self, iteration: u64) -> f32 {
        (iteration as f64 + 1.0).powf(-f64::from(self.power)) as f32
    }
}

/// The c of ARUBA++.
fn refine(spec: &StrategySpec) -> Result<()> {
    if !(0.0..=LARGEST_REFINE).contains(&spec.refine) {
        let message =
            format!("{} is not possible; give a number from 0 to {LARGEST_REFINE}", spec.refine);
        return Err(Error::config("strategy.refine", message));
    }
    let own = spec.kind == StrategyKind::Aruba && spec.granularity == Granularity::Parameter;
    if spec.refine > 0.0 && !own {
        let message = "ARUBA++ goes on from sums of squares of every parameter, which \"aruba\" with \
                       strategy.granularity = \"parameter\" learns; leave it out (0)";
        return Err(Error::config("strategy.refine", message));
    }
    Ok(())
}
