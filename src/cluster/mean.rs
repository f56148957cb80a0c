//! Sums and means over all ranks, in the order of the ranks: each rank adds up a segment of the numbers and gives it to the
//! others, so that a rank sends and takes 2 (R − 1) / R times the numbers, however many ranks R there are.

use std::ops::Range;

use crate::cluster::{Exchange, Transport};
use crate::error::Result;

/// The part of `count` things that rank `rank` of `size` does.
pub(crate) fn segment(count: usize, rank: usize, size: usize) -> Range<usize> {
    let at = |rank: usize| (count as u128 * rank as u128 / size as u128) as usize;
    at(rank)..at(rank + 1)
}

/// Puts the sum over all ranks in the place of `values`, of which all have as many.
///
/// # Errors
/// As [`Transport::exchange`].
pub(super) fn sum(transport: &mut dyn Transport, values: &mut [f32]) -> Result<()> {
    let sums = sums_of_segment(transport, values, Exchange::F32, None)?;
    let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
    all_segments(transport, &sums, values, Exchange::F32)
}

/// Means over all ranks by a codec that leaves something out each time: that is kept and added the next time (error feedback,
/// Seide et al. 2014), by each rank for what it sends, and for the means of its segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Averager {
    codec: Exchange,
    /// What was left out of this rank's values.
    own: Vec<f32>,
    /// What was left out of the means of its segment.
    of_segment: Vec<f32>,
}

impl Averager {
    pub fn new(codec: Exchange) -> Self {
        Self { codec, ..Self::default() }
    }

    /// Puts the mean over all ranks in the place of `values`. `exact`: sends them as they are, with all that was left out
    /// before.
    ///
    /// # Errors
    /// As [`Transport::exchange`].
    pub fn mean(
        &mut self,
        transport: &mut dyn Transport,
        values: &mut [f32],
        exact: bool,
    ) -> Result<()> {
        let (rank, size) = (transport.rank(), transport.size());
        if size == 1 {
            return Ok(());
        }
        let codec = if exact { Exchange::F32 } else { self.codec };
        let mine = segment(values.len(), rank, size);
        self.own.resize(values.len(), 0.0);
        self.of_segment.resize(mine.len(), 0.0);
        add(values, &self.own);
        let sums = sums_of_segment(transport, values, codec, Some(&mut self.own))?;
        let mut means: Vec<f32> = sums.into_iter().map(|sum| (sum / size as f64) as f32).collect();
        add(&mut means, &self.of_segment);
        all_segments(transport, &means, values, codec)?;
        self.of_segment = difference(&means, &values[mine]);
        Ok(())
    }
}

fn add(values: &mut [f32], others: &[f32]) {
    values.iter_mut().zip(others).for_each(|(value, other)| *value += other);
}

fn difference(values: &[f32], others: &[f32]) -> Vec<f32> {
    values.iter().zip(others).map(|(value, other)| value - other).collect()
}

/// The sums over all ranks of this rank's segment. What the codec leaves out of `values` is put into `left_out`.
fn sums_of_segment(
    transport: &mut dyn Transport,
    values: &[f32],
    codec: Exchange,
    left_out: Option<&mut Vec<f32>>,
) -> Result<Vec<f64>> {
    let (rank, size, count) = (transport.rank(), transport.size(), values.len());
    let segments: Vec<_> = (0..size).map(|rank| segment(count, rank, size)).collect();
    let messages: Vec<Vec<u8>> =
        segments.iter().map(|segment| codec.encode(&values[segment.clone()])).collect();
    if let Some(left_out) = left_out {
        let mut read = Vec::with_capacity(count);
        for (message, segment) in messages.iter().zip(&segments) {
            read.extend(codec.decode(message, segment.len())?);
        }
        *left_out = difference(values, &read);
    }
    let mut sums = vec![0.0_f64; segments[rank].len()];
    for message in transport.exchange(messages)? {
        let part = codec.decode(&message, sums.len())?;
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(value));
    }
    Ok(sums)
}

/// Puts the segments of all ranks into `values`; `own` is this rank's.
fn all_segments(
    transport: &mut dyn Transport,
    own: &[f32],
    values: &mut [f32],
    codec: Exchange,
) -> Result<()> {
    let (size, count) = (transport.size(), values.len());
    let all = transport.exchange(vec![codec.encode(own); size])?;
    for (rank, message) in all.iter().enumerate() {
        let segment = segment(count, rank, size);
        values[segment.clone()].copy_from_slice(&codec.decode(message, segment.len())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::Threads;

    /// What each of `size` ranks makes of its number and transport.
    fn on_ranks<T: Send>(size: usize, work: impl Fn(&mut Threads) -> T + Sync) -> Vec<T> {
        let ranks = Threads::new(size, Duration::from_secs(60));
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                ranks.into_iter().map(|mut rank| scope.spawn(move || work(&mut rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn values(rank: usize, round: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + rank * 13 + round * 29) as f32 * 0.61).sin()).collect()
    }

    #[test]
    fn segments_cover_all_numbers() {
        for (count, size) in [(0, 3), (2, 3), (7, 3), (1000, 64), (5, 1)] {
            let all: Vec<usize> = (0..size).flat_map(|rank| segment(count, rank, size)).collect();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn all_ranks_have_the_sum() {
        for (size, count) in [(1, 5), (2, 9), (5, 3), (4, 1000)] {
            let all = on_ranks(size, |rank| {
                let mut own = values(rank.rank(), 0, count);
                sum(rank, &mut own).unwrap();
                own
            });
            for (i, got) in all[0].iter().enumerate() {
                let wanted: f64 = (0..size).map(|rank| f64::from(values(rank, 0, count)[i])).sum();
                assert!((f64::from(*got) - wanted).abs() < 1e-6 * size as f64);
            }
            assert!(all.iter().all(|one| *one == all[0]), "the same bytes");
        }
    }

    /// Over many rounds nothing is lost: the sum of all means is that of the exact ones, but for what the last round keeps,
    /// and an exact round brings even that.
    #[test]
    fn what_a_codec_leaves_out_comes_later() {
        let (size, count, rounds) = (3, 700, 20);
        for codec in [Exchange::F16, Exchange::Int8] {
            let all = on_ranks(size, |rank| {
                let mut averager = Averager::new(codec);
                let mut total = vec![0.0_f64; count];
                let mut once = 0.0_f64;
                for round in 0..=rounds {
                    let mut own = values(rank.rank(), round, count);
                    averager.mean(rank, &mut own, round == rounds).unwrap();
                    total.iter_mut().zip(&own).for_each(|(sum, value)| *sum += f64::from(*value));
                    if round == 0 {
                        let wanted: f64 =
                            (0..size).map(|rank| f64::from(values(rank, 0, count)[0])).sum();
                        once = (wanted / size as f64 - f64::from(own[0])).abs();
                    }
                }
                (total, once)
            });
            for (i, got) in all[0].0.iter().enumerate() {
                let wanted: f64 = (0..=rounds)
                    .flat_map(|round| {
                        (0..size).map(move |rank| f64::from(values(rank, round, count)[i]))
                    })
                    .sum::<f64>()
                    / size as f64;
                assert!((got - wanted).abs() < 2e-5, "{codec:?} {i}: {got} {wanted}");
            }
            assert!(all[0].1 > 0.0, "{codec:?} leaves nothing out: this tests nothing");
            assert!(all.iter().all(|one| *one == all[0]), "the same bytes");
        }
    }
}
