//! Test tasks that ranks have together.

use std::ops::Range;

use crate::cluster::{Ranks, segment};
use crate::error::{Error, Result};
use crate::meta::Score;

/// Scores before and after adaptation of each task, in each mode.
type Scores = Vec<Vec<[Score; 2]>>;

/// Loss, accuracy and queries, before and after.
const NUMBERS: usize = 6;
const BYTES: usize = 4 * NUMBERS;

/// The scores of tasks 0..`count` by `evaluate`, which each rank does for a part of them; all ranks have all scores. Where it was
/// stopped somewhere, only those before are left.
///
/// # Errors
/// Those of `evaluate`, of any rank; [`Error::Ranks`] if another rank does not answer.
pub(crate) fn shared_scores(
    ranks: Option<&Ranks>,
    count: usize,
    evaluate: impl FnOnce(Range<usize>) -> Result<Scores>,
) -> Result<Scores> {
    let Some(ranks) = ranks.filter(|ranks| ranks.size() > 1) else { return evaluate(0..count) };
    let own = ranks.agree(evaluate(segment(count, ranks.rank(), ranks.size())))?;
    let mut all = vec![Vec::new(); own.len()];
    for (rank, message) in ranks.gather(bytes(&own))?.iter().enumerate() {
        let wanted = segment(count, rank, ranks.size()).len();
        let scores = of_bytes(message, all.len())?;
        let found = scores.first().map_or(0, Vec::len);
        all.iter_mut().zip(scores).for_each(|(all, scores)| all.extend(scores));
        if found < wanted {
            break;
        }
    }
    Ok(all)
}

/// The modes one after another, each with the same number of tasks.
fn bytes(scores: &Scores) -> Vec<u8> {
    let numbers = scores.iter().flatten().flatten().flat_map(|score| {
        [score.loss.to_bits(), score.accuracy.to_bits(), score.queries].map(u32::to_le_bytes)
    });
    numbers.flatten().collect()
}

fn of_bytes(bytes: &[u8], modes: usize) -> Result<Scores> {
    let (scores, rest) = bytes.as_chunks::<BYTES>();
    if !rest.is_empty() || !scores.len().is_multiple_of(modes.max(1)) {
        let message = format!("{} bytes of scores from a rank are no whole tasks", bytes.len());
        return Err(Error::Ranks(message));
    }
    let number = |bytes: &[u8; BYTES], at: usize| {
        u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * at + byte]))
    };
    let score = |bytes: &[u8; BYTES], first: usize| {
        let [loss, accuracy] = [first, first + 1].map(|at| f32::from_bits(number(bytes, at)));
        Score::new(loss, accuracy, number(bytes, first + 2))
    };
    let tasks = scores.len() / modes.max(1);
    let pair = |bytes: &[u8; BYTES]| [score(bytes, 0), score(bytes, 3)];
    let mode = |mode: usize| scores[mode * tasks..][..tasks].iter().map(pair).collect();
    Ok((0..modes).map(mode).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::Threads;

    /// Of task `task` in mode `mode`.
    fn pair(task: usize, mode: usize) -> [Score; 2] {
        let loss = if task == 3 { f32::NAN } else { task as f32 + 0.1 };
        [Score::new(0.5, mode as f32, 5), Score::new(loss, 0.25, 5)]
    }

    fn of(tasks: Range<usize>) -> Scores {
        (0..2).map(|mode| tasks.clone().map(|task| pair(task, mode)).collect()).collect()
    }

    fn same(a: &Scores, b: &Scores) -> bool {
        bytes(a) == bytes(b)
    }

    #[test]
    fn all_ranks_have_the_scores_of_all_tasks_in_order() {
        for (count, stopped, left) in [(7, None, 7), (2, None, 2), (7, Some(1), 3)] {
            let transports = Threads::new(3, Duration::from_secs(60));
            let all: Vec<Scores> = std::thread::scope(|scope| {
                let ranks: Vec<_> = transports
                    .into_iter()
                    .map(|transport| {
                        scope.spawn(move || {
                            let ranks = Ranks::start(|_| Ok(transport)).unwrap();
                            let rank = ranks.rank();
                            shared_scores(Some(&ranks), count, |tasks| {
                                let less = usize::from(stopped == Some(rank));
                                Ok(of(tasks.start..tasks.end - less))
                            })
                            .unwrap()
                        })
                    })
                    .collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
            });
            assert!(all.iter().all(|one| same(one, &of(0..left))), "{count}, {stopped:?}");
        }
        assert!(same(&shared_scores(None, 4, |tasks| Ok(of(tasks))).unwrap(), &of(0..4)));
    }
}
