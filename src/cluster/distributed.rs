//! Training on all ranks at once: by sums over the tasks of every meta-iteration, or in rounds of meta-iterations that each
//! rank takes on its own.

use std::cell::Cell;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::cluster::agreed::{Agreed, late};
use crate::cluster::mean::Averager;
use crate::cluster::ranks::Begun;
use crate::cluster::{DistributedSpec, Exchange, Ranks};
use crate::error::{Error, Result};
use crate::meta::{IterationMetrics, Sets, Trainer, TrainingState};

/// Reasons to stop, by their places: if one rank has one, all stop at the same meta-iteration.
pub type Wishes = [bool; 2];

/// Nobody wants to stop.
const NONE: Wishes = [false; 2];

/// A rank's part in the training of one network by all.
#[derive(Debug)]
pub struct Distributed {
    ranks: Arc<Ranks>,
    spec: DistributedSpec,
    averager: Averager,
    agreed: Agreed,
}

/// What a rank made in a round.
#[derive(Debug)]
struct Round {
    /// Its state at the end of it.
    state: TrainingState,
    metrics: Vec<IterationMetrics>,
}

/// The means of a round: of the differences of parameters, and of the rest.
type Means = (Averager, Vec<f32>, Vec<f32>);

impl Distributed {
    /// By `spec`, among `ranks`.
    pub fn new(ranks: impl Into<Arc<Ranks>>, spec: DistributedSpec) -> Self {
        let (ranks, averager) = (ranks.into(), Averager::new(spec.exchange));
        Self { ranks, spec, averager, agreed: Agreed::default() }
    }

    /// The ranks.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// The momentum of the rounds' optimiser, `[R][P]`; none where it has none.
    pub fn momentum(&self, runs: usize) -> Sets {
        self.agreed.momentum(runs)
    }

    /// Goes on with that momentum.
    pub fn restore_momentum(&mut self, sets: &Sets) {
        self.agreed.set_momentum(sets);
    }

    /// Takes `iterations` meta-iterations, at the end of which all ranks have the same state. Before each exchange `wishes` says
    /// whether this rank wants to stop; `visit` hears of each meta-iteration in order, with the means over the tasks of all
    /// ranks. Returns what was wished for by any rank, with which all have stopped.
    ///
    /// # Errors
    /// As [`Trainer::advance`]; [`Error::Ranks`] if another rank has failed or does not answer.
    pub fn advance(
        &mut self,
        trainer: &mut Trainer,
        iterations: u64,
        wishes: impl FnMut() -> Wishes,
        visit: impl FnMut(&IterationMetrics),
    ) -> Result<Wishes> {
        match self.spec.sums_tasks() {
            true => self.sum_tasks(trainer, iterations, wishes, visit),
            false => self.rounds(trainer, iterations, wishes, visit),
        }
    }

    fn sum_tasks(
        &mut self,
        trainer: &mut Trainer,
        iterations: u64,
        mut wishes: impl FnMut() -> Wishes,
        mut visit: impl FnMut(&IterationMetrics),
    ) -> Result<Wishes> {
        let wished = Cell::new(NONE);
        let exchange = |values: &mut Vec<f32>| {
            let count = values.len();
            values.extend(numbers(wishes()));
            self.ranks.sum(values)?;
            wished.set([values[count] > 0.0, values[count + 1] > 0.0]);
            values.truncate(count);
            Ok(())
        };
        trainer.advance_shared(iterations, exchange, |metrics| {
            visit(metrics);
            wished.get() == NONE
        })?;
        self.level(trainer)?;
        Ok(wished.get())
    }

    /// Gives all ranks the state of the first one, where devices round differently.
    fn level(&self, trainer: &mut Trainer) -> Result<()> {
        let mut state = trainer.snapshot()?;
        let values = |state: &TrainingState| -> Vec<u8> {
            let sets = state.sets().into_iter().flat_map(|(_, sets)| sets.iter().flatten());
            sets.flat_map(|value| value.to_le_bytes()).collect()
        };
        let own = values(&state);
        let digests = self.ranks.gather(Sha256::digest(&own).to_vec())?;
        if digests.iter().all(|digest| *digest == digests[0]) {
            return Ok(());
        }
        let first = self.ranks.of_first((self.ranks.rank() == 0).then_some(own))?;
        let numbers = first.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let sets = state.sets_mut().into_iter().flatten().flatten();
        sets.zip(numbers).for_each(|(value, number)| *value = number);
        trainer.restore(&state)
    }

