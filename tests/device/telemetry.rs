//! Telemetry of gradients, computed on the device: against float64, and that it changes nothing.

use crate::common::{assert_close, network, widen, with, with_binding};
use crate::harness::{Device, On, Tests, all, named};
use crate::sines::{as_tasks, drawn};
use reptile::gpu::AdapterEntry;
use reptile::meta::{
    InnerOptimizer, InnerSpec, Origin, OuterSpec, PlanKind, StrategyKind, Trainer, TrainerSetup,
};
use reptile::model::{Activation, Loss};
use reptile::reference::strategy::inner_loop;
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(norms_products_and_spread_agree_with_float64));
    tests.own(On::FIRST_OR_PLAIN, named!(it_changes_no_byte_and_comes_in_waves));
}

fn sine() -> SineSpec {
    with(SineSpec::default(), |it| (it.points, it.shots) = (20, 5))
}

fn job(telemetry: bool) -> TrainerSetup {
    let mut setup = TrainerSetup::new(
        &network(1, &[(9, Activation::Tanh), (6, Activation::Relu)], 1, Loss::Mse),
        Origin::Sine(sine()),
        InnerSpec::sgd(0.02, 6, 4),
        OuterSpec::interpolation(0.3, 3),
        Batches::new([1, 20], 6, 4),
    );
    setup.seed = 4;
    setup.runs = 2;
    setup.iterations = 10;
    setup.plan = if telemetry { PlanKind::Auto } else { PlanKind::Layered };
    setup.telemetry = telemetry;
    setup
}

/// Norm, product and spread of each layer in the first iteration of a run.
fn in_float64(setup: &TrainerSetup, run: usize) -> Vec<f64> {
    let (model, batches) = (&setup.model, &setup.batches);
    let seed = setup.seed + run as u64;
    let theta = widen(&model.initial(seed));
    let drawn = drawn(&sine(), batches, seed, 0, setup.outer.meta_batch);
    let rates = vec![f64::from(setup.inner.rate); theta.len()];
    let all: Vec<_> = as_tasks(&drawn, batches)
        .iter()
        .map(|task| inner_loop(model, &theta, |_| rates.clone(), task, false))
        .collect();
    let (tasks, steps) = (all.len() as f64, batches.steps as f64);
    let mut numbers = Vec::new();
    for layer in model.layers_with_parameters() {
        let own = layer.canonical_offset..layer.canonical_offset + layer.parameter_count();
        let dot = |a: &[f64], b: &[f64]| own.clone().map(|i| a[i] * b[i]).sum::<f64>();
        let (mut norms, mut products, mut ways) = (0.0, 0.0, 0.0);
        for task in &all {
            for (i, a) in task.gradients.iter().enumerate() {
                norms += dot(a, a);
                for (j, b) in task.gradients.iter().enumerate() {
                    products += if i == j { 0.0 } else { dot(a, b) };
                }
            }
            let way: Vec<f64> = task.parameters.iter().zip(&theta).map(|(a, b)| a - b).collect();
            ways += dot(&way, &way);
        }
        numbers.push((norms / tasks / steps).sqrt());
        numbers.push(products / tasks / (steps * (steps - 1.0)));
        numbers.push((ways / tasks).sqrt());
    }
    numbers
}

fn norms_products_and_spread_agree_with_float64(Device { name, gpu, .. }: &Device) {
    let setup = job(true);
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    let mut seen = Vec::new();
    trainer
        .advance(1, |metrics| {
            seen.push(metrics.clone());
            true
        })
        .unwrap();
    for run in 0..setup.runs {
        let got = seen[0].telemetry_of(run, setup.runs);
        assert_close(&format!("run {run}, {name}"), got, &in_float64(&setup, run), 1e-4);
    }
}

fn it_changes_no_byte_and_comes_in_waves(entry: &AdapterEntry) {
    let gpu = with_binding(entry, None);
    let changes: [fn(TrainerSetup) -> TrainerSetup; 3] = [
        |setup: TrainerSetup| setup,
        |setup: TrainerSetup| {
            with(setup, |it| (it.inner.optimizer, it.inner.beta1) = (InnerOptimizer::Adam, 0.5))
        },
        |setup: TrainerSetup| {
            with(setup, |it| (it.strategy.kind, it.batches.steps) = (StrategyKind::MetaSgd, 5))
        },
    ];
    for change in &changes[..if all() { 3 } else { 1 }] {
        let trained = |telemetry| {
            let mut trainer = Trainer::new(&gpu, change(job(telemetry))).unwrap();
            trainer.advance(3, |_| true).unwrap();
            trainer.snapshot().unwrap()
        };
        assert_eq!(trained(true), trained(false), "{}", entry.info.name);
    }
    let wide = network(1, &[(60, Activation::Tanh), (60, Activation::Tanh)], 1, Loss::Mse);
    let telemetry = |binding| {
        let gpu = with_binding(entry, binding);
        let plan = if all() { PlanKind::Auto } else { PlanKind::Layered };
        let setup = with(job(true), |it| (it.model, it.plan) = (wide.clone(), plan));
        let mut trainer = Trainer::new(&gpu, setup).unwrap();
        let mut seen = Vec::new();
        trainer
            .advance(1, |metrics| {
                seen.clone_from(&metrics.telemetry);
                true
            })
            .unwrap();
        (trainer.waves(), seen)
    };
    // Of three tasks of each of two runs, two fit with what is seen of them.
    let (one, whole) = telemetry(None);
    let (two, parts) = telemetry(Some(2 * 2 * 2 * 4 * wide.packed_len() as u64 + 4000));
    assert_eq!((one, two), (1, 2), "waves");
    assert_close(&entry.info.name, &parts, &widen(&whole), 1e-5);
}
