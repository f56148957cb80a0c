//! As many batches of a rung as there are ranks, side by side: training and scores.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Progress, Search};
use crate::error::Result;
use crate::experiments::sweep::state::Member;
use crate::meta::TrainingState;

/// What became of a rank's batch.
pub(super) enum Trained {
    /// It is at the end of the rung.
    Runs(Box<TrainingState>),
    /// It has none, or all its runs diverged.
    Nothing,
    /// An observer asked to stop.
    Stopped,
}

/// What a rank tells the others of its batch, now and then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct News {
    /// The runs that are left.
    pub members: Vec<Member>,
    pub diverged: BTreeSet<Member>,
    /// Whether there is a new state of them.
    pub moved: bool,
    /// Whether nothing is left to do.
    pub done: bool,
    /// Whether the observer asked to stop.
    pub stopped: bool,
}

impl Search {
    /// Scores the runs of the batches `round`, each rank those of its own, `snapshot`; false if an observer says so.
    pub(super) fn score_round(
        &mut self,
        rung: usize,
        round: Range<usize>,
        snapshot: Option<&TrainingState>,
        observe: &mut impl FnMut(Progress) -> bool,
    ) -> Result<bool> {
        let index = round.start + self.team.rank();
        let end = self.rungs[rung].0;
        let progress = Progress {
            rung: [rung + 1, self.rungs.len()],
            batch: [index + 1, self.state.now.len()],
            iterations: [end, end],
        };
        let most = self.state.now[round.clone()].iter().map(|batch| batch.members.len()).max();
        let own = self.own_members(&round);
        for run in 0..most.unwrap_or(0) {
            let known = |member: &Member| self.state.scores.iter().any(|it| it.member == *member);
            let member = own.get(run).filter(|member| !known(member));
            let stopped = member.is_some() && !observe(progress);
            let score = match (member, snapshot) {
                (Some(member), Some(snapshot)) if !stopped => {
                    Some(self.score(snapshot, run, *member)?)
                }
                _ => None,
            };
            let all = self.team.gather(&(score, stopped))?;
            let stopped = all.iter().any(|(_, stopped)| *stopped);
            let known = self.state.scores.len();
            self.state.scores.extend(all.into_iter().filter_map(|(score, _)| score));
            if self.state.scores.len() > known {
                self.save_state()?;
            }
            if stopped {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The runs of this rank's batch of `round`; none where there is no batch for it.
    fn own_members(&self, round: &Range<usize>) -> Vec<Member> {
        let batch = self.state.now[round.clone()].get(self.team.rank());
        batch.map(|batch| batch.members.clone()).unwrap_or_default()
    }

    /// Trains the batches `round` to the end of the rung, each rank one of them; returns this rank's. Runs that diverge leave it.
    pub(super) fn train(
        &mut self,
        rung: usize,
        round: Range<usize>,
        observe: &mut impl FnMut(Progress) -> bool,
    ) -> Result<Trained> {
        let index = round.start + self.team.rank();
        let from = self.starts(rung, round.clone())?;
        let mut own = self.own_members(&round);
        let mut trainer =
            (!own.is_empty()).then(|| self.trainer(&own, from.as_ref())).transpose()?;
        let place = [index + 1, self.state.now.len()];
        let (end, of) = (self.rungs[rung].0, [rung + 1, self.rungs.len()]);
        let every = self.job.config().log.checkpoint_every.max(1);
        loop {
            let (mut diverged, mut going, mut state) = (BTreeSet::new(), true, None);
            if let Some(trainer) = trainer.as_mut().filter(|trainer| trainer.iteration() < end) {
                let next = (trainer.iteration() / every + 1) * every;
                trainer.advance(next.min(end) - trainer.iteration(), |metrics| {
                    diverged.extend(metrics.diverged.iter().map(|run| own[*run]));
                    let iterations = [metrics.iteration + 1, end];
                    going &= observe(Progress { rung: of, batch: place, iterations });
                    going && diverged.is_empty()
                })?;
                let snapshot = trainer.snapshot()?;
                let spoiled = (0..own.len()).filter(|run| !snapshot.is_finite(*run));
                diverged.extend(spoiled.map(|run| own[run]));
                state = Some(snapshot);
            }
            let left = |member: &Member| !diverged.contains(member);
            let runs: Vec<usize> = (0..own.len()).filter(|run| left(&own[*run])).collect();
            let state = state.filter(|_| !runs.is_empty());
            let state = state.map(|state| {
                TrainingState::of_runs(&runs.iter().map(|run| (&state, *run)).collect::<Vec<_>>())
            });
            let state = state.transpose()?;
            let done = trainer.as_ref().is_none_or(|it| it.iteration() >= end) || runs.is_empty();
            let members_left = runs.iter().map(|run| own[*run]).collect();
            let (moved, stopped) = (state.is_some(), !going);
            let news = News { members: members_left, diverged, moved, done, stopped };
            let all = self.team.gather(&news)?;
            self.keep(round.start, &all, state.as_ref())?;
            let fewer = news.members.len() < own.len();
            own = news.members;
            if fewer {
                drop(trainer.take());
                trainer =
                    (!own.is_empty()).then(|| self.trainer(&own, state.as_ref())).transpose()?;
            }
            if all.iter().any(|news| news.stopped) {
                return Ok(Trained::Stopped);
            }
            if all.iter().all(|news| news.done) {
                break;
            }
        }
        let snapshot = trainer.map(|trainer| trainer.snapshot()).transpose()?;
        Ok(snapshot.map_or(Trained::Nothing, |state| Trained::Runs(Box::new(state))))
    }
}