    fn rounds(
        &mut self,
        trainer: &mut Trainer,
        iterations: u64,
        mut wishes: impl FnMut() -> Wishes,
        mut visit: impl FnMut(&IterationMetrics),
    ) -> Result<Wishes> {
        let end = trainer.iteration().saturating_add(iterations);
        let mut began = trainer.snapshot()?;
        self.agreed.parameters = began.parameters.concat();
        let (mut under_way, mut wished) = (None, NONE);
        while trainer.iteration() < end && wished == NONE {
            let steps = self.spec.local_steps.min(end - trainer.iteration());
            let round = Round::of(trainer, steps)?;
            let now = round.state.clone();
            // With overlap the exchange before this round has had its time.
            let earlier = match under_way.take() {
                Some((round, begun)) => Some(self.take(round, begun, &mut wished, &mut visit)?),
                None => None,
            };
            let begun = self.begin(&round, &began, wishes(), trainer.iteration() == end);
            began = if !self.spec.overlap {
                self.take(round, begun, &mut wished, &mut visit)?
            } else {
                under_way = Some((round, begun));
                earlier.map_or_else(|| now.clone(), |averaged| late(averaged, &began, &now))
            };
            if began != now {
                trainer.restore(&began)?;
            }
        }
        if let Some((round, begun)) = under_way {
            began = self.take(round, begun, &mut wished, &mut visit)?;
            trainer.restore(&began)?;
        }
        if trainer.iteration() < end && self.spec.exchange != Exchange::F32 {
            self.send_rest(trainer, began)?;
        }
        Ok(wished)
    }

    /// Sends what earlier rounds have left out: a state that is stored has all of it.
    fn send_rest(&mut self, trainer: &mut Trainer, mut state: TrainingState) -> Result<()> {
        let mut averager = std::mem::take(&mut self.averager);
        let mut left_out = vec![0.0; self.agreed.parameters.len()];
        let begun = self.ranks.begin(move |transport| {
            averager.mean(transport, &mut left_out, true)?;
            Ok((averager, left_out))
        });
        let (averager, left_out) = begun.wait()?;
        self.averager = averager;
        self.agreed.complete(&self.spec, &left_out);
        let values = state.parameters.iter_mut().flatten().zip(&self.agreed.parameters);
        values.for_each(|(value, agreed)| *value = *agreed);
        trainer.restore(&state)
    }

    /// Begins the means over all ranks of what `round` changed since `began`.
    fn begin(
        &mut self,
        round: &Round,
        began: &TrainingState,
        wishes: Wishes,
        exact: bool,
    ) -> Begun<Means> {
        let values = round.state.parameters.iter().flatten().zip(began.parameters.iter().flatten());
        let mut moved: Vec<f32> = values.map(|(now, began)| now - began).collect();
        let mut rest = round.rest(wishes);
        let mut averager = std::mem::take(&mut self.averager);
        self.ranks.begin(move |transport| {
            averager.mean(transport, &mut moved, exact)?;
            Averager::default().mean(transport, &mut rest, true)?;
            Ok((averager, moved, rest))
        })
    }

    /// Waits for the means of a round and takes its step; returns the state that all ranks have in common then.
    fn take(
        &mut self,
        round: Round,
        begun: Begun<Means>,
        wished: &mut Wishes,
        visit: &mut impl FnMut(&IterationMetrics),
    ) -> Result<TrainingState> {
        let (averager, moved, rest) = begun.wait()?;
        self.averager = averager;
        self.agreed.step(&self.spec, &moved);
        let Round { mut state, mut metrics } = round;
        let mut means = self.agreed.parameters.iter().chain(&rest).copied();
        let sets = state.sets_mut().into_iter().flatten().flatten();
        let losses = metrics.iter_mut().flat_map(|one| one.losses.iter_mut().chain(&mut one.rates));
        sets.chain(losses).zip(&mut means).for_each(|(value, mean)| *value = mean);
        metrics.iter().for_each(visit);
        let wishes: Vec<bool> = means.map(|wish| wish > 0.0).collect();
        *wished = Wishes::try_from(wishes).map_err(|rest| {
            Error::Ranks(format!(
                "{} numbers came from the ranks where 2 were expected",
                rest.len()
            ))
        })?;
        Ok(state)
    }
}

impl Round {
    /// Takes `steps` meta-iterations.
    fn of(trainer: &mut Trainer, steps: u64) -> Result<Self> {
        let mut metrics = Vec::new();
        trainer.advance(steps, |one| {
            metrics.push(one.clone());
            true
        })?;
        Ok(Self { state: trainer.snapshot()?, metrics })
    }

    /// All that ranks average beside the parameters: other state, losses and learned rates of each meta-iteration, wishes.
    fn rest(&self, wishes: Wishes) -> Vec<f32> {
        let sets = self.state.sets();
        let state = sets[1..].iter().flat_map(|(_, sets)| sets.iter().flatten());
        let losses = self.metrics.iter().flat_map(|one| one.losses.iter().chain(&one.rates));
        state.chain(losses).copied().chain(numbers(wishes)).collect()
    }
}

fn numbers(wishes: Wishes) -> [f32; 2] {
    wishes.map(|wish| f32::from(u8::from(wish)))
}
