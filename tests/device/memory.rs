//! The memory of adapted parameter sets: what must hold exactly, and its arithmetic.

use crate::common::{assert_close, network, widen, with, with_binding};
use crate::harness::{Device, On, Tests, named};
use crate::sines::family;
use reptile::gpu::{AdapterEntry, Gpu};
use reptile::kernels::InnerRule;
use reptile::meta::{
    AdaptationSetup, InnerOptimizer, InnerSpec, Origin, OuterSpec, PlanKind, StartingPoint,
    StrategyKind, Trainer, TrainerSetup, TrainingState, best_entries,
};
use reptile::model::{Activation, Loss};
use reptile::reference::network::{Targets, loss_and_gradient};
use reptile::reference::sampling::sine_task;
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::PLAIN, named!(an_entry_for_each_task_taken_whole_is_bitwise_plain_reptile));
    tests.on(On::PLAIN, named!(entries_are_mixed_and_averaged_as_the_formula_says));
    tests.own(On::PLAIN, named!(a_restored_memory_goes_on_exactly));
    tests.on(On::EVERY, named!(the_entry_with_the_lowest_loss_on_the_support_set_is_found));
}

fn sine() -> SineSpec {
    with(SineSpec::default(), |it| (it.points, it.shots) = (20, 6))
}

/// Two runs of three tasks with three steps.
fn job(capacity: usize, blend: f32) -> TrainerSetup {
    let mut setup = TrainerSetup::new(
        &network(1, &[(9, Activation::Tanh), (6, Activation::Relu)], 1, Loss::Mse),
        Origin::Sine(sine()),
        InnerSpec::sgd(0.02, 5, 3),
        OuterSpec::interpolation(0.3, 3),
        Batches::new([1, 20], 5, 3),
    );
    setup.seed = 5;
    setup.runs = 2;
    setup.iterations = 20;
    setup.plan = PlanKind::Layered;
    (setup.memory.capacity, setup.memory.blend) = (capacity, blend);
    setup
}

fn with_adam(setup: TrainerSetup) -> TrainerSetup {
    with(setup, |it| (it.inner.optimizer, it.inner.beta1) = (InnerOptimizer::Adam, 0.5))
}

fn trained(gpu: &Gpu, setup: &TrainerSetup, iterations: u64) -> TrainingState {
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    trainer.advance(iterations, |_| true).unwrap();
    trainer.snapshot().unwrap()
}

fn an_entry_for_each_task_taken_whole_is_bitwise_plain_reptile(Device { name, gpu, .. }: &Device) {
    fn with_meta_sgd(setup: TrainerSetup) -> TrainerSetup {
        with(setup, |it| {
            (it.strategy.kind, it.strategy.rate) = (StrategyKind::MetaSgd, Some(0.1));
            it.batches.steps = 4;
        })
    }
    for change in [|setup| setup, with_adam, with_meta_sgd] {
        let with = trained(gpu, &change(job(3, 1.0)), 5);
        let without = trained(gpu, &change(job(0, 1.0)), 5);
        assert_eq!(with.parameters, without.parameters, "{name}");
        assert_eq!(with.rates, without.rates, "{name}");
        assert_eq!((with.memory.len(), without.memory.len()), (2 * 3, 0));
    }
}

