//! How a task's support examples become minibatches.

/// The minibatches of a task's inner loop. Support example e = n · `group` + s is shot s of class n;
/// a regression task is one class.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batches {
    /// Classes of a task (1 for regression).
    pub way: usize,
    /// Support examples a class, the tail included.
    pub group: usize,
    /// Examples a class that only the last minibatch holds (`outer.tail_shots`); 0 = none.
    pub tail: usize,
    /// Inner steps K.
    pub steps: usize,
    /// Minibatch size B (the tail's own is `way · tail`).
    pub batch: usize,
    /// Each minibatch is an independent draw, instead of a cut of a shuffled epoch.
    pub replacement: bool,
}

/// Consecutive inner steps with one minibatch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Its first step inside the inner loop, counted from 0.
    pub first_step: usize,
    /// Number of its inner steps.
    pub steps: usize,
    /// Examples of each of its minibatches.
    pub batch: usize,
    /// Where its first minibatch starts in a task's order.
    pub order_start: usize,
}

impl Batches {
    /// `steps` minibatches of `batch` of the `shots` support examples of each of `way` classes, cut from shuffled epochs
    /// without a tail.
    pub fn new([way, shots]: [usize; 2], batch: usize, steps: usize) -> Self {
        Self { way, group: shots, tail: 0, steps, batch, replacement: false }
    }

    /// Support examples of a task.
    pub fn support(&self) -> usize {
        self.way.saturating_mul(self.group)
    }

    /// Support examples that take part in the passes.
    pub fn pool(&self) -> usize {
        self.way.saturating_mul(self.group.saturating_sub(self.tail))
    }

    /// Places of the order that one pass fills.
    pub fn take(&self) -> usize {
        if self.replacement { self.batch } else { self.pool() }
    }

    /// Places of the order that all passes fill.
    pub fn ordered(&self) -> usize {
        self.steps.saturating_sub(usize::from(self.tail > 0)).saturating_mul(self.batch)
    }

    /// Passes over the pool; none over one without examples.
    pub fn passes(&self) -> usize {
        if self.take() == 0 { 0 } else { self.ordered().div_ceil(self.take()) }
    }

    /// Length of a task's order.
    pub fn order_len(&self) -> usize {
        self.ordered().saturating_add(self.way.saturating_mul(self.tail))
    }

    /// The inner loop as runs of at most `most` equal minibatches. With `split_last`, the last step is
    /// a segment of its own (FOMAML needs the parameters before it).
    pub fn segments(&self, split_last: bool, most: usize) -> Vec<Segment> {
        let tail = self.tail > 0;
        let before = if tail || split_last { self.steps.saturating_sub(1) } else { self.steps };
        let last_batch = if tail { self.way.saturating_mul(self.tail) } else { self.batch };
        let segment = |first_step, steps, batch| Segment {
            first_step,
            steps,
            batch,
            order_start: first_step.saturating_mul(self.batch),
        };
        (0..before)
            .step_by(most.max(1))
            .map(|first| segment(first, most.min(before - first), self.batch))
            .chain((before < self.steps).then(|| segment(before, 1, last_batch)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_a_segment_of_its_own() {
        let batches =
            Batches { way: 5, group: 15, tail: 5, steps: 4, batch: 10, replacement: false };
        assert_eq!((batches.pool(), batches.ordered(), batches.order_len()), (50, 30, 55));
        let segments = batches.segments(true, usize::MAX);
        assert_eq!(segments[0], Segment { first_step: 0, steps: 3, batch: 10, order_start: 0 });
        assert_eq!(segments[1], Segment { first_step: 3, steps: 1, batch: 25, order_start: 30 });
    }

    #[test]
    fn impossible_batches_do_not_panic() {
        let none = Batches { way: 0, group: 0, tail: 0, steps: 0, batch: 0, replacement: false };
        let all_tail = Batches { way: 2, group: 3, tail: 5, steps: 1, batch: 2, ..none.clone() };
        let most = usize::MAX;
        let huge =
            Batches { way: most, group: most, tail: 1, steps: 3, batch: most, ..none.clone() };
        for (batches, pool) in [(none, 0), (all_tail, 0), (huge, most)] {
            assert_eq!(batches.pool(), pool);
            assert!(batches.passes() <= 2 && batches.order_len() >= batches.ordered());
            assert!(batches.segments(true, most).len() <= 2);
        }
    }

    #[test]
    fn one_segment_without_a_tail() {
        let batches =
            Batches { way: 1, group: 50, tail: 0, steps: 7, batch: 10, replacement: false };
        assert_eq!(batches.segments(false, usize::MAX).len(), 1);
        assert_eq!(batches.passes(), 2);
        let steps = |most| -> Vec<[usize; 3]> {
            let segments = batches.segments(false, most);
            segments.iter().map(|s| [s.first_step, s.steps, s.order_start]).collect()
        };
        assert_eq!(steps(3), [[0, 3, 0], [3, 3, 30], [6, 1, 60]]);
        let single = Batches { steps: 1, ..batches };
        assert_eq!(single.segments(true, usize::MAX).len(), 1, "an empty segment is left out");
    }
}
