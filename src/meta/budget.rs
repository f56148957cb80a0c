//! The memory that a training takes on the device, before anything is made, and what is tried where it runs out.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::{BufferList, Gpu, Memory};
use crate::kernels::{Axis, RunSteps};
use crate::meta::memory::Entries;
use crate::meta::setup::{RING, TrainerSetup, remedy};
use crate::meta::spec::StatePolicy;
use crate::meta::strategy::Strategy;
use crate::meta::waves;

/// Bytes of the ring of adapted parameter sets.
pub fn memory_bytes(setup: &TrainerSetup) -> u64 {
    Entries::bytes(setup)
}

/// Checks the buffers of a job before anything is made, and returns the bytes of all.
///
/// # Errors
/// [`crate::Error::Limit`] that names the buffer, the needed and the available bytes,
/// [`crate::Error::Config`] as [`TrainerSetup::check`], and if the plan is impossible.
pub fn memory(gpu: &Gpu, setup: &TrainerSetup) -> Result<u64> {
    setup.check()?;
    let mut memory = Memory::on(gpu);
    let setup = &setup.on_device();
    let model = &setup.model;
    Strategy::plan(&mut memory, &setup.strategy, model, setup.runs);
    Entries::plan(&mut memory, setup);
    let waves = waves::sizes(gpu, setup, usize::MAX)?;
    run_buffers(setup, waves.len()).plan(&mut memory);
    let (first, last) = (waves[0], waves[waves.len() - 1]);
    for per_run in std::iter::once(first).chain((last != first).then_some(last)) {
        waves::plan(&mut memory, gpu, setup, Axis { runs: setup.runs, per_run })?;
    }
    memory.check(gpu, remedy)?;
    let mirrored = setup.origin.mirrored_bytes();
    memory.read(if gpu.can_mirror(mirrored) { mirrored } else { 0 });
    // Of this one a slot is bound at a time.
    memory.add("iteration settings", RunSteps::bytes(gpu, setup.runs, RING * waves.len()));
    Ok(memory.total() + setup.origin.data_bytes())
}

/// What each run has once, whatever its tasks: parameters, the moments that tasks share (second, first), those of the outer
/// optimiser (first, second), sums over the tasks where they come in several waves (Δ, second, first moments), metrics.
pub(super) fn run_buffers(setup: &TrainerSetup, waves: usize) -> BufferList<9> {
    let sets = setup.runs * setup.model.packed_len();
    let (inner, outer) = (setup.rule().kept(), setup.outer_rule().kept());
    let several = waves > 1 || setup.shared_tasks.is_some();
    let mean = several && setup.inner.state == StatePolicy::Mean;
    let if_used = |used: bool| if used { sets } else { 0 };
    BufferList([
        ("parameters", sets),
        ("shared second moments", if_used(inner.second)),
        ("shared first moments", if_used(inner.first)),
        ("outer first moments", if_used(outer.first)),
        ("outer second moments", if_used(outer.second)),
        ("sums over tasks", if_used(several)),
        ("sums of second moments", if_used(mean && inner.second)),
        ("sums of first moments", if_used(mean && inner.first)),
        ("metrics", RING * setup.runs * setup.columns()[2]),
    ])
}

/// Tries with `size`, and with half of it each time that the device has no memory left: it may have enough for that.
///
/// # Errors
/// Those of `attempt`.
pub fn halving<T>(size: usize, mut attempt: impl FnMut(usize) -> Result<T>) -> Result<T> {
    let mut parts = Parts::new(0..size, size);
    loop {
        if let Some(made) = parts.or_half(attempt(parts.size()))? {
            return Ok(made);
        }
    }
}

/// The parts of some tasks, as long as the device has room for: half as long from where its memory runs out on.
pub struct Parts {
    left: Range<usize>,
    size: usize,
}

impl Parts {
    /// Those of `all`, at most `size` long.
    pub fn new(all: Range<usize>, size: usize) -> Self {
        Self { left: all, size }
    }

    /// How long they are at most by now.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The next one, until all are done.
    pub fn next(&self) -> Option<Range<usize>> {
        let part = self.left.start..self.left.end.min(self.left.start + self.size);
        Some(part).filter(|part| !part.is_empty())
    }

    /// Goes on behind the next one if it is `done`; none if a shorter one is to be tried.
    ///
    /// # Errors
    /// That of `done`, unless fewer may have room.
    pub fn end<T>(&mut self, done: Result<T>) -> Result<Option<T>> {
        let size = self.size;
        let done = self.or_half(done)?;
        if done.is_some() {
            self.left.start += size;
        }
        Ok(done)
    }

    /// What was `made` for parts of this size; none if they are shorter now.
    ///
    /// # Errors
    /// That of `made`, unless fewer may have room.
    pub fn or_half<T>(&mut self, made: Result<T>) -> Result<Option<T>> {
        match made {
            Err(Error::Limit { available: 0, .. }) if self.size > 1 => {
                self.size = self.size.div_ceil(2);
                Ok(None)
            }
            made => made.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Error {
        let (what, remedy) = ("logits".to_owned(), "lower it".to_owned());
        Error::Limit { what, unit: "bytes", needed: 8, available: 0, remedy }
    }

    #[test]
    fn half_as_many_are_tried_until_they_fit() {
        let mut tried = Vec::new();
        let size = halving(13, |size| {
            tried.push(size);
            if size > 3 { Err(full()) } else { Ok(size) }
        });
        assert_eq!(size.unwrap(), 2);
        assert_eq!(tried, [13, 7, 4, 2]);
    }

    #[test]
    fn parts_are_halved_and_none_is_left_out() {
        let (mut parts, mut tried) = (Parts::new(0..11, 5), Vec::new());
        while let Some(part) = parts.next() {
            tried.push(part.clone());
            let done = parts.end(if part.len() > 3 { Err(full()) } else { Ok(()) });
            assert_eq!(done.unwrap().is_some(), part.len() <= 3);
        }
        assert_eq!(tried, [0..5, 0..3, 3..6, 6..9, 9..11]);
        assert!(Parts::new(0..2, 1).end::<()>(Err(full())).is_err());
    }

    #[test]
    fn other_errors_and_a_single_task_are_not_tried_again() {
        let mut tried = 0;
        let result = halving(4, |_| {
            tried += 1;
            Err::<(), _>(Error::config("model", "wrong"))
        });
        assert!(matches!(result, Err(Error::Config { .. })));
        assert_eq!(tried, 1);
        assert!(matches!(halving(1, |_| Err::<(), _>(full())), Err(Error::Limit { .. })));
    }
}
