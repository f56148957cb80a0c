//! What an exchange costs, and what rounds of many ranks take by a clock that is only calculated: the usual model of a latency
//! for each message and a time for each byte.

use rand::RngExt;

use crate::rng::{Part, Phase, Stream};

/// Seconds of an exchange: of R ranks each sends R − 1 messages in each of two steps, together 2 (R − 1) / R of the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Network {
    /// α: seconds of a message, whatever its length.
    pub latency: f64,
    /// β: seconds of a byte.
    pub per_byte: f64,
}

impl Network {
    /// The time of an exchange of `bytes` among `ranks` R: 2 (R − 1) α + 2 (R − 1) / R · bytes · β.
    pub fn seconds(&self, ranks: usize, bytes: f64) -> f64 {
        let [messages, sent] = Self::counts(ranks, bytes);
        messages * self.latency + sent * self.per_byte
    }

    /// Messages and bytes that a rank sends.
    fn counts(ranks: usize, bytes: f64) -> [f64; 2] {
        let others = ranks.saturating_sub(1) as f64;
        [2.0 * others, 2.0 * others / ranks.max(1) as f64 * bytes]
    }

    /// The α and β that fit `measured` times best: ranks, bytes and seconds of each. Of the relative errors the squares are
    /// least; neither is below 0.
    pub fn fit(measured: &[(usize, f64, f64)]) -> Self {
        let rows = measured.iter().filter(|(ranks, _, seconds)| *ranks > 1 && *seconds > 0.0);
        let rows: Vec<[f64; 2]> = rows
            .map(|&(ranks, bytes, seconds)| Self::counts(ranks, bytes).map(|it| it / seconds))
            .collect();
        let sum = |of: fn(&[f64; 2]) -> f64| rows.iter().map(of).sum::<f64>();
        let (aa, ab, bb) = (sum(|r| r[0] * r[0]), sum(|r| r[0] * r[1]), sum(|r| r[1] * r[1]));
        let (a, b) = (sum(|r| r[0]), sum(|r| r[1]));
        let determinant = aa * bb - ab * ab;
        let (latency, per_byte) =
            ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant);
        let alone = |of: f64, squares: f64| if squares > 0.0 { of / squares } else { 0.0 };
        match (latency > 0.0, per_byte > 0.0) {
            (true, true) => Self { latency, per_byte },
            (false, _) => Self { latency: 0.0, per_byte: alone(b, bb) },
            (true, false) => Self { latency: alone(a, aa), per_byte: 0.0 },
        }
    }
}

/// Rounds of many ranks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Clock {
    /// Ranks R.
    pub ranks: usize,
    /// Seconds of a round of a rank that nothing holds up.
    pub round: f64,
    /// Seconds of an exchange.
    pub exchange: f64,
    /// Whether the exchange runs beside the next round and is applied one round late.
    pub overlap: bool,
}

/// Rounds of a rank that take longer: by a factor of 1 + x, x exponential with this mean …
const WOBBLE: f64 = 0.1;
/// … and one of so many rounds is held up, …
const HELD_UP: u32 = 100;
/// … so many times as long.
const FACTOR: f64 = 3.0;

impl Clock {
    /// A clock for `ranks` ranks, whose rounds and exchanges take so many seconds, one after the other.
    pub fn new(ranks: usize, round: f64, exchange: f64) -> Self {
        Self { ranks, round, exchange, overlap: false }
    }

    /// The same with overlap.
    pub fn overlapping(self) -> Self {
        Self { overlap: true, ..self }
    }

    /// The share of the time that ranks work, where all take equally long.
    pub fn efficiency(&self) -> f64 {
        match self.overlap {
            true => self.round / self.round.max(self.exchange),
            false => self.round / (self.round + self.exchange),
        }
    }

    /// The same where ranks are held up now and then, over `rounds` rounds that are drawn: the mean work of a rank, by the time
    /// of the last.
    pub fn simulated(&self, rounds: usize) -> f64 {
        let (mut done, mut worked) = (vec![0.0_f64; self.ranks], 0.0);
        // When the exchanges of the last round and of the one before it are over.
        let mut exchanged = [0.0_f64; 2];
        for round in 0..rounds {
            let mut last = 0.0_f64;
            for (rank, done) in done.iter_mut().enumerate() {
                let took = self.round * hold_up(rank, round);
                worked += took;
                let begins = if self.overlap { *done } else { done.max(exchanged[0]) };
                *done = begins + took;
                if self.overlap {
                    // It needs what the others made of the round before.
                    *done = done.max(exchanged[0]);
                }
                last = last.max(*done);
            }
            // Exchanges do not overtake each other.
            exchanged = [last.max(exchanged[0]) + self.exchange, exchanged[0]];
        }
        worked / self.ranks as f64 / exchanged[0]
    }
}

/// The factor by which a round of a rank takes longer.
fn hold_up(rank: usize, round: usize) -> f64 {
    let mut draws = Stream::new(1, Phase::Test, round as u32, rank as u32).draws(Part::Task);
    let x: f64 = draws.random();
    let held_up = draws.random_range(0..HELD_UP) == 0;
    (1.0 - WOBBLE * (1.0 - x).ln()) * if held_up { FACTOR } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_finds_the_network_that_made_the_times() {
        let network = Network { latency: 2e-6, per_byte: 5e-10 };
        let of = |ranks, bytes| (ranks, bytes, network.seconds(ranks, bytes));
        let measured = [of(2, 1e3), of(2, 1e6), of(4, 1e4), of(4, 1e7)];
        let fit = Network::fit(&measured);
        assert!(
            (fit.latency / 2e-6 - 1.0).abs() < 1e-6 && (fit.per_byte / 5e-10 - 1.0).abs() < 1e-6
        );
        assert_eq!(network.seconds(1, 1e6), 0.0);
        // Where the bytes say nothing, and where the messages do not.
        let flat = Network::fit(&[(2, 1e3, 1e-5), (2, 2e3, 0.9e-5)]);
        assert!(flat.per_byte == 0.0 && flat.latency > 0.0, "{flat:?}");
        let steep = Network::fit(&[(2, 1e6, 1e-3), (2, 2e6, 2.2e-3)]);
        assert!(steep.latency == 0.0 && steep.per_byte > 0.0, "{steep:?}");
    }

    #[test]
    fn without_hold_ups_a_clock_is_the_formula() {
        assert_eq!(Clock::new(8, 3.0, 1.0).efficiency(), 0.75);
        assert_eq!(Clock::new(8, 3.0, 1.0).overlapping().efficiency(), 1.0);
        assert_eq!(Clock::new(8, 1.0, 4.0).overlapping().efficiency(), 0.25);
    }

    #[test]
    fn hold_ups_cost_more_the_more_ranks_there_are_and_less_with_overlap() {
        let of = |ranks, overlap| {
            let clock = Clock::new(ranks, 1.0, 0.1);
            let clock = if overlap { clock.overlapping() } else { clock };
            clock.simulated(300)
        };
        assert!(of(1, false) > 0.85 && of(1, true) > 0.97, "{} {}", of(1, false), of(1, true));
        assert!(of(64, false) < of(4, false) && of(1024, false) < of(64, false));
        for ranks in [4, 64, 1024] {
            assert!(of(ranks, true) > 1.1 * of(ranks, false), "{ranks}");
        }
        assert_eq!(of(64, true), of(64, true), "drawn from a seed");
    }
}
