//! The inner optimiser as kernels know it, and what each kernel with a step of it needs.

use crate::dispatch::{Argument, Axis, ROW_OF, RUN_STEP, RunSteps};
use crate::gpu::{Profile, Source};
use crate::optimizers::{Inner, InnerOptimizer, Kept};

/// Less of learned rates behind the steps that they were learned with.
const LEARNED_STEPS: &str = shader!("lib/learned_steps.wgsl");

/// What a task tells a strategy, one number a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// g ⊙ (θ_i − θ) with the gradient g of the query set at the adapted parameters.
    Query,
    /// Σ_k g_k ⊙ g_{k−1}
    Products,
    /// Σ_k g_k²
    Squares,
}

impl Statistic {
    /// Parameter sets that a task keeps for it.
    pub fn planes(self) -> usize {
        match self {
            Self::Query | Self::Squares => 1,
            // The gradient of the step before as well.
            Self::Products => 2,
        }
    }
}

/// The inner optimiser as kernels know it; its rate comes with each iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerRule {
    /// One of the registry, [`InnerOptimizer`](crate::optimizers::InnerOptimizer).
    Optimizer(Inner),
    /// SGD with a rate for every parameter, and what a learned strategy wants to know of the gradients.
    Rates {
        /// What that is.
        statistic: Option<Statistic>,
        /// Steps K that the rates were learned with: the k-th step, counted from 1, takes K / k of them where k is
        /// above that. A strategy sees K steps alone, and rates with which a loss grows a little in each are safe for
        /// K of them and for no more. Where nothing is said, every step takes all.
        learned: Option<u32>,
    },
    /// SGD with the rates √(b / g) of ARUBA within `bounds`, where g += `factor` g_k² (ARUBA++).
    Refined {
        /// Weight of the task's own squared gradients in g.
        factor: f32,
        /// The least and the greatest rate.
        bounds: [f32; 2],
        /// As in [`InnerRule::Rates`].
        learned: Option<u32>,
    },
    /// No step, but [`Statistic::Query`].
    Query,
}

impl InnerRule {
    /// Plain SGD.
    pub const SGD: Self = Self::Optimizer(Inner::SGD);

    /// Adapts with the rates that were learned with `steps` inner steps.
    pub fn learned(steps: usize) -> Self {
        Self::Rates { statistic: None, learned: u32::try_from(steps).ok() }
    }

    /// Buffers beside the parameters that a step may read and write.
    pub(crate) fn state_buffers(&self) -> u32 {
        match self {
            Self::Optimizer(inner) if inner.optimizer == InnerOptimizer::Sgd => 0,
            _ => 2,
        }
    }

    /// What a task keeps of the gradients, which starts from that of its run: the moments of an optimiser, or the g of
    /// ARUBA++ as a second one.
    pub fn kept(&self) -> Kept {
        match self {
            Self::Optimizer(inner) => inner.kept(),
            Self::Refined { .. } => Kept { first: false, second: true },
            Self::Rates { .. } | Self::Query => Kept::NOTHING,
        }
    }

