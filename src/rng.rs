//! Counter-based random numbers: Threefry2x32 with 20 rounds (Salmon et al. 2011, "Parallel random
//! numbers: as easy as 1, 2, 3"). `shaders/lib/rng.wgsl` is its twin, bit for bit.
//!
//! A stream is keyed by (seed, phase, iteration, task), and every number in it has a position
//! (part, index): any task of any iteration can be drawn alone.

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

    /// A uniform integer in `0..n` (Lemire's multiply-shift; the bias is below n / 2³²).
    pub fn below(&self, part: Part, index: u32, n: u32) -> u32 {
        below(self.words(part, index)[0], n)
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

/// Shuffles `items` with the words of `stream` (Fisher–Yates), the same on every machine.
pub fn shuffle<T>(items: &mut [T], stream: &Stream) {
    for last in (1..items.len()).rev() {
        items.swap(last, stream.below(Part::Order, last as u32, last as u32 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
