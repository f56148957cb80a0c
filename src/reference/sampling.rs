//! Tasks and minibatches drawn from a task's own random stream. Integers agree with the kernels
//! bit for bit.

use crate::rng::{Part, Stream, below, threefry2x32, unit};

/// The most examples that one class of an episode may have, support and queries together: each
/// class has its own range of as many positions in [`Part::Examples`].
pub const EXAMPLES_PER_CLASS: u32 = 256;

/// The support examples that minibatches are cut from: `way` groups of `group` examples, of which
/// the last `tail` of each group are held out for the last minibatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Groups: the classes of an episode, 1 for regression.
    pub way: usize,
    /// Support examples of a group: the shots, or all N for regression.
    pub group: usize,
    /// Examples of a group that are held out.
    pub tail: usize,
}

impl Pool {
    /// Examples that ordinary minibatches draw from.
    pub fn len(&self) -> usize {
        self.way * (self.group - self.tail)
    }

    /// True if every example is held out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The support example of element `i`.
    fn example(&self, i: usize) -> u32 {
        let kept = self.group - self.tail;
        (i / kept * self.group + i % kept) as u32
    }

    /// The held-out support examples, class by class.
    fn held_out(&self) -> impl Iterator<Item = u32> {
        (0..self.way)
            .flat_map(move |n| (n + 1) * self.group - self.tail..(n + 1) * self.group)
            .map(|e| e as u32)
    }
}

/// The support examples of each inner step: `[steps · batch]`, or with a tail
/// `[(steps − 1) · batch + way · tail]`.
///
/// Without `replacement` the pool is shuffled, cut into minibatches that straddle passes, and
/// shuffled anew at each pass. With it each minibatch is a draw of its own without repeats.
///
/// # Panics
/// If there are no steps, if ordinary minibatches are asked of an empty pool, or if a minibatch
/// with `replacement` is larger than the pool.
pub fn order(
    stream: &Stream,
    pool: Pool,
    steps: usize,
    batch: usize,
    replacement: bool,
) -> Vec<u32> {
    let ordinary = if pool.tail > 0 { steps - 1 } else { steps } * batch;
    let take = if replacement { batch } else { pool.len() };
    assert!(take <= pool.len(), "a minibatch of {batch} from a pool of {}", pool.len());
    assert!(ordinary == 0 || take > 0, "minibatches from an empty pool");
    let mut order = Vec::with_capacity(ordinary + pool.way * pool.tail);
    for pass in 0.. {
        if order.len() >= ordinary {
            break;
        }
        let first = (pass * pool.len()) as u32;
        let shuffled = by_rank(stream, Part::Order, first, pool.len());
        let wanted = take.min(ordinary - order.len());
        order.extend(shuffled[..wanted].iter().map(|&i| pool.example(i as usize)));
    }
    order.extend(pool.held_out());
    order
}

/// The elements 0..`count` by rank: the element of rank r is at r. The key of element i is the
/// word at `first` + i; of equal keys the lower element comes first.
fn by_rank(stream: &Stream, part: Part, first: u32, count: usize) -> Vec<u32> {
    let mut elements: Vec<u32> = (0..count as u32).collect();
    elements.sort_by_key(|&i| (stream.words(part, first + i)[0], i));
    elements
}

/// The family of sine waves y = A sin(x + phase), seen at an even grid of `points` x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SineFamily {
    /// Lowest and highest A.
    pub amplitude: [f32; 2],
    /// Lowest and highest phase.
    pub phase: [f32; 2],
    /// First and last x of the grid.
    pub range: [f32; 2],
    /// Points of the grid, at least 2.
    pub points: usize,
}

/// One sine wave. Every x is an exact f32; y is not rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct SineTask {
    /// A.
    pub amplitude: f32,
    /// The phase, in radians.
    pub phase: f32,
    /// `[N, 1]`
    pub support_x: Vec<f64>,
    /// `[N, 1]`
    pub support_y: Vec<f64>,
    /// The whole grid in its order, `[points, 1]`
    pub query_x: Vec<f64>,
    /// `[points, 1]`
    pub query_y: Vec<f64>,
}

/// Draws a wave and `support` points of its grid: all of them in training, the shots at evaluation.
///
/// # Panics
/// If `support` is above the points of the grid.
pub fn sine_task(stream: &Stream, family: &SineFamily, support: usize) -> SineTask {
    let [a, b] = stream.words(Part::Task, 0);
    let between = |[low, high]: [f32; 2], word| low + (high - low) * unit(word);
    let (amplitude, phase) = (between(family.amplitude, a), between(family.phase, b));
    let wave = |&x: &f64| f64::from(amplitude) * (x + f64::from(phase)).sin();

    let [low, high] = family.range;
    let last = (family.points - 1) as f32;
    let query_x: Vec<f64> =
        (0..family.points).map(|j| f64::from(low + (high - low) * j as f32 / last)).collect();
    let shuffled = by_rank(stream, Part::Examples, 0, family.points);
    let support_x: Vec<f64> = shuffled[..support].iter().map(|&j| query_x[j as usize]).collect();
    SineTask {
        amplitude,
        phase,
        support_y: support_x.iter().map(wave).collect(),
        query_y: query_x.iter().map(wave).collect(),
        support_x,
        query_x,
    }
}

