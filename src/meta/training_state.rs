//! What training goes on from, and parameter sets between host (canonical) and device (packed).

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pending};
use crate::meta::spec::MemorySpec;
use crate::model::Model;

/// What the sets are called that strategies of earlier versions do not have.
pub(super) const SQUARES: &str = "sums of squares";

/// What the one kind of sets is called that is not as long as the parameters.
pub(super) const LOSSES: &str = "losses of the memory";

/// Parameter sets of one kind, `[sets][P]`; none where there is no such state.
pub type Sets = Vec<Vec<f32>>;

/// What every task starts from, canonical.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StartingPoint {
    /// `[P]`: θ before the inner loop.
    pub parameters: Vec<f32>,
    /// The inner optimiser's second and first moment; zero where there are none.
    pub state: [Option<Vec<f32>>; 2],
    /// Inner Adam steps that the state has seen.
    pub adam_steps: u64,
    /// The rates of a learned strategy, for
    /// [`InnerRule::Rates`](crate::meta::InnerRule::Rates); else the setup's rate counts.
    pub rates: Option<Vec<f32>>,
    /// b and g of ARUBA, for
    /// [`InnerRule::Refined`](crate::meta::InnerRule::Refined); else the setup's rate α counts, as α² and 1.
    pub sums: Option<[Vec<f32>; 2]>,
}

impl StartingPoint {
    /// From `parameters` `[P]` alone: moments are zero, rates those of the setup.
    pub fn new(parameters: Vec<f32>) -> Self {
        Self { parameters, state: [None, None], adam_steps: 0, rates: None, sums: None }
    }
}

/// Everything that training goes on from, in canonical layout.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TrainingState {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Inner Adam steps that the state has seen.
    pub adam_steps: u64,
    /// Independent runs R.
    pub runs: usize,
    /// `[R][P]`
    pub parameters: Sets,
    /// `[R][P]`, or `[R · M][P]` with the policy `slot`.
    pub inner_second: Sets,
    /// Likewise.
    pub inner_first: Sets,
    /// `[R][P]` momentum, mean direction or Adam's first moment.
    pub outer_first: Sets,
    /// `[R][P]` Adam's second moment.
    pub outer_second: Sets,
    /// `[R][P]` rates σ of a learned strategy.
    pub rates: Sets,
    /// `[R][P]` b of ARUBA.
    pub ways: Sets,
    /// `[R][P]` g of ARUBA; of other strategies the sums of the squares of what they learn from.
    pub squares: Sets,
    /// `[R · n][P]` entries of the memory.
    pub memory: Sets,
    /// `[R · n][P]` their inner second moments.
    pub memory_second: Sets,
    /// `[R · n][P]` their inner first moments.
    pub memory_first: Sets,
    /// `[R · n][P]` what their tasks told the strategy.
    pub memory_statistics: Sets,
    /// `[R · n][1]`: the losses of their last inner steps.
    pub memory_losses: Sets,
    /// `[R][P]` momentum of the steps between ranks, which no trainer has: [`crate::cluster::Distributed`] does.
    pub round_momentum: Sets,
}

impl TrainingState {
    /// Kinds of sets.
    pub(crate) const KINDS: usize = 13;

