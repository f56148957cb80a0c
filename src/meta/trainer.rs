//! The meta-training loop: one recording of a meta-iteration, replayed with new settings.

mod advance;
mod ask;
mod metrics;
mod pace;
mod record;
mod shared;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::error::Result;
use crate::gpu::{Gpu, HeldDispatch, Preparing, Recording, Wait, now};
use crate::kernels::{
    self, Axis, InnerRule, MeanState, OuterRule, OuterSum, OuterUpdate, RunSteps, Telemetry, empty,
    mean_state, outer_sum, outer_update,
};
use crate::meta::budget::{halving, memory, run_buffers};
use crate::meta::inner::Start;
use crate::meta::memory::Entries;
use crate::meta::setup::{RING, TrainerSetup};
use crate::meta::source::TaskBuffers;
use crate::meta::spec::{Algorithm, PlanKind, StatePolicy};
use crate::meta::strategy::Strategy;
use crate::meta::strategy_spec::{Granularity, StrategyKind};
use crate::meta::training_state::{self, Sets};
use crate::meta::waves::{self, Wave};
use crate::model::Model;

pub use metrics::IterationMetrics;
use pace::Pace;

/// R runs of Reptile (or FOMAML) on one device.
#[derive(Debug)]
pub struct Trainer {
    gpu: Gpu,
    setup: TrainerSetup,
    waves: Vec<Wave>,
    runs: RunSteps,
    recording: Recording,
    /// Where tasks are shared: the dispatches before their sums are exchanged.
    alone: usize,
    /// [R, packed] each, where there are several waves or trainers: sums of θ_i − start_i, and of the inner
    /// second and first moments.
    sums: [wgpu::Buffer; 3],
    /// `[R, packed]`
    theta: wgpu::Buffer,
    /// [R, packed]: inner second and first moment that tasks share.
    shared: [wgpu::Buffer; 2],
    /// [R, packed]: outer momentum or first moment, and second moment.
    outer: [wgpu::Buffer; 2],
    strategy: Option<Strategy>,
    entries: Option<Entries>,
    /// `[RING, R, columns]`
    metrics: wgpu::Buffer,
    iteration: u64,
    /// The iteration that it began at or was restored to: of earlier ones it has no metrics.
    since: u64,
    adam_steps: u64,
    per_submit: usize,
    /// Submissions of one iteration.
    parts: usize,
    submissions: u64,
    /// Whether a loss that is not finite ends the training.
    strict: bool,
    /// Locked so that other threads may read from a trainer.
    pace: Mutex<Pace>,
}

impl Trainer {
    /// The same as [`Trainer::new`], whose kernels are compiled one by one: on a software driver that takes seconds, in which
    /// a program would rather draw frames.
    ///
    /// # Errors
    /// As [`Trainer::new`]; a kernel that is refused is an error of [`Preparing`].
    pub fn prepare(gpu: &Gpu, setup: TrainerSetup) -> Result<Preparing<Self>> {
        Preparing::new(gpu, |deferring| {
            Ok(Self { gpu: gpu.clone(), ..Self::new(deferring, setup)? })
        })
    }

    /// Allocates everything, records a meta-iteration and sets the initial parameters. Tasks that the
    /// device cannot hold at once are taken in several waves, with the same numbers.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a setting is impossible ([`TrainerSetup::check`]) or the plan is,
    /// [`Error::Limit`](crate::Error::Limit) if the device has no room, [`Error::Shader`](crate::Error::Shader) if it
    /// refuses a kernel.
    pub fn new(gpu: &Gpu, setup: TrainerSetup) -> Result<Self> {
        gpu.guarded(|| Self::make(gpu, setup))
    }