fn entries_are_mixed_and_averaged_as_the_formula_says(Device { name, gpu, .. }: &Device) {
    let (capacity, blend) = (8, 0.25);
    let setup = job(capacity, blend);
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    for iteration in 0..5_u64 {
        let before = trainer.snapshot().unwrap();
        trainer.advance(1, |_| true).unwrap();
        let after = trainer.snapshot().unwrap();
        // What each task is adapted to, from a memory that keeps it whole.
        let whole = with(setup.clone(), |it| (it.memory.capacity, it.memory.blend) = (3, 1.0));
        let mut whole = Trainer::new(gpu, whole).unwrap();
        let empty = whole.snapshot().unwrap();
        let start = with(empty, |it| {
            it.iteration = iteration;
            it.parameters = before.parameters.clone();
        });
        whole.restore(&start).unwrap();
        whole.advance(1, |_| true).unwrap();
        let adapted = whole.snapshot().unwrap();
        for run in 0..2 {
            let entry = |of: &TrainingState, slot: usize| of.memory[run * capacity + slot].clone();
            for i in 0..3 {
                let number = 3 * iteration as usize + i;
                let slot = number % capacity;
                // Task i of iteration t has slot 3 t + i of 3.
                let new = &adapted.memory[run * 3 + (3 * iteration as usize + i) % 3];
                let old = entry(&before, slot);
                let wanted: Vec<f64> = new
                    .iter()
                    .zip(&old)
                    .map(|(new, old)| match number < capacity {
                        true => f64::from(*new),
                        false => 0.75 * f64::from(*old) + 0.25 * f64::from(*new),
                    })
                    .collect();
                let what = format!("entry {slot} of run {run} after {iteration}, {name}");
                assert_close(&what, &entry(&after, slot), &wanted, 1e-6);
            }
            let filled = capacity.min(3 * (iteration as usize + 1));
            assert_eq!(setup.memory.filled(iteration + 1, 3), filled);
            let wanted: Vec<f64> = before.parameters[run]
                .iter()
                .enumerate()
                .map(|(i, theta)| {
                    let theta = f64::from(*theta);
                    let sum: f64 =
                        (0..filled).map(|slot| f64::from(entry(&after, slot)[i]) - theta).sum();
                    theta + 0.3 * sum / filled as f64
                })
                .collect();
            let what = format!("run {run} after {iteration}, {name}");
            assert_close(&what, &after.parameters[run], &wanted, 1e-6);
        }
    }
}

fn a_restored_memory_goes_on_exactly(entry: &AdapterEntry) {
    for change in [|setup: TrainerSetup| setup, with_adam] {
        let setup = change(job(3, 0.5));
        let trained = |iterations: [u64; 2]| {
            let gpu = with_binding(entry, None);
            let mut first = Trainer::new(&gpu, setup.clone()).unwrap();
            first.advance(iterations[0], |_| true).unwrap();
            let mut second = Trainer::new(&gpu, setup.clone()).unwrap();
            second.restore(&first.snapshot().unwrap()).unwrap();
            second.advance(iterations[1], |_| true).unwrap();
            second.snapshot().unwrap()
        };
        let straight = trained([0, 4]);
        assert_eq!(straight, trained([3, 1]), "{}", entry.info.name);
    }
}

fn the_entry_with_the_lowest_loss_on_the_support_set_is_found(Device { name, gpu, .. }: &Device) {
    let setup = job(0, 1.0);
    let model = setup.model.clone();
    let point =
        |seed| StartingPoint::new(model.initial(seed).iter().map(|value| 2.0 * value).collect());
    let entries: Vec<StartingPoint> = (0..5).map(point).collect();
    let spec = sine();
    let family = family(&spec);
    let wanted: Vec<usize> = (2..9)
        .map(|task| {
            let drawn = sine_task(&Stream::new(5, Phase::Test, 0, task), &family, spec.shots);
            let loss = |entry: &StartingPoint| {
                let parameters = widen(&entry.parameters);
                let targets = Targets::Values(&drawn.support_y);
                loss_and_gradient(&model, &parameters, &drawn.support_x, targets).0
            };
            let losses: Vec<f64> = entries.iter().map(loss).collect();
            (0..5).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap()
        })
        .collect();
    assert!(wanted.iter().any(|entry| *entry != wanted[0]), "tasks differ in what fits them");
    let batches = with(setup.batches, |it| it.group = spec.shots);
    let mut setup = AdaptationSetup::new(&model, setup.origin, InnerRule::SGD, 0.02, batches);
    (setup.phase, setup.seed, setup.scored) = (Phase::Test, 5, true);
    let found = best_entries(gpu, &setup, &entries, 2..9, |_, _| Ok(())).unwrap();
    assert_eq!(found, wanted, "{name}");
}
