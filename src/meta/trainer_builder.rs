//! A trainer in one expression.

use crate::error::Result;
use crate::gpu::{Gpu, Preparing};
use crate::meta::schedule::Schedule;
use crate::meta::setup::TrainerSetup;
use crate::meta::source::Origin;
use crate::meta::spec::{Algorithm, InnerSpec, OuterSpec, PlanKind, StatePolicy};
use crate::meta::strategy_spec::StrategySpec;
use crate::meta::trainer::Trainer;
use crate::model::Model;
use crate::optimizers::{Inner, Outer};
use crate::tasks::{Batches, GlyphsSpec, SineSpec, TaskFunctions};

/// A [`Trainer`] before it is made ([`Trainer::builder`]).
///
/// What is not said has the value of the paper's sine waves: SGD with rate 0.02 for 32 steps of 10 examples, interpolation
/// with rate 0.1 over 5 tasks, constant rates, 30,000 meta-iterations, one run with seed 0.
#[derive(Clone, Debug)]
#[must_use = "`build` makes the trainer"]
pub struct TrainerBuilder<'a> {
    gpu: &'a Gpu,
    setup: TrainerSetup,
}

impl Trainer {
    /// Starts a trainer of `model` on `tasks`: a [`SineSpec`], a [`GlyphsSpec`], [`TaskFunctions`] in WGSL or any [`Origin`].
    ///
    /// ```no_run
    /// use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
    /// use reptile::meta::Trainer;
    /// use reptile::model::{Activation, Model, ModelSpec};
    /// use reptile::optimizers::{InnerOptimizer, OuterOptimizer};
    /// use reptile::tasks::SineSpec;
    ///
    /// let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default())?;
    /// let network = ModelSpec::builder(&[1]).dense(64, Activation::Tanh).dense(1, Activation::Linear);
    /// let mut trainer = Trainer::builder(&gpu, &Model::new(network)?, SineSpec::default())
    ///     .inner(InnerOptimizer::Sgd, 0.02)
    ///     .steps(32)
    ///     .batch(10)
    ///     .outer(OuterOptimizer::Interpolation, 0.1)
    ///     .meta_batch(5)
    ///     .iterations(30_000)
    ///     .build()?;
    /// trainer.advance(30_000, |_| true)?;
    /// # Ok::<(), reptile::Error>(())
    /// ```
    pub fn builder<'a>(
        gpu: &'a Gpu,
        model: &Model,
        tasks: impl Into<Origin>,
    ) -> TrainerBuilder<'a> {
        let origin = tasks.into();
        let (way, group) = match &origin {
            Origin::Sine(spec) => (1, spec.points),
            Origin::Glyphs(spec) => (spec.episodes.way, spec.episodes.train_shots),
            // Lists are refused: a training draws its images.
            Origin::Episodes { .. } | Origin::Listed { .. } => (model.outputs(), 1),
            // As many as a minibatch has, unless it is said.
            Origin::Functions { .. } | Origin::Rows { .. } => (1, 10),
            Origin::Arrays { arrays, part, .. } => arrays.sizes(model, *part),
        };
        let (inner, outer) = (InnerSpec::sgd(0.02, 10, 32), OuterSpec::interpolation(0.1, 5));
        let batches = Batches::new([way, group], 10, 32);
        let setup = TrainerSetup::new(model, origin, inner, outer, batches);
        TrainerBuilder { gpu, setup }
    }
}

impl TrainerBuilder<'_> {
    /// The inner optimiser with its rate α.
    pub fn inner(mut self, rule: impl Into<Inner>, rate: f32) -> Self {
        self.setup.inner.set_rule(rule.into());
        self.setup.inner.rate = rate;
        self
    }

    /// Inner steps K.
    pub fn steps(mut self, steps: usize) -> Self {
        (self.setup.inner.steps, self.setup.batches.steps) = (Some(steps), steps);
        self
    }

    /// Examples of a minibatch B.
    pub fn batch(mut self, batch: usize) -> Self {
        (self.setup.inner.batch, self.setup.batches.batch) = (batch, batch);
        self
    }

    /// Each minibatch is an independent draw, instead of a cut of a shuffled epoch.
    pub fn replacement(mut self, replacement: bool) -> Self {
        self.setup.inner.replacement = replacement;
        self.setup.batches.replacement = replacement;
        self
    }

    /// How the inner rate changes over the meta-iterations.
    pub fn inner_schedule(mut self, schedule: Schedule) -> Self {
        self.setup.inner.schedule = schedule;
        self
    }

    /// What becomes of the inner optimiser's moments between tasks.
    pub fn state(mut self, state: StatePolicy) -> Self {
        self.setup.inner.state = state;
        self
    }

    /// `way` classes of `shots` support examples each; one class for a regression. Sine waves and glyphs know theirs; of
    /// images a task has as many classes as the network has outputs, of one example each, if nothing is said; of arrays it
    /// has all the examples that every task, or class, has.
    pub fn support(mut self, way: usize, shots: usize) -> Self {
        (self.setup.batches.way, self.setup.batches.group) = (way, shots);
        self
    }

    /// The outer optimiser with its rate ε.
    pub fn outer(mut self, rule: impl Into<Outer>, rate: f32) -> Self {
        self.setup.outer.set_rule(rule.into());
        self.setup.outer.rate = rate;
        self
    }

    /// Tasks of a meta-iteration M.
    pub fn meta_batch(mut self, tasks: usize) -> Self {
        self.setup.outer.meta_batch = tasks;
        self
    }

    /// How the outer rate changes over the meta-iterations.
    pub fn outer_schedule(mut self, schedule: Schedule) -> Self {
        self.setup.outer.schedule = schedule;
        self
    }

    /// The meta-gradient: Reptile's or FOMAML's.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.setup.outer.algorithm = algorithm;
        self
    }

    /// Meta-iterations that the schedules span.
    pub fn iterations(mut self, iterations: u64) -> Self {
        self.setup.iterations = iterations;
        self
    }

    /// Seed of run 0; run r has `seed + r`.
    pub fn seed(mut self, seed: u64) -> Self {
        self.setup.seed = seed;
        self
    }

    /// Independent runs R, trained at once.
    pub fn runs(mut self, runs: usize) -> Self {
        self.setup.runs = runs;
        self
    }

    /// How the inner loops run on the device.
    pub fn plan(mut self, plan: PlanKind) -> Self {
        self.setup.plan = plan;
        self
    }

    /// How inner rates and the outer direction are learned.
    pub fn strategy(mut self, strategy: StrategySpec) -> Self {
        self.setup.strategy = strategy;
        self
    }

    /// What it amounts to, for settings that have no method here.
    pub fn setup(self) -> TrainerSetup {
        self.setup
    }

    /// Makes the trainer.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn build(self) -> Result<Trainer> {
        Trainer::new(self.gpu, self.setup)
    }

    /// Makes the trainer, whose kernels are compiled one by one.
    ///
    /// # Errors
    /// As [`Trainer::prepare`].
    pub fn prepare(self) -> Result<Preparing<Trainer>> {
        Trainer::prepare(self.gpu, self.setup)
    }
}

impl From<SineSpec> for Origin {
    fn from(spec: SineSpec) -> Self {
        Self::Sine(spec)
    }
}

impl From<TaskFunctions> for Origin {
    fn from(functions: TaskFunctions) -> Self {
        Self::Functions { functions, queries: 0 }
    }
}

impl From<GlyphsSpec> for Origin {
    fn from(spec: GlyphsSpec) -> Self {
        Self::Glyphs(spec)
    }
}