/// An N-way task over a set of images. The label of an example is its class's place in `classes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The class of each label, `[way]`.
    pub classes: Vec<u32>,
    /// (class, image in that class) of the support: shot s of label n is at n · shots + s.
    pub support: Vec<(u32, u32)>,
    /// The same for the queries: query q of label n is at n · queries + q.
    pub query: Vec<(u32, u32)>,
}

/// Draws `way` different classes out of `class_count`, and of each `shots` + `queries` different
/// images out of `images_in(class)`.
///
/// # Panics
/// If there are too few classes or images, or more than [`EXAMPLES_PER_CLASS`] are asked for.
pub fn episode(
    stream: &Stream,
    class_count: u32,
    images_in: &dyn Fn(u32) -> u32,
    way: u32,
    shots: u32,
    queries: u32,
) -> Episode {
    assert!(shots + queries <= EXAMPLES_PER_CLASS, "{shots} shots and {queries} queries");
    let classes = picks(stream, Part::Task, 0, class_count, way);
    let (mut support, mut query) = (Vec::new(), Vec::new());
    for (n, &class) in (0..).zip(&classes) {
        let first = n * EXAMPLES_PER_CLASS;
        let images = picks(stream, Part::Examples, first, images_in(class), shots + queries);
        let examples: Vec<_> = images.into_iter().map(|image| (class, image)).collect();
        let (shots, queries) = examples.split_at(shots as usize);
        support.extend(shots);
        query.extend(queries);
    }
    Episode { classes, support, query }
}

/// A task of a list by the numbers of its examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTask {
    /// Its place in the list.
    pub place: usize,
    /// Its support examples.
    pub support: Vec<u32>,
    /// Its query examples: none of them is in the support.
    pub query: Vec<u32>,
}

/// Draws a task of `list` (first example, examples) with `sizes` support and query examples: in training any, else the one
/// whose turn `number` it is. Examples are drawn without repeats; where all are support, and none are held out as a `tail`,
/// they keep their order.
///
/// # Panics
/// If the list is empty, or a task has too few examples.
pub fn listed_task(
    stream: &Stream,
    (number, training): (u32, bool),
    list: &[[u32; 2]],
    [support, queries]: [u32; 2],
    tail: u32,
) -> ListedTask {
    let count = list.len() as u32;
    let place = match training {
        true => below(stream.words(Part::Task, 0)[0], count),
        false => number % count,
    };
    let [first, examples] = list[place as usize];
    let all = queries == 0 && tail == 0 && support == examples;
    let drawn: Vec<u32> = match all {
        true => (0..examples).collect(),
        false => picks(stream, Part::Examples, 0, examples, support + queries),
    };
    let drawn: Vec<u32> = drawn.into_iter().map(|example| first + example).collect();
    let (support, query) = drawn.split_at(support as usize);
    ListedTask { place: place as usize, support: support.to_vec(), query: query.to_vec() }
}

/// What a function of the user's own draws from, for a task or for an example: `shaders/lib/random.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRandom {
    key: [u32; 2],
    next: u32,
}

impl OwnRandom {
    /// What `draw_task` is given.
    pub fn of_task(stream: &Stream) -> Self {
        Self { key: stream.words(Part::Task, 0), next: 0 }
    }

    /// What `draw_example` is given for example `number`: support examples, and then queries.
    pub fn of_example(stream: &Stream, number: u32) -> Self {
        Self { key: stream.words(Part::Examples, number), next: 0 }
    }

    fn words(&mut self) -> [u32; 2] {
        self.next += 1;
        threefry2x32(self.key, [self.next - 1, 0])
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn uniform(&mut self) -> f32 {
        unit(self.words()[0])
    }

    /// Of mean 0 and deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let [a, b] = self.words().map(|word| f64::from(unit(word)));
        (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// A uniform integer in 0..`n`.
    pub fn below(&mut self, n: u32) -> u32 {
        below(self.words()[0], n)
    }
}

/// `count` different elements of 0..`n` by a partial Fisher–Yates shuffle: pick i swaps positions
/// i and i + below(word at `first` + i, n − i), and takes position i.
fn picks(stream: &Stream, part: Part, first: u32, n: u32, count: u32) -> Vec<u32> {
    assert!(count <= n, "{count} of {n}");
    let mut elements: Vec<u32> = (0..n).collect();
    for i in 0..count {
        let other = i + below(stream.words(part, first + i)[0], n - i);
        elements.swap(i as usize, other as usize);
    }
    elements.truncate(count as usize);
    elements
}

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;