    /// All sets by kind, each with its name.
    pub(crate) fn sets(&self) -> [(&'static str, &Sets); Self::KINDS] {
        [
            ("parameters", &self.parameters),
            ("inner second moments", &self.inner_second),
            ("inner first moments", &self.inner_first),
            ("outer first moments", &self.outer_first),
            ("outer second moments", &self.outer_second),
            ("learned rates", &self.rates),
            ("sums of ways", &self.ways),
            (SQUARES, &self.squares),
            ("entries of the memory", &self.memory),
            ("second moments of the memory", &self.memory_second),
            ("first moments of the memory", &self.memory_first),
            ("statistics of the memory", &self.memory_statistics),
            (LOSSES, &self.memory_losses),
        ]
    }

    /// The sets to change, in the same order.
    #[cfg(feature = "files")]
    pub(crate) fn sets_mut(&mut self) -> [&mut Sets; Self::KINDS] {
        [
            &mut self.parameters,
            &mut self.inner_second,
            &mut self.inner_first,
            &mut self.outer_first,
            &mut self.outer_second,
            &mut self.rates,
            &mut self.ways,
            &mut self.squares,
            &mut self.memory,
            &mut self.memory_second,
            &mut self.memory_first,
            &mut self.memory_statistics,
            &mut self.memory_losses,
        ]
    }

    /// The same with other sets, in the order of [`TrainingState::sets`].
    pub(super) fn with_sets(self, sets: [Sets; Self::KINDS]) -> Self {
        let [
            parameters,
            inner_second,
            inner_first,
            outer_first,
            outer_second,
            rates,
            ways,
            squares,
            memory,
            memory_second,
            memory_first,
            memory_statistics,
            memory_losses,
        ] = sets;
        Self {
            parameters,
            inner_second,
            inner_first,
            outer_first,
            outer_second,
            rates,
            ways,
            squares,
            memory,
            memory_second,
            memory_first,
            memory_statistics,
            memory_losses,
            ..self
        }
    }

    /// The state of single runs of snapshots at one iteration, as the runs of one snapshot.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no run, no such run of a snapshot, or the snapshots are of several iterations.
    pub fn of_runs(runs: &[(&Self, usize)]) -> Result<Self> {
        let Some((first, _)) = runs.first() else {
            return Err(Error::config("runs", "there is no run; give 1 or more"));
        };
        for (from, run) in runs {
            from.check_run(*run)?;
            if from.iteration != first.iteration {
                let message = format!(
                    "a snapshot is of iteration {}, another of {}; give those of one iteration",
                    from.iteration, first.iteration
                );
                return Err(Error::config("runs", message));
            }
        }
        let of_kind = |kind: usize| -> Sets {
            let of_run =
                |&(from, run): &(&Self, usize)| from.of_run(from.sets()[kind].1, run).to_vec();
            runs.iter().flat_map(of_run).collect()
        };
        let head =
            Self { iteration: first.iteration, adam_steps: first.adam_steps, ..Self::default() };
        Ok(Self { runs: runs.len(), ..head }.with_sets(std::array::from_fn(of_kind)))
    }

    /// Refuses a run that is not there.
    fn check_run(&self, run: usize) -> Result<()> {
        if run < self.runs.min(self.parameters.len()) {
            return Ok(());
        }
        let message = format!("there is no run {run}; the state holds {}, from 0 on", self.runs);
        Err(Error::config("run", message))
    }

    /// Those of `sets` that belong to `run`; none if there is no such run.
    fn of_run<'a>(&self, sets: &'a Sets, run: usize) -> &'a [Vec<f32>] {
        let per_run = sets.len().checked_div(self.runs).unwrap_or(0);
        let first = run.saturating_mul(per_run);
        sets.get(first..first.saturating_add(per_run)).unwrap_or_default()
    }

    /// Whether everything of a run is finite but for losses, which nothing goes on from; true for what is not there.
    pub fn is_finite(&self, run: usize) -> bool {
        let finite = |sets| self.of_run(sets, run).iter().flatten().all(|value| value.is_finite());
        self.sets()[..Self::KINDS - 1].iter().all(|(_, sets)| finite(sets))
    }

    /// What a task of `run` starts from: the parameters, the optimiser state that tasks share, and the learned
    /// rates.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such run.
    pub fn starting_point(&self, run: usize) -> Result<StartingPoint> {
        self.check_run(run)?;
        let state = self.task_state(run);
        Ok(StartingPoint {
            parameters: self.parameters[run].clone(),
            // A state that starts from zero has seen no step.
            adam_steps: if state.iter().any(Option::is_some) { self.adam_steps } else { 0 },
            state,
            rates: self.rates.get(run).cloned(),
            sums: self.sums(run),
        })
    }

    /// What a task of `run` may start from instead: the entries of its memory that hold something, after
    /// meta-iterations of `meta_batch` tasks.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such run.
    pub fn memory_points(
        &self,
        memory: &MemorySpec,
        meta_batch: usize,
        run: usize,
    ) -> Result<Vec<StartingPoint>> {
        self.check_run(run)?;
        let capacity = self.memory.len() / self.runs.max(1);
        let filled = memory.filled(self.iteration, meta_batch).min(capacity);
        let entry = |entry: usize| {
            let at = run * capacity + entry;
            let state = [&self.memory_second, &self.memory_first];
            let state = state.map(|sets| sets.get(at).cloned());
            StartingPoint {
                parameters: self.memory[at].clone(),
                adam_steps: if state.iter().any(Option::is_some) { self.adam_steps } else { 0 },
                state,
                rates: self.rates.get(run).cloned(),
                sums: self.sums(run),
            }
        };
        Ok((0..filled).map(entry).collect())
    }

    /// b and g of ARUBA, once a meta-iteration has added to them.
    fn sums(&self, run: usize) -> Option<[Vec<f32>; 2]> {
        let [ways, squares] = [&self.ways, &self.squares].map(|sets| sets.get(run).cloned());
        ways.zip(squares).filter(|_| self.iteration > 0).map(<[_; 2]>::from)
    }

    /// The inner optimiser state that a new task of `run` starts from: second and first moment,
    /// the mean over slots where each slot has its own; none if there is none.
    fn task_state(&self, run: usize) -> [Option<Vec<f32>>; 2] {
        [&self.inner_second, &self.inner_first].map(|sets| {
            let own = self.of_run(sets, run);
            (!own.is_empty()).then(|| mean(own))
        })
    }
}

