//! Which variants of the kernels are the fastest on a device: candidates timed on a job's own shapes.
//! The choice never changes a result, since all candidates give the same bytes, and one that does not
//! is dropped.

mod layer_alone;

pub use layer_alone::{Direction, LayerAlone};

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Wait, now};
use crate::kernels::{
    InnerRule, MOST_BATCHES, Tile, Tiles, backward_tiles, forward_tiles, fused_candidates,
    head_fits, update_tiles,
};
use crate::meta::{Trainer, TrainerSetup};
use crate::optimizers::InnerOptimizer;

/// Distance from float64 that a candidate may have, as a share of the largest number.
const TOLERANCE: f64 = 1e-3;
/// Share of the default's time that a candidate must stay below to take its place.
const CLEARLY: f64 = 0.97;
/// Tasks that candidates are timed on at most on a software device, whose time is that of a task times their number.
const MOST_TASKS: usize = 32;
/// Repeats of one candidate at least, the first of which compiles it.
const REPEATS: u32 = 4;
/// How often candidates take turns on a real GPU, whose clock falls where it waits for a compiler.
const TURNS: u32 = 3;
/// Time for the repeats of one candidate.
const SLICE: Duration = Duration::from_millis(25);
/// What one repeat takes at least on a real GPU, by running the candidate several times in it: a submission
/// alone takes 50 to 100 µs there, as long as many a kernel.
const REPEAT: Duration = Duration::from_millis(2);
/// How often a candidate runs in a repeat at most.
const MOST_RUNS: u64 = 256;

/// How candidates are timed.
#[non_exhaustive]
pub struct Tuning<'a> {
    /// No further candidate is begun after so long; what was timed until then decides.
    pub budget: Duration,
    /// Whether kernels whose choice is known already are timed again.
    pub again: bool,
    /// Is told which kernel comes next.
    pub progress: &'a mut dyn FnMut(&str),
}

