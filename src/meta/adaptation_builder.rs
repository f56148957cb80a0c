//! Adapting what a trainer has learned to tasks of the caller's own, without naming every setting.

use crate::error::{Error, Result};
use crate::gpu::{Preparing, Wait, now};
use crate::meta::adaptation::{Adaptation, AdaptationSetup};
use crate::meta::source::Origin;
use crate::meta::task_batches::Start;
use crate::meta::trainer::Trainer;
use crate::tasks::Batches;

/// An [`Adaptation`] in the making: everything that is not said is as in the training.
#[derive(Clone, Debug)]
#[must_use = "it does nothing before `build`"]
pub struct AdaptationBuilder<'a> {
    trainer: &'a Trainer,
    run: usize,
    tasks: usize,
    support: usize,
    queries: usize,
    steps: usize,
    batch: Option<usize>,
    rate: f32,
    seed: Option<u64>,
    transductive: bool,
    classes: Option<usize>,
}

impl Adaptation {
    /// Begins an adaptation of one task of the caller's own from what the first run of `trainer` has learned by then:
    /// with as many inner steps, the minibatches and the inner rate of its training.
    pub fn builder(trainer: &Trainer) -> AdaptationBuilder<'_> {
        let setup = trainer.setup();
        let support = setup.batches.support();
        AdaptationBuilder {
            trainer,
            run: 0,
            tasks: 1,
            support,
            queries: 0,
            steps: setup.batches.steps,
            batch: None,
            rate: setup.inner.rate,
            seed: None,
            transductive: false,
            classes: None,
        }
    }
}

impl AdaptationBuilder<'_> {
    /// Starts from what run `run` of the trainer has learned; 0 by default.
    pub fn run(mut self, run: usize) -> Self {
        self.run = run;
        self
    }

    /// Adapts to `tasks` tasks T at once; 1 by default.
    pub fn tasks(mut self, tasks: usize) -> Self {
        self.tasks = tasks;
        self
    }

    /// Each task has `support` examples N to learn from, `[T, N, in]`, or fewer ([`Adaptation::set_sizes`]); as many as in
    /// the training by default.
    pub fn support(mut self, support: usize) -> Self {
        self.support = support;
        self
    }

    /// Each task has `queries` inputs Q to predict, `[T, Q, in]`, or fewer; none by default.
    pub fn queries(mut self, queries: usize) -> Self {
        self.queries = queries;
        self
    }

    /// Takes `steps` inner steps; those of the training by default.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Cuts minibatches of `batch` examples; by default those of the training, or the whole support set where that is
    /// smaller.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = Some(batch);
        self
    }

    /// The inner rate α; that of the training by default. Learned rates take its place.
    pub fn rate(mut self, rate: f32) -> Self {
        self.rate = rate;
        self
    }

    /// The seed of the order of minibatches; that of the run by default, which is the training's plus the run's number.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether the queries of a task share one batch, and with it the statistics of batch-norms; each has one of its
    /// own with the support set by default.
    pub fn transductive(mut self, transductive: bool) -> Self {
        self.transductive = transductive;
        self
    }

    /// Classes of the tasks, where they are fewer than the network's outputs: the others are masked.
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Allocates the batch, records what adapts to it, and sets what its tasks start from. The support sets are
    /// uploaded next ([`Adaptation::tasks`]).
    ///
    /// # Errors
    /// [`Error::Config`] for a number that must not be 0, an impossible rate, and where the trainer has no such run;
    /// else as [`Trainer::new`].
    pub fn build(self) -> Result<Adaptation> {
        now(self.build_by(Wait::Blocking))
    }

    /// The async twin of [`AdaptationBuilder::build`].
    ///
    /// # Errors
    /// As [`AdaptationBuilder::build`].
    pub async fn build_async(self) -> Result<Adaptation> {
        self.build_by(Wait::Awaiting).await
    }

    async fn build_by(self, wait: Wait) -> Result<Adaptation> {
        let (gpu, start) = (self.trainer.gpu(), Start::Run(self.trainer, self.run));
        let mut adaptation = Adaptation::new(gpu, self.setup()?, self.tasks)?;
        start.set(wait, gpu, &mut adaptation).await?;
        Ok(adaptation)
    }

    /// The same, whose kernels are compiled one by one.
    ///
    /// # Errors
    /// As [`AdaptationBuilder::build`]; a kernel that is refused is an error of [`Preparing`].
    pub fn prepare(self) -> Result<Preparing<Adaptation>> {
        now(self.prepare_by(Wait::Blocking))
    }

    /// The async twin of [`AdaptationBuilder::prepare`].
    ///
    /// # Errors
    /// As [`AdaptationBuilder::prepare`].
    pub async fn prepare_async(self) -> Result<Preparing<Adaptation>> {
        self.prepare_by(Wait::Awaiting).await
    }

    async fn prepare_by(self, wait: Wait) -> Result<Preparing<Adaptation>> {
        let (gpu, start) = (self.trainer.gpu(), Start::Run(self.trainer, self.run));
        let preparing = Adaptation::prepare(gpu, self.setup()?, self.tasks)?;
        preparing.with(async |adaptation| start.set(wait, gpu, adaptation).await).await
    }

    fn setup(&self) -> Result<AdaptationSetup> {
        let numbers = [
            ("tasks", self.tasks),
            ("support", self.support),
            ("steps", self.steps),
            ("batch", self.batch.unwrap_or(1)),
        ];
        if let Some((name, _)) = numbers.into_iter().find(|(_, number)| *number == 0) {
            return Err(Error::config(name, "is 0; give 1 or more"));
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            let message = format!("{} is not possible; give a number above 0", self.rate);
            return Err(Error::config("rate", message));
        }
        let training = self.trainer.setup();
        if self.run >= training.runs {
            let message =
                format!("there is no run {}; the trainer has {}", self.run, training.runs);
            return Err(Error::config("run", message));
        }
        let batch = self.batch.unwrap_or(training.batches.batch.min(self.support));
        // The last of a training's steps may be the query's.
        let steps = training.batches.steps - usize::from(training.strategy.has_query());
        let rule = training.strategy.adaptation_rule(&training.inner, steps);
        let tasks = Origin::Rows { queries: self.queries, ordered: false };
        let batches = Batches {
            replacement: training.batches.replacement,
            ..Batches::new([1, self.support], batch, self.steps)
        };
        Ok(AdaptationSetup {
            weight_decay: training.inner.weight_decay,
            plan: training.plan,
            seed: self.seed.unwrap_or(training.seed.wrapping_add(self.run as u64)),
            transductive: vec![self.transductive],
            classes: self.classes,
            ..AdaptationSetup::new(&training.model, tasks, rule, self.rate, batches)
        })
    }
}
