//! The sine tasks of a trainer in float64.

use reptile::reference::network::Targets;
use reptile::reference::reptile::Task;
use reptile::reference::sampling::{Pool, SineFamily, SineTask, order, sine_task};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Batches, SineSpec};

/// The family of tasks of `spec`.
pub fn family(spec: &SineSpec) -> SineFamily {
    SineFamily {
        amplitude: spec.amplitude,
        phase: spec.phase,
        range: spec.range,
        points: spec.points,
    }
}

/// The `count` training tasks of an iteration, and the order of their minibatches.
pub fn drawn(
    spec: &SineSpec,
    batches: &Batches,
    seed: u64,
    iteration: u64,
    count: usize,
) -> Vec<(SineTask, Vec<u32>)> {
    let family = family(spec);
    let pool = Pool { way: 1, group: batches.group, tail: batches.tail };
    let task = |task| {
        let stream = Stream::new(seed, Phase::Train, iteration as u32, task);
        let order = order(&stream, pool, batches.steps, batches.batch, batches.replacement);
        (sine_task(&stream, &family, batches.group), order)
    };
    (0..count as u32).map(task).collect()
}

/// The same as the reference takes them.
pub fn as_tasks<'a>(drawn: &'a [(SineTask, Vec<u32>)], batches: &Batches) -> Vec<Task<'a>> {
    let task = |(task, order): &'a (SineTask, Vec<u32>)| Task {
        x: &task.support_x,
        targets: Targets::Values(&task.support_y),
        order,
        batch: batches.batch,
        tail: if batches.tail > 0 { batches.way * batches.tail } else { 0 },
    };
    drawn.iter().map(task).collect()
}