    /// Whether a state of one means the same to the other.
    pub(crate) fn goes_on_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Optimizer(one), Self::Optimizer(other)) => {
                one.optimizer == other.optimizer && one.kept() == other.kept()
            }
            _ => self == other,
        }
    }

    /// Whether every parameter has a rate of its own, from what its run has learned.
    pub fn has_rates(&self) -> bool {
        matches!(self, Self::Rates { .. } | Self::Refined { .. })
    }

    /// Sets that each task keeps in [`InnerState::second`].
    pub fn planes(&self) -> usize {
        match self {
            Self::Optimizer(inner) => usize::from(inner.kept().second),
            Self::Rates { statistic, .. } => statistic.map_or(0, Statistic::planes),
            Self::Refined { .. } | Self::Query => 1,
        }
    }

    /// The rule of a last step on the query set, where the strategy takes one.
    pub fn of_query(&self) -> Option<Self> {
        matches!(self, Self::Rates { statistic: Some(Statistic::Query), .. }).then_some(Self::Query)
    }

    /// Words that a step reads and writes for each parameter of a task; learned rates, which all tasks of a run share, are not
    /// counted.
    pub(crate) fn words(&self) -> usize {
        match self {
            Self::Query => 3,
            _ => {
                let state = self.planes() + usize::from(self.kept().first);
                2 + 2 * state
            }
        }
    }

    /// Adds the `updated` function, which says what a step makes of a vector of parameters, with its constants, and whether
    /// gradients are `seen`.
    pub(crate) fn library(&self, source: Source, seen: bool) -> Source {
        let source = source.library(match seen {
            false => shader!("lib/see_nothing.wgsl"),
            true => shader!("lib/see_gradients.wgsl"),
        });
        match *self {
            Self::Optimizer(inner) => inner.library(source),
            Self::Rates { statistic, learned } => {
                let number = match statistic {
                    None | Some(Statistic::Query) => 0_usize,
                    Some(Statistic::Products) => 1,
                    Some(Statistic::Squares) => 2,
                };
                let source = source.constant("STATISTIC", number);
                source
                    .constant("LEARNED", steps(learned))
                    .library(LEARNED_STEPS)
                    .library(shader!("lib/update_rates.wgsl"))
            }
            Self::Refined { factor, bounds: [low, high], learned } => source
                .constant("LEARNED", steps(learned))
                .constant("REFINE", factor)
                .constant("MIN_RATE", low)
                .constant("MAX_RATE", high)
                .library(LEARNED_STEPS)
                .library(shader!("lib/update_refined.wgsl")),
            Self::Query => source.library(shader!("lib/update_query.wgsl")),
        }
    }
}

/// Steps that take all of the learned rates.
fn steps(learned: Option<u32>) -> usize {
    learned.unwrap_or(u32::MAX) as usize
}

/// What a step reads and writes beside the parameters; buffers of their own even where they are not used.
#[derive(Clone, Debug)]
pub struct InnerState {
    /// `[T, packed]`: the optimiser's second moment or the g of ARUBA++, or [T, planes, packed]: a [`Statistic`].
    pub second: wgpu::Buffer,
    /// `[T, packed]`: the optimiser's first moment; or `[R, packed]`: the rates σ, for [`InnerRule::Refined`] b,
    /// and for [`InnerRule::Query`] the parameters θ before the inner loop.
    pub first: wgpu::Buffer,
}

/// An inner step on parameters.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The inner optimiser.
    pub rule: InnerRule,
    /// Runs, and tasks of a run.
    pub axis: Axis,
    /// Where the kernel finds the rates of each run.
    pub runs: &'a RunSteps,
    /// `[T, packed]`: changed in place.
    pub theta: &'a wgpu::Buffer,
    /// The optimiser's moments, or what a strategy wants to know; changed in place.
    pub state: &'a InnerState,
    /// [T, 2, packed]: Σ g and Σ g², where telemetry wants them.
    pub seen: Option<&'a wgpu::Buffer>,
}

impl<'a> Update<'a> {
    /// Adds what the step needs to `source`, and the gradients that are seen to its `arguments`.
    pub(crate) fn library(&self, source: Source, arguments: &mut Vec<Argument<'a>>) -> Source {
        let source = source.library(RUN_STEP).constant("TASKS_PER_RUN", self.axis.per_run);
        let seen = self.seen.filter(|_| self.rule != InnerRule::Query);
        let source =
            self.rule.library(source, seen.is_some()).library(shader!("lib/update_in_place.wgsl"));
        arguments.extend(seen.map(|seen| Argument::Buffer("seen", seen)));
        source
    }

    /// Adds the step on four rows of weights to `source`, which has what one step needs ([`Self::library`]).
    pub(crate) fn rows(source: Source, profile: &Profile) -> Source {
        source
            .library(ROW_OF)
            .library(shader!("lib/update_rows.wgsl"))
            .constant("ROWS_IN_TURN", profile.software)
    }

    /// The parameters, of which the step is on those of a layer that begin at `offset` of a set, and the optimiser's state.
    pub(crate) fn arguments(&self, offset: usize) -> [Argument<'a>; 3] {
        [
            Argument::Sets("theta", self.theta, offset),
            Argument::Buffer("second", &self.state.second),
            Argument::Buffer("first", &self.state.first),
        ]
    }

    /// Words that a step reads and writes for each parameter.
    pub(crate) fn words(&self) -> usize {
        let seen = self.seen.filter(|_| self.rule != InnerRule::Query);
        self.rule.words() + if seen.is_some() { 4 } else { 0 }
    }
}