/// The mean of sets of one length.
fn mean(sets: &[Vec<f32>]) -> Vec<f32> {
    let length = sets.iter().map(Vec::len).min().unwrap_or(0);
    (0..length).map(|i| sets.iter().map(|set| set[i]).sum::<f32>() / sets.len() as f32).collect()
}

/// Refuses more than `most` `sets`, and sets of another length than the parameters of `model`; `what` names them.
pub(crate) fn check_sets<'a>(
    what: &str,
    model: &Model,
    sets: impl ExactSizeIterator<Item = &'a Vec<f32>>,
    most: usize,
) -> Result<()> {
    if sets.len() > most {
        let message =
            format!("{} sets are given, but there is room for {most}; give fewer", sets.len());
        return Err(Error::config(what, message));
    }
    let wanted = model.parameter_count();
    match sets.map(Vec::len).enumerate().find(|(_, length)| *length != wanted) {
        Some((set, length)) => {
            let message = format!(
                "set {set} has {length} numbers, but the network has {wanted} parameters; give one for each"
            );
            Err(Error::config(what, message))
        }
        None => Ok(()),
    }
}

/// Writes canonical `sets`, which [`check_sets`] has seen, to a packed buffer `[sets, packed]`.
pub(crate) fn upload(gpu: &Gpu, model: &Model, buffer: &wgpu::Buffer, sets: &[Vec<f32>]) {
    let packed: Vec<f32> = sets.iter().flat_map(|set| model.pack(set)).collect();
    gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&packed));
}

/// Asks for the packed `sets` of `buffer` as canonical ones.
///
/// # Errors
/// [`crate::Error::Limit`] if the device has no room to bring them.
pub(crate) fn ask(
    gpu: &Gpu,
    encoder: &mut wgpu::CommandEncoder,
    model: &Model,
    buffer: &wgpu::Buffer,
    sets: Range<usize>,
) -> Result<Pending<Sets>> {
    let length = model.packed_len();
    let (offset, count) = (sets.start * length, sets.len() * length);
    let packed = Pending::record(gpu, encoder, buffer, offset, count)?;
    let model = model.clone();
    Ok(packed.and_then(move |packed: Vec<f32>| {
        Ok(packed.chunks_exact(length).map(|set| model.unpack(set)).collect())
    }))
}
