//! What training goes on from: to the host and back.

use super::Trainer;
use crate::error::{Error, Result};
use crate::gpu::{Pending, Wait, now};
use crate::meta::memory::{self, Entries};
use crate::meta::spec::StatePolicy;
use crate::meta::strategy::Strategy;
use crate::meta::strategy_spec::StrategyKind;
use crate::meta::training_state::{self, LOSSES, SQUARES, Sets, TrainingState};

impl Trainer {
    /// Everything that training goes on from, in the order of [`TrainingState::sets`]: the buffer, and the
    /// parameter sets in it (0 where there is no such state).
    /// All but the losses of the memory are packed parameter sets.
    fn state(&self) -> [(&wgpu::Buffer, usize); TrainingState::KINDS] {
        let (inner, outer) = (self.setup.rule(), self.setup.outer_rule());
        let (second, first, tasks) = match self.setup.inner.state {
            StatePolicy::Slot => {
                // There is one wave: `waves::sizes` sees to it.
                let state = &self.waves[0].inner.state;
                (&state.second, &state.first, self.setup.runs * self.setup.outer.meta_batch)
            }
            StatePolicy::Mean => (&self.shared[0], &self.shared[1], self.setup.runs),
            StatePolicy::Reset => (&self.shared[0], &self.shared[1], 0),
        };
        let runs = self.setup.runs;
        let count = |sets: usize, used: bool| if used { sets } else { 0 };
        let aruba = self.setup.strategy.kind == StrategyKind::Aruba;
        let [rates, ways, squares] = match &self.strategy {
            Some(Strategy { rates, history: [ways, squares], .. }) => [rates, ways, squares],
            None => [&self.theta; 3],
        };
        let of_memory = memory::kinds(&self.setup);
        let entry = |kind: usize| match &self.entries {
            Some(Entries { parameters, state: [second, first], statistics, losses, .. }) => {
                let buffer = [parameters, second, first, statistics, losses][kind];
                (buffer, count(runs * self.setup.memory.capacity, of_memory[kind % 4]))
            }
            None => (&self.theta, 0),
        };
        [
            (&self.theta, runs),
            (second, count(tasks, inner.kept().second)),
            (first, count(tasks, inner.kept().first)),
            (&self.outer[0], count(runs, outer.kept().first)),
            (&self.outer[1], count(runs, outer.kept().second)),
            (rates, count(runs, self.strategy.is_some())),
            (ways, count(runs, aruba)),
            (squares, count(runs, self.strategy.is_some())),
            entry(0),
            entry(1),
            entry(2),
            entry(3),
            entry(4),
        ]
    }

    /// Everything that training goes on from, brought to the host.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device does not answer.
    pub fn snapshot(&self) -> Result<TrainingState> {
        now(self.snapshot_by(Wait::Blocking))
    }

    /// The async twin of [`Trainer::snapshot`].
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device is lost.
    pub async fn snapshot_async(&self) -> Result<TrainingState> {
        self.snapshot_by(Wait::Awaiting).await
    }

    /// Either of them.
    pub(crate) async fn snapshot_by(&self, wait: Wait) -> Result<TrainingState> {
        let (asked, submission) = self.gpu.ask(|encoder| self.ask_sets(encoder))?;
        let mut sets: [Sets; TrainingState::KINDS] = Default::default();
        for (kind, pending) in asked {
            sets[kind] = match wait {
                Wait::Blocking => pending.wait(&self.gpu, Some(submission.clone()))?,
                Wait::Awaiting => pending.await?,
            };
        }
        Ok(self.state_of(sets))
    }

    /// Asks for the sets of each kind that there are.
    fn ask_sets(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Vec<(usize, Pending<Sets>)>> {
        let (gpu, model) = (&self.gpu, &self.setup.model);
        let mut asked = Vec::new();
        let packed = self.state().into_iter().take(TrainingState::KINDS - 1);
        for (kind, (buffer, count)) in packed.enumerate().filter(|(_, of)| of.1 > 0) {
            asked.push((kind, training_state::ask(gpu, encoder, model, buffer, 0..count)?));
        }
        if let Some(entries) = &self.entries {
            let count = self.setup.runs * self.setup.memory.capacity;
            let losses = Pending::record(gpu, encoder, &entries.losses, 0, count)?;
            let sets = losses.and_then(|losses: Vec<f32>| {
                Ok(losses.into_iter().map(|loss| vec![loss]).collect())
            });
            asked.push((TrainingState::KINDS - 1, sets));
        }
        Ok(asked)
    }

    fn state_of(&self, sets: [Sets; TrainingState::KINDS]) -> TrainingState {
        let (iteration, adam_steps) = (self.iteration, self.adam_steps);
        let snapshot = TrainingState {
            iteration,
            adam_steps,
            runs: self.setup.runs,
            ..TrainingState::default()
        };
        snapshot.with_sets(sets)
    }

    /// Goes on from `from`, exactly; what was recorded and not yet submitted is to be submitted before.
    ///
    /// # Errors
    /// [`Error::Config`] if it has another number of runs, sets of another network, or state of other optimisers, or if
    /// the device does not count its meta-iterations. The trainer is as it was then.
    pub fn restore(&mut self, from: &TrainingState) -> Result<()> {
        let (stored, model) = (from.sets(), &self.setup.model);
        if from.runs != self.setup.runs {
            let message = format!(
                "the state is of {} runs, the trainer of {}; make one of as many",
                from.runs, self.setup.runs
            );
            return Err(Error::config("runs", message));
        }
        if from.iteration > u64::from(u32::MAX) {
            let message = format!("{}; the device counts up to {}", from.iteration, u32::MAX);
            return Err(Error::config("iteration", message));
        }
        for ((_, expected), (name, sets)) in self.state().iter().zip(stored) {
            if name == SQUARES && sets.is_empty() && *expected > 0 && !from.rates.is_empty() {
                let message = "the state has rates that were learned by steps of another kind, without sums of \
                               squares: an earlier version's. Evaluate it and adapt with it as it is, or train anew";
                return Err(Error::config("strategy.kind", message));
            }
            if sets.len() != *expected {
                let message = format!(
                    "the checkpoint holds {} sets of {name}, and {expected} are needed",
                    sets.len()
                );
                return Err(Error::config("inner, outer, strategy or runs", message));
            }
            if name == LOSSES {
                if let Some(set) = sets.iter().position(|set| set.len() != 1) {
                    let message =
                        format!("entry {set} has {} numbers; give its loss", sets[set].len());
                    return Err(Error::config(name, message));
                }
            } else {
                training_state::check_sets(name, model, sets.iter(), *expected)?;
            }
        }
        if let Some(entries) = &self.entries {
            let losses = from.memory_losses.concat();
            self.gpu.queue().write_buffer(&entries.losses, 0, bytemuck::cast_slice(&losses));
        }
        let packed = self.state().into_iter().take(TrainingState::KINDS - 1);
        for ((buffer, _), (_, sets)) in packed.zip(stored) {
            training_state::upload(&self.gpu, model, buffer, sets);
        }
        (self.iteration, self.since) = (from.iteration, from.iteration);
        self.adam_steps = from.adam_steps;
        Ok(())
    }
}