    fn make(gpu: &Gpu, setup: TrainerSetup) -> Result<Self> {
        memory(gpu, &setup)?;
        let setup = setup.on_device();
        let largest = waves::sizes(gpu, &setup, usize::MAX)?[0];
        let waves = halving(largest, |most| {
            waves::allocate(gpu, &setup, &waves::sizes(gpu, &setup, most)?)
        })?;
        let (runs, model) = (setup.runs, &setup.model);
        let rule = setup.rule();
        let outer_rule = setup.outer_rule();
        let [theta, second, first, outer_first, outer_second, delta, seconds, firsts, metrics] =
            run_buffers(&setup, waves.len()).allocate(gpu)?;
        let (shared, outer) = ([second, first], [outer_first, outer_second]);
        let sums = [delta, seconds, firsts];
        let strategy = Strategy::new(gpu, &setup.strategy, model, runs)?;
        let entries = Entries::new(gpu, &setup)?;
        let mut trainer = Self {
            runs: RunSteps::new(gpu, runs, RING * waves.len())?,
            gpu: gpu.clone(),
            waves,
            sums,
            recording: Recording::default(),
            alone: 0,
            theta,
            shared,
            outer,
            strategy,
            entries,
            metrics,
            iteration: 0,
            since: 0,
            adam_steps: 0,
            per_submit: 1,
            parts: advance::parts_unmeasured(&setup),
            submissions: 0,
            strict: true,
            pace: Mutex::default(),
            setup,
        };
        (trainer.recording, trainer.alone) = trainer.record_iteration(rule, outer_rule)?;
        let initial: Vec<Vec<f32>> = (0..runs)
            .map(|run| trainer.setup.model.initial(trainer.setup.of_run(run).seed))
            .collect();
        training_state::upload(gpu, &trainer.setup.model, &trainer.theta, &initial);
        if let Some(strategy) = &trainer.strategy {
            let count = trainer.setup.model.parameter_count();
            let rate = |run| vec![trainer.setup.of_run(run).inner_rate; count];
            let rates: Sets = (0..runs).map(rate).collect();
            training_state::upload(gpu, &trainer.setup.model, &strategy.rates, &rates);
        }
        Ok(trainer)
    }

    /// The dispatches of a meta-iteration, and how many of them come before sums are exchanged.
    fn record_iteration(
        &self,
        rule: InnerRule,
        outer_rule: OuterRule,
    ) -> Result<(Recording, usize)> {
        let (gpu, steps) = (&self.gpu, self.setup.batches.steps);
        let (vectors, tasks) = (self.setup.model.packed_len() / 4, self.setup.all_tasks());
        let fomaml = self.setup.outer.algorithm == Algorithm::Fomaml && steps > 1;
        let policy = self.setup.inner.state;
        let state = (policy != StatePolicy::Slot).then_some([&self.shared[0], &self.shared[1]]);
        let rates = self.strategy.as_ref().map(|strategy| &strategy.rates);
        let start = Start { theta: &self.theta, state, rates };
        let ([first, behind, columns], guard) = (self.setup.columns(), self.setup.strategy.guard());
        let [delta, second_sums, first_sums] = &self.sums;
        let (theta, metrics) = (&self.theta, &self.metrics);
        let last = self.waves.len() - 1;
        let shared = self.setup.shared_tasks.is_some();
        let (summed, mut alone) = (last > 0 || shared, 0);
        let mut out = Recording::default();
        for (index, wave) in self.waves.iter().enumerate() {
            let runs = &self.runs.behind(index);
            let (axis, inner) = (wave.axis, wave.inner.as_ref());
            wave.tasks.record_sample(gpu, &mut out, runs)?;
            inner.record(gpu, &mut out, runs, &wave.tasks, start)?;
            let moments = [
                (rule.kept().second, &inner.state.second, second_sums, &self.shared[0]),
                (rule.kept().first, &inner.state.first, first_sums, &self.shared[1]),
            ];
            let (begins, ends) = (index == 0, index == last);
            let means: Vec<MeanState<'_>> = moments
                .into_iter()
                .filter(|(used, ..)| *used && policy == StatePolicy::Mean)
                .map(|(_, state, sums, mean)| {
                    let ends = ends && !shared;
                    MeanState { axis, tasks, begins, ends, vectors, state, sums, shared: mean }
                })
                .collect();
            means.iter().try_for_each(|mean| mean_state(gpu, &mut out, mean))?;
            if let Some(strategy) = &self.strategy {
                strategy.record_wave(gpu, &mut out, wave, begins, self.model(), theta)?;
            }
            if let Some(entries) = &self.entries {
                entries.record_insert(gpu, &mut out, runs, &self.setup, wave, theta)?;
            }
            let (adapted, anchors, losses) = (&inner.theta, &inner.anchors, &inner.losses);
            if let Some(seen) = &inner.seen {
                let telemetry = Telemetry {
                    model: self.model(),
                    axis,
                    gradients: steps - usize::from(self.setup.strategy.has_query()),
                    columns: [behind, columns],
                    begins,
                    ends,
                    seen,
                    adapted,
                    theta,
                    metrics,
                };
                kernels::telemetry(gpu, &mut out, runs, &telemetry)?;
            }
            if summed {
                let sum = OuterSum {
                    axis,
                    vectors,
                    steps,
                    columns,
                    guard,
                    fomaml,
                    begins,
                    adapted,
                    anchors,
                    theta,
                    sums: delta,
                    losses,
                    metrics,
                };
                outer_sum(gpu, &mut out, runs, &sum)?;
            }
            if ends {
                alone = out.len();
                // Their sums are of all trainers by then.
                let none = Axis { per_run: 0, ..axis };
                let of_all = |mean| MeanState { axis: none, begins: false, ends: true, ..mean };
                let all = means.into_iter().filter(|_| shared).map(of_all);
                all.into_iter().try_for_each(|mean| mean_state(gpu, &mut out, &mean))?;
                let update = OuterUpdate {
                    rule: outer_rule,
                    axis,
                    vectors,
                    steps,
                    columns,
                    guard,
                    fomaml,
                    summed,
                    capacity: self.setup.memory.capacity,
                    adapted: match &self.entries {
                        Some(entries) => &entries.parameters,
                        None if summed => delta,
                        None => adapted,
                    },
                    anchors,
                    theta,
                    first: &self.outer[0],
                    second: &self.outer[1],
                    losses,
                    metrics,
                };
                outer_update(gpu, &mut out, runs, &update)?;
                if let Some(strategy) = &self.strategy {
                    if let Some(entries) = &self.entries {
                        entries.record_sums(gpu, &mut out, runs, &self.setup, strategy.sums())?;
                    }
                    let (model, columns) = ((self.model(), axis.runs), [first, columns]);
                    strategy.record_step(gpu, &mut out, runs, model, (metrics, columns))?;
                }
            }
        }
        Ok((out, alone))
    }

