//! Counter-based random numbers: Threefry2x32 with 20 rounds (Salmon et al. 2011, "Parallel random
//! numbers: as easy as 1, 2, 3"). `shaders/lib/rng.wgsl` is its twin, bit for bit.
//!
//! A stream is keyed by (seed, phase, iteration, task), and every number in it has a position
//! (part, index): any task of any iteration can be drawn alone.

use std::convert::Infallible;

use rand::TryRng;

/// One block of Threefry2x32-20.
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let keys = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..20 {
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(ROTATIONS[round % 8]) ^ x[0];
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x[0] = x[0].wrapping_add(keys[injection % 3]);
            x[1] = x[1].wrapping_add(keys[(injection + 1) % 3]).wrapping_add(injection as u32);
        }
    }
    x
}

/// What a stream is for: streams of different phases never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Initial parameters.
    Init = 0,
    /// Training tasks.
    Train = 1,
    /// Validation tasks, drawn during training.
    Validation = 2,
    /// Test tasks.
    Test = 3,
    /// Minibatches over the user's own tasks.
    Adapt = 4,
    /// The split of a data set into training and test classes.
    Split = 5,
    /// The configurations of a sweep.
    Search = 6,
    /// Which tasks of a stream are learned from again.
    Replay = 7,
}

/// Which part of a task a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// The task itself: amplitude and phase, or its classes.
    Task = 0,
    /// Its examples.
    Examples = 1,
    /// The order of its minibatches.
    Order = 2,
}

/// The random numbers of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// The stream of `task` in `iteration` of the run that has `seed`.
    pub fn new(seed: u64, phase: Phase, iteration: u32, task: u32) -> Self {
        let run = threefry2x32([seed as u32, (seed >> 32) as u32], [phase as u32, iteration]);
        Self { key: threefry2x32(run, [task, 0]) }
    }

    /// Two independent 32-bit words at position (`part`, `index`).
    pub fn words(&self, part: Part, index: u32) -> [u32; 2] {
        threefry2x32(self.key, [index, part as u32])
    }

    /// The numbers of `part` one after another, for rand's distributions: word 0 of each position, or both words where
    /// 64 bits are asked for.
    pub fn draws(self, part: Part) -> Draws {
        Draws { stream: self, part, next: 0 }
    }

    /// A uniform integer in `0..n` (Lemire's multiply-shift; the bias is below n / 2³²).
    pub fn below(&self, part: Part, index: u32, n: u32) -> u32 {
        below(self.words(part, index)[0], n)
    }
}

/// A generator over the positions of one part of a [`Stream`], in order: what the host draws with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draws {
    stream: Stream,
    part: Part,
    next: u32,
}

impl Draws {
    fn block(&mut self) -> [u32; 2] {
        let words = self.stream.words(self.part, self.next);
        self.next = self.next.wrapping_add(1);
        words
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.block()[0])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let [low, high] = self.block();
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let block = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

/// `word` as a uniform number in [0, 1) with 24 bits.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// `word` as a uniform integer in `0..n`.
pub fn below(word: u32, n: u32) -> u32 {
    ((u64::from(word) * u64::from(n)) >> 32) as u32
}

/// Shuffles `items` with the words of `stream` (Fisher–Yates), the same on every machine. Not rand's: runs from before
/// splits were stored draw theirs again, and must come to the same.
pub fn shuffle<T>(items: &mut [T], stream: &Stream) {
    for last in (1..items.len()).rev() {
        items.swap(last, stream.below(Part::Order, last as u32, last as u32 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt};

    /// The known answers of Random123 (kat_vectors, `threefry2x32 20`).
    #[test]
    fn published_known_answers() {
        let ones = u32::MAX;
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32([ones, ones], [ones, ones]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }

    /// The first blocks of key (0, 0) as a generator gives them.
    #[test]
    fn a_generator_gives_the_known_answers_in_order() {
        let draws = || Draws { stream: Stream { key: [0, 0] }, part: Part::Task, next: 0 };
        let mut words = draws();
        assert_eq!(words.next_u32(), 0x6b20_0159);
        assert_eq!(words.next_u32(), threefry2x32([0, 0], [1, 0])[0]);
        assert_eq!(draws().next_u64(), 0x99ba_4efe_6b20_0159);
        let mut bytes = [0; 11];
        draws().fill_bytes(&mut bytes);
        assert_eq!(bytes[..8], 0x99ba_4efe_6b20_0159_u64.to_le_bytes());
        assert_eq!(bytes[8..], threefry2x32([0, 0], [1, 0])[0].to_le_bytes()[..3]);
        // rand's numbers in [0, 1) are those that the device makes of a word.
        assert_eq!(draws().random::<f32>().to_bits(), unit(0x6b20_0159).to_bits());
    }

    /// Bytes of many streams: each value as often as the others (χ² with 255 degrees of freedom, 99.9 % of which lie in
    /// 190 to 330), and neighbours that do not go together.
    #[test]
    fn a_generators_bytes_are_uniform_and_independent() {
        for (seed, phase) in [(0, Phase::Init), (1, Phase::Train), (u64::MAX, Phase::Search)] {
            let mut bytes = vec![0_u8; 1 << 18];
            Stream::new(seed, phase, 3, 7).draws(Part::Examples).fill_bytes(&mut bytes);
            let mut counts = [0_u32; 256];
            bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
            let expected = bytes.len() as f64 / 256.0;
            let terms = counts.iter().map(|count| (f64::from(*count) - expected).powi(2));
            let chi_squared = terms.sum::<f64>() / expected;
            assert!((190.0..330.0).contains(&chi_squared), "{chi_squared}");
            // The correlation of neighbours is within four of its standard deviations, 1 / √n, of 0.
            let centred: Vec<f64> = bytes.iter().map(|byte| f64::from(*byte) - 127.5).collect();
            let product: f64 = centred.windows(2).map(|pair| pair[0] * pair[1]).sum();
            let square: f64 = centred.iter().map(|value| value * value).sum();
            let correlation = product / square;
            assert!(correlation.abs() < 4.0 / (bytes.len() as f64).sqrt(), "{correlation}");
        }
    }

    #[test]
    fn shuffle_is_a_permutation_and_depends_on_the_seed() {
        let draw = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            shuffle(&mut items, &Stream::new(seed, Phase::Split, 0, 0));
            items
        };
        let mut sorted = draw(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