impl<'a> Tuning<'a> {
    /// For `budget`, and only kernels whose choice is not known; `progress` is told which comes next.
    pub fn new(budget: Duration, progress: &'a mut dyn FnMut(&str)) -> Self {
        Self { budget, again: false, progress }
    }
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "experiments", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Trial {
    /// Kernel and shape.
    pub key: String,
    /// How the work was cut, such as `subgroup8x32x2` or `workgroup128`.
    pub variant: String,
    /// Of one dispatch (or, for fused loops and chunks of tasks, of a meta-iteration), of processor time
    /// where the device is a CPU; none if it was dropped.
    pub seconds: Option<f64>,
    /// Whether it is the fastest.
    pub chosen: bool,
}

/// What a candidate is tried on.
enum Subject {
    Layer {
        index: usize,
        direction: Direction,
    },
    /// A whole meta-iteration.
    Whole,
}

/// Times the candidates of the kernels of `setup` and makes the fastest ones the device's choice
/// ([`Gpu::variants`]); trainers that are made afterwards have them. The largest layers come first.
///
/// # Errors
/// As [`Trainer::new`]; [`crate::Error::DeviceLost`].
pub fn tune(gpu: &Gpu, setup: &TrainerSetup, tuning: &mut Tuning<'_>) -> Result<Vec<Trial>> {
    now(tune_by(Wait::Blocking, gpu, setup, tuning))
}

/// The async twin of [`tune`]. What other tasks of its executor do in between counts as the candidates' time, so let there
/// be few.
///
/// # Errors
/// As [`tune`].
pub async fn tune_async(
    gpu: &Gpu,
    setup: &TrainerSetup,
    tuning: &mut Tuning<'_>,
) -> Result<Vec<Trial>> {
    tune_by(Wait::Awaiting, gpu, setup, tuning).await
}

async fn tune_by(
    wait: Wait,
    gpu: &Gpu,
    setup: &TrainerSetup,
    tuning: &mut Tuning<'_>,
) -> Result<Vec<Trial>> {
    let start = Instant::now();
    let budget = tuning.budget;
    let late = || start.elapsed() >= budget;
    let mut trials = Vec::new();
    let mut seen = BTreeSet::new();
    for (subject, tiles) in subjects(gpu, setup)? {
        let left = budget.saturating_sub(start.elapsed());
        let repeats = REPEATS as usize * tiles.candidates.len();
        if matches!(subject, Subject::Whole) && meta_iterations(gpu, setup, repeats) > left {
            continue;
        }
        let known = !tuning.again && tiles.is_known(gpu);
        if tiles.candidates.len() < 2 || known || !seen.insert(tiles.key.clone()) {
            continue;
        }
        if late() {
            break;
        }
        (tuning.progress)(&tiles.key);
        gpu.forget_variant(&tiles.key);
        let times = match subject {
            Subject::Layer { index, direction } => {
                of_layer(wait, gpu, setup, (index, direction), &tiles, &late).await
            }
            Subject::Whole => of_whole(wait, gpu, setup, &tiles, &late).await,
        };
        let times = match times {
            // By itself a layer may take more room than in the job, which takes tasks in waves.
            Err(Error::Limit { .. }) => continue,
            times => times?,
        };
        let fastest = choice(&times);
        gpu.set_variants([(tiles.key.clone(), tiles.candidates[fastest].to_string())]);
        trials.extend(tiles.candidates.iter().zip(times).enumerate().map(
            |(place, (tile, seconds))| Trial {
                key: tiles.key.clone(),
                variant: tile.to_string(),
                seconds,
                chosen: place == fastest,
            },
        ));
    }
    Ok(trials)
}

/// The kernels with candidates, those with the most work first, and chunks of tasks.
fn subjects(gpu: &Gpu, setup: &TrainerSetup) -> Result<Vec<(Subject, Tiles)>> {
    let (model, batch, profile) = (&setup.model, setup.batches.batch, gpu.profile());
    if setup.is_fused(gpu)? {
        let sizes = [setup.tasks_at_once(gpu)?, batch];
        let tiles = fused_candidates(gpu, model, setup.rule(), sizes);
        return Ok(tiles.into_iter().map(|tiles| (Subject::Whole, tiles)).collect());
    }
    let headed = head_fits(profile, model, batch);
    let last = model.layers().len() - 1;
    let trained = model.layers().iter().position(|layer| layer.parameter_count() > 0);
    let mut layers: Vec<(usize, u64)> = model
        .layers()
        .iter()
        .enumerate()
        .filter(|(index, layer)| layer.products() > 0 && !(headed && *index == last))
        .map(|(index, layer)| (index, layer.products()))
        .collect();
    layers.sort_by_key(|(_, products)| std::cmp::Reverse(*products));
    let sizes = [chunk(gpu, setup)?, batch];
    // What holds for all kernels is chosen first, by the largest.
    let largest = layers.first().map(|(index, _)| *index);
    let loads = largest
        .zip(Tiles::loads(profile))
        .map(|(index, tiles)| (Subject::Layer { index, direction: Direction::Forward }, tiles));
    let mut subjects: Vec<(Subject, Tiles)> = loads.into_iter().collect();
    for (index, _) in layers {
        let layer = &model.layers()[index];
        let mut add =
            |direction, tiles| subjects.push((Subject::Layer { index, direction }, tiles));
        add(Direction::Forward, forward_tiles(profile, layer, sizes));
        if Some(index) > trained {
            add(Direction::Backward, backward_tiles(profile, layer, sizes));
        }
        add(Direction::Update, update_tiles(profile, layer, sizes));
    }
    // With the other choices made.
    subjects.push((Subject::Whole, setup.chunk_candidates(gpu)?));
    Ok(subjects)
}

/// What so many meta-iterations take at most, if the device is a slow one of its kind.
fn meta_iterations(gpu: &Gpu, setup: &TrainerSetup, count: usize) -> Duration {
    let task_steps = setup.runs * setup.outer.meta_batch * setup.batches.steps;
    let flops = task_steps as f64 * setup.model.flops_per_step(setup.batches.batch) as f64;
    let a_second = if gpu.profile().software { 3e8 } else { 5e11 };
    Duration::from_secs_f64(count as f64 * flops / a_second)
}

/// Tasks that go through the layers at a time.
fn chunk(gpu: &Gpu, setup: &TrainerSetup) -> Result<usize> {
    match setup.chunk_candidates(gpu)?.choose(gpu) {
        Tile::Tasks(count) => Ok(count),
        tile => unreachable!("{tile} is no chunk of tasks"),
    }
}

/// Seconds of each candidate for one way through a layer, of the first ones where it gets `late`.
async fn of_layer(
    wait: Wait,
    gpu: &Gpu,
    setup: &TrainerSetup,
    (index, direction): (usize, Direction),
    tiles: &Tiles,
    late: impl Fn() -> bool,
) -> Result<Vec<Option<f64>>> {
    let most = if gpu.profile().software { MOST_TASKS } else { MOST_BATCHES };
    let sizes = [chunk(gpu, setup)?.min(most), setup.batches.batch];
    let alone = |rule| LayerAlone::new(gpu, &setup.model, index, sizes, rule);
    let checked = alone(InnerRule::SGD)?;
    // A step of another optimiser is arithmetic of its own, whose bytes may differ; learned rates end like SGD.
    let timed = match setup.rule() {
        rule @ InnerRule::Optimizer(inner)
            if inner.optimizer != InnerOptimizer::Sgd && direction == Direction::Update =>
        {
            Some(alone(rule)?)
        }
        _ => None,
    };
    let reference = checked.in_float64(direction);
    let mut first_step = None;
    let recordings = each_candidate(gpu, tiles, late, async |first| {
        let once = async |alone: &LayerAlone| {
            let mut recording = Recording::default();
            alone.record(gpu, &mut recording, direction)?;
            alone.fill(gpu);
            recording.run_times_by(wait, gpu, 1).await?;
            Ok::<_, Error>((recording, alone.result_by(wait, gpu, direction).await?))
        };
        let (mut recording, result) = once(&checked).await?;
        let mut good = is_close(&result, &reference) && same_bytes(&result, first);
        if let Some(timed) = &timed {
            let step;
            (recording, step) = once(timed).await?;
            good &= same_bytes(&step, &mut first_step);
        }
        Ok(good.then_some(recording))
    })
    .await?;
    // Processor time does not depend on the clock as much.
    let turns = if gpu.profile().software { 1 } else { TURNS };
    in_turns(recordings.len(), turns, async |place| {
        let Some(recording) = &recordings[place] else { return Ok(None) };
        let work = async |times| recording.run_times_by(wait, gpu, times).await;
        fastest(gpu, SLICE / turns, work).await.map(Some)
    })
    .await
}

/// The best time of each of `count` candidates in `turns` turns, so that a clock which falls while kernels are compiled, or
/// another program, is to none's disadvantage.
async fn in_turns(
    count: usize,
    turns: u32,
    mut time: impl AsyncFnMut(usize) -> Result<Option<f64>>,
) -> Result<Vec<Option<f64>>> {
    let mut best: Vec<Option<f64>> = vec![None; count];
    for _ in 0..turns {
        for (place, best) in best.iter_mut().enumerate() {
            let seconds = time(place).await?;
            *best = [*best, seconds].into_iter().flatten().reduce(f64::min);
        }
    }
    Ok(best)
}

/// The same for what needs a whole meta-iteration.
async fn of_whole(
    wait: Wait,
    gpu: &Gpu,
    setup: &TrainerSetup,
    tiles: &Tiles,
    late: impl Fn() -> bool,
) -> Result<Vec<Option<f64>>> {
    each_candidate(gpu, tiles, late, async |first| {
        let mut trainer = Trainer::new(gpu, setup.clone())?;
        // Repeats may be more than the job has, and past the end of its schedules.
        trainer.let_runs_diverge();
        trainer.advance_by(wait, 1, |_| true).await?;
        if !same_bytes(&trainer.snapshot_by(wait).await?.parameters.concat(), first) {
            return Ok(None);
        }
        let work = async |times| trainer.advance_by(wait, times, |_| true).await;
        fastest(gpu, SLICE, work).await.map(Some)
    })
    .await
}

/// What `measure` makes of each candidate, of the first ones where it gets `late`: nothing of one that computes other
/// numbers. It is handed the result of the first candidate, once there is one.
async fn each_candidate<T>(
    gpu: &Gpu,
    tiles: &Tiles,
    late: impl Fn() -> bool,
    mut measure: impl AsyncFnMut(&mut Option<Vec<f32>>) -> Result<Option<T>>,
) -> Result<Vec<Option<T>>> {
    let (mut first, mut made) = (None, Vec::new());
    for tile in &tiles.candidates {
        if late() && made.len() > 1 {
            break;
        }
        gpu.set_variants([(tiles.key.clone(), tile.to_string())]);
        let one = measure(&mut first).await;
        let one = one.inspect_err(|_| gpu.forget_variant(&tiles.key))?;
        if one.is_none() {
            let key = &tiles.key;
            log::warn!("{key}: the variant {tile} computes other numbers here and is left out");
        }
        made.push(one);
    }
    Ok(made)
}

/// The place of the fastest candidate; the first one stays unless another is clearly faster.
fn choice(times: &[Option<f64>]) -> usize {
    let measured = times.iter().enumerate().filter_map(|(place, time)| Some((place, (*time)?)));
    let Some((place, best)) = measured.min_by(|a, b| a.1.total_cmp(&b.1)) else { return 0 };
    match times[0] {
        Some(default) if best > CLEARLY * default => 0,
        _ => place,
    }
}

fn is_close(result: &[f32], reference: &[f64]) -> bool {
    let largest = reference.iter().fold(0.0_f64, |all, value| all.max(value.abs()));
    let pairs = result.iter().zip(reference);
    result.len() == reference.len()
        && pairs.into_iter().all(|(a, b)| (f64::from(*a) - b).abs() <= TOLERANCE * largest)
}

/// Whether `result` has the bytes of the first one.
fn same_bytes(result: &[f32], first: &mut Option<Vec<f32>>) -> bool {
    let first = first.get_or_insert_with(|| result.to_vec());
    first.iter().zip(result).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Seconds of one run of `work`, which does as many at once as it is told: of the fastest of as many repeats as
/// fill `slice`; they were warm before. A CPU that plays GPU may be busy with other things as well: there processor
/// time counts.
async fn fastest(
    gpu: &Gpu,
    slice: Duration,
    mut work: impl AsyncFnMut(u64) -> Result<()>,
) -> Result<f64> {
    let software = gpu.profile().software;
    let mut timed = async |runs: u64| -> Result<Duration> {
        let (one, processor) = (Instant::now(), ProcessTime::now());
        work(runs).await?;
        Ok(if software { processor.elapsed() } else { one.elapsed() })
    };
    let least = if software { Duration::ZERO } else { REPEAT };
    let runs = enough_runs(least, &mut timed).await?;
    let start = Instant::now();
    let mut best = f64::INFINITY;
    let mut repeats = 0;
    while repeats + 1 < REPEATS || (start.elapsed() < slice && repeats < 100) {
        best = best.min(timed(runs).await?.as_secs_f64() / runs as f64);
        repeats += 1;
    }
    Ok(best)
}

/// How many runs take `least` at least, twice as many each time.
async fn enough_runs(
    least: Duration,
    timed: &mut impl AsyncFnMut(u64) -> Result<Duration>,
) -> Result<u64> {
    let mut runs = 1;
    while !least.is_zero() && runs < MOST_RUNS && timed(runs).await? < least {
        runs *= 2;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_stays_unless_another_is_clearly_faster() {
        assert_eq!(choice(&[Some(1.0), Some(0.98), Some(2.0)]), 0);
        assert_eq!(choice(&[Some(1.0), Some(0.5), Some(0.4)]), 2);
        assert_eq!(choice(&[None, Some(3.0), None]), 1);
        assert_eq!(choice(&[None, None]), 0);
    }

    #[test]
    fn candidates_take_turns_and_their_best_counts() {
        // A clock that falls by half with each turn, after a first one in which the second candidate was disturbed.
        let mut order = Vec::new();
        let times = now(in_turns(3, 3, async |place| {
            order.push(place);
            let turn = (order.len() - 1) / 3;
            let disturbed = if turn == 0 && place == 1 { 9.0 } else { 0.0 };
            let seconds = [Some(4.0), Some(1.0), None][place];
            Ok(seconds.map(|seconds: f64| seconds + turn as f64 + disturbed))
        }));
        assert_eq!(times.unwrap(), [Some(4.0), Some(2.0), None]);
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_repeat_is_longer_than_a_submission_takes_alone() {
        // 60 µs for the submission, 20 for each run.
        let mut timed = async |runs: u64| Ok(Duration::from_micros(60 + 20 * runs));
        assert_eq!(now(enough_runs(REPEAT, &mut timed)).unwrap(), 128);
        assert_eq!(now(enough_runs(Duration::ZERO, &mut timed)).unwrap(), 1);
        let mut endless = async |_| Ok(Duration::ZERO);
        assert_eq!(now(enough_runs(REPEAT, &mut endless)).unwrap(), MOST_RUNS);
    }

    #[test]
    fn results_are_compared_by_value_and_by_byte() {
        assert!(is_close(&[1.0, -100.05], &[1.05, -100.0]));
        assert!(!is_close(&[1.0, f32::NAN], &[1.0, 1.0]));
        assert!(!is_close(&[1.0], &[1.0, 0.0]));
        let mut first = None;
        assert!(same_bytes(&[0.0, 1.0], &mut first));
        assert!(same_bytes(&[0.0, 1.0], &mut first));
        assert!(!same_bytes(&[-0.0, 1.0], &mut first), "minus zero is another byte");
    }
}