    /// The device.
    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What is trained and how.
    pub(super) fn setup(&self) -> &TrainerSetup {
        &self.setup
    }

    /// The network.
    pub fn model(&self) -> &Model {
        &self.setup.model
    }

    /// Meta-iterations done (recorded ones included).
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// The plan of the inner loops: `Fused` or `Layered`.
    pub fn plan(&self) -> PlanKind {
        self.waves[0].inner.kind()
    }

    /// The kernels of one meta-iteration, in order.
    pub fn kernels(&self) -> Vec<&'static str> {
        self.recording.kernel_names().collect()
    }

    /// The variants of its kernels, where there are several: by kernel, each once.
    pub fn kernel_variants(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.recording.kernel_variants()
    }

    /// Submissions that [`Trainer::advance`] made; each held as many meta-iterations as fit into
    /// about 50 ms, or a part of one with much work.
    pub fn submissions(&self) -> u64 {
        self.submissions
    }

    /// Does one meta-iteration, each dispatch in a pass of its own, and returns what was dispatched with
    /// the device's time for it; none (and nothing done) if the device has no timestamps.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the device cannot count one more meta-iteration,
    /// [`Error::DeviceLost`](crate::Error::DeviceLost) if it does not answer.
    pub fn time_dispatches(&mut self) -> Result<Option<Vec<HeldDispatch>>> {
        now(self.time_dispatches_by(Wait::Blocking))
    }

    /// The async twin of [`Trainer::time_dispatches`].
    ///
    /// # Errors
    /// As [`Trainer::time_dispatches`].
    pub async fn time_dispatches_async(&mut self) -> Result<Option<Vec<HeldDispatch>>> {
        self.time_dispatches_by(Wait::Awaiting).await
    }

    async fn time_dispatches_by(&mut self, wait: Wait) -> Result<Option<Vec<HeldDispatch>>> {
        self.check_alone()?;
        self.check_count(1)?;
        let offset = self.write_settings();
        let seconds = self.recording.time_each_by(wait, &self.gpu, offset).await?;
        let Some(seconds) = seconds else { return Ok(None) };
        self.count_iteration();
        Ok(Some(self.recording.held_dispatches(&seconds)))
    }

    /// Puts a kernel that does nothing in the place of every one of the inner loops, so that what is
    /// left is the sampler, the outer update and the overhead of as many dispatches. The training is
    /// worth nothing from then on.
    ///
    /// # Errors
    /// [`Error::Shader`](crate::Error::Shader) if the device refuses the kernel.
    pub fn empty_inner_loops(&mut self) -> Result<()> {
        let kept = |name: &str| {
            name.starts_with("sample_")
                || name.starts_with("strategy_")
                || name.starts_with("memory_")
                || ["telemetry", "outer_update", "outer_sum", "mean_state"].contains(&name)
        };
        let empty = empty(&self.gpu)?;
        let shared = self.gpu.storage("barriers", 4)?;
        let replaced = |name: &str| !kept(name);
        self.recording = self.recording.with_replaced(&self.gpu, (&empty, &shared), replaced);
        Ok(())
    }

    /// Goes on where a run's loss is not finite, for the sake of the others: they do not see each other.
    pub fn let_runs_diverge(&mut self) {
        self.strict = false;
    }

    /// The parameters on the device: `[R, packed]` floats in the layout of [`crate::model`].
    pub fn parameters(&self) -> &wgpu::Buffer {
        &self.theta
    }

    /// The rates of a learned strategy on the device, in the same layout.
    pub fn rates(&self) -> Option<&wgpu::Buffer> {
        self.strategy.as_ref().map(|strategy| &strategy.rates)
    }

    /// b and g of ARUBA likewise, of every parameter.
    pub(super) fn strategy_sums(&self) -> Option<&[wgpu::Buffer; 2]> {
        let spec = &self.setup.strategy;
        let aruba = spec.kind == StrategyKind::Aruba && spec.granularity == Granularity::Parameter;
        self.strategy.as_ref().filter(|_| aruba).map(|strategy| &strategy.history)
    }

    /// The tasks of a meta-iteration, those of all runs one after another `[R · M, …]`; where there are several waves
    /// ([`Trainer::waves`]), of the first.
    ///
    /// Those of [`Origin::filled`](crate::meta::Origin::filled) are the caller's to write: by an upload, or by dispatches in the encoder before
    /// [`Trainer::record`] of one meta-iteration, as often as wanted.
    ///
    /// ```no_run
    /// # use reptile::{gpu::Gpu, meta::{Origin, Trainer}, model::Model};
    /// # fn fill(encoder: &mut wgpu::CommandEncoder, to: [&wgpu::Buffer; 2]) {}
    /// # fn example(gpu: &Gpu, model: &Model) -> reptile::Result<()> {
    /// let mut trainer = Trainer::builder(gpu, model, Origin::filled()).support(1, 20).build()?;
    /// let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// for _ in 0..8 {
    ///     let to = trainer.tasks().support_rows().expect("rows of numbers");
    ///     fill(&mut encoder, to); // a compute pass, or copies
    ///     trainer.record(&mut encoder, 1)?;
    /// }
    /// gpu.queue().submit([encoder.finish()]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tasks(&self) -> &TaskBuffers {
        &self.waves[0].tasks
    }

    /// Independent runs R.
    pub fn runs(&self) -> usize {
        self.setup.runs
    }

    /// How many waves the tasks of a meta-iteration come in.
    pub fn waves(&self) -> usize {
        self.waves.len()
    }

    /// Second and first moments `[R, packed]` that a new task starts from, and the Adam steps that
    /// they have seen; none with the policy `slot`.
    pub(super) fn task_state(&self) -> Option<([&wgpu::Buffer; 2], u64)> {
        let shared = self.setup.inner.state != StatePolicy::Slot;
        shared.then_some(([&self.shared[0], &self.shared[1]], self.adam_steps))
    }
}
