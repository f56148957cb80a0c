//! Between what the trainer holds and what a checkpoint stores.

use crate::config::Config;
use crate::data::StoredSplit;
use crate::meta::{Snapshot, StartingPoint};
use crate::store::checkpoint::{Checkpoint, InnerState, MemoryState, OuterState, StrategyState};

/// The checkpoint of `snapshot`, made under `config` on the data set with this split.
pub(crate) fn checkpoint_of(
    config: &Config,
    split: Option<&StoredSplit>,
    snapshot: Snapshot,
) -> Checkpoint {
    let runs = snapshot.runs;
    let slots = snapshot.inner_second.len() / runs;
    let m = (!snapshot.inner_first.is_empty()).then_some(snapshot.inner_first);
    let v = snapshot.inner_second;
    let inner = match (v.is_empty(), config.inner.state) {
        (true, _) => InnerState::None,
        (false, crate::meta::StatePolicy::Slot) => InnerState::Slots { m, v, slots },
        (false, _) => InnerState::Shared { m, v },
    };
    let outer = match (snapshot.outer_first.is_empty(), snapshot.outer_second.is_empty()) {
        (true, _) => OuterState::None,
        (false, true) => OuterState::Momentum(snapshot.outer_first),
        (false, false) => OuterState::Adam { m: snapshot.outer_first, v: snapshot.outer_second },
    };
    Checkpoint {
        iteration: snapshot.iteration,
        adam_steps: snapshot.adam_steps,
        seed: config.seed,
        runs,
        config_hash: config.hash(),
        config: config.to_toml(),
        split: split.map(StoredSplit::to_json),
        parameters: snapshot.parameters,
        inner,
        outer,
        memory: (!snapshot.memory.is_empty()).then_some(MemoryState {
            parameters: snapshot.memory,
            others: [snapshot.memory_second, snapshot.memory_first, snapshot.memory_statistics]
                .map(|sets| (!sets.is_empty()).then_some(sets)),
            losses: snapshot.memory_losses.concat().into_iter().map(finite).collect(),
        }),
        strategy: (!snapshot.rates.is_empty()).then_some(StrategyState {
            rates: snapshot.rates,
            history: (!snapshot.ways.is_empty()).then_some([snapshot.ways, snapshot.squares]),
        }),
    }
}

/// A loss as a checkpoint can hold it.
fn finite(loss: f32) -> f32 {
    if loss.is_finite() { loss } else { f32::MAX }
}

/// What training goes on from, as a checkpoint stores it.
pub fn snapshot_of(checkpoint: Checkpoint) -> Snapshot {
    let (inner_first, inner_second) = match checkpoint.inner {
        InnerState::None => (None, Vec::new()),
        InnerState::Shared { m, v } | InnerState::Slots { m, v, .. } => (m, v),
    };
    let (outer_first, outer_second) = match checkpoint.outer {
        OuterState::None => (Vec::new(), Vec::new()),
        OuterState::Momentum(u) => (u, Vec::new()),
        OuterState::Adam { m, v } => (m, v),
    };
    let (rates, history) = match checkpoint.strategy {
        Some(StrategyState { rates, history }) => (rates, history),
        None => (Vec::new(), None),
    };
    let [ways, squares] = history.unwrap_or_default();
    let (memory, others, losses) = match checkpoint.memory {
        Some(MemoryState { parameters, others, losses }) => (parameters, others, losses),
        None => Default::default(),
    };
    let [memory_second, memory_first, memory_statistics] = others.map(Option::unwrap_or_default);
    Snapshot {
        iteration: checkpoint.iteration,
        adam_steps: checkpoint.adam_steps,
        runs: checkpoint.runs,
        parameters: checkpoint.parameters,
        inner_second,
        inner_first: inner_first.unwrap_or_default(),
        outer_first,
        outer_second,
        rates,
        ways,
        squares,
        memory,
        memory_second,
        memory_first,
        memory_statistics,
        memory_losses: losses.into_iter().map(|loss| vec![loss]).collect(),
    }
}

/// What a task of `run` may start from instead: the entries of its memory that hold something.
pub fn memory_points(config: &Config, snapshot: &Snapshot, run: usize) -> Vec<StartingPoint> {
    let capacity = snapshot.memory.len() / snapshot.runs.max(1);
    let filled = config.memory.filled(snapshot.iteration, config.outer.meta_batch).min(capacity);
    let entry = |entry: usize| {
        let at = run * capacity + entry;
        let state = [&snapshot.memory_second, &snapshot.memory_first];
        let state = state.map(|sets| sets.get(at).cloned());
        StartingPoint {
            parameters: snapshot.memory[at].clone(),
            adam_steps: if state[0].is_some() { snapshot.adam_steps } else { 0 },
            state,
            rates: snapshot.rates.get(run).cloned(),
            sums: sums(snapshot, run),
        }
    };
    (0..filled).map(entry).collect()
}

/// What a task of `run` starts from: the parameters, the optimiser state that tasks share, and the learned
/// rates.
pub fn starting_point(snapshot: &Snapshot, run: usize) -> StartingPoint {
    let state = snapshot.task_state(run);
    StartingPoint {
        parameters: snapshot.parameters[run].clone(),
        // A state that starts from zero has seen no step.
        adam_steps: if state[0].is_some() { snapshot.adam_steps } else { 0 },
        state,
        rates: snapshot.rates.get(run).cloned(),
        sums: sums(snapshot, run),
    }
}

/// b and g of ARUBA, once a meta-iteration has added to them.
fn sums(snapshot: &Snapshot, run: usize) -> Option<[Vec<f32>; 2]> {
    let [ways, squares] = [&snapshot.ways, &snapshot.squares].map(|sets| sets.get(run).cloned());
    ways.zip(squares).filter(|_| snapshot.iteration > 0).map(<[_; 2]>::from)
}
