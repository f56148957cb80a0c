//! Variants of kernels: all give the same bytes, and the choice is kept.

use crate::harness::{Device, On, Tests, all, named};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::common::{network, with, with_binding};
use reptile::experiments::bench::Workload;
use reptile::gpu::{AdapterChoice, AdapterEntry, Gpu, GpuOptions};
use reptile::meta::{InnerOptimizer, Origin, PlanKind, Trainer, TrainerSetup};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::tasks::{EpisodeSpec, GlyphsSpec, SineSpec};
use reptile::tune::{Trial, Tuning, tune};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_EVERY, named!(every_variant_gives_the_same_bytes));
    tests.own(On::FIRST, named!(every_variant_for_real_gpus_gives_the_same_bytes));
    tests.own(On::FIRST_OR_PLAIN, named!(an_inner_loop_that_a_subgroup_owns_has_no_sizes_to_time));
    tests.own(On::FIRST_OR_PLAIN, named!(what_is_known_or_too_late_is_not_timed));
}

fn timed(gpu: &Gpu, setup: &TrainerSetup, again: bool, budget: Duration) -> Vec<Trial> {
    let mut progress = |_: &str| ();
    tune(gpu, setup, &mut with(Tuning::new(budget, &mut progress), |it| it.again = again)).unwrap()
}

/// A network with every kind of product, on images of 28×28.
fn images(gpu: &Gpu) -> TrainerSetup {
    let mut setup = Workload::Omniglot.training(gpu, 3).unwrap();
    let spec = ModelSpec::builder(&[1, 28, 28])
        .conv2d(9, 3, 2, Padding::SAME)
        .batch_norm(Activation::Relu)
        .conv2d(20, 3, 2, Padding::SAME)
        .dense(37, Activation::Tanh)
        .dense(5, Activation::Linear);
    setup.model = Model::new(spec.loss(Loss::CrossEntropy)).unwrap();
    setup
}

/// Two convolutions of small images and a head: little to compile and to compute for many variants.
fn convolutions(gpu: &Gpu) -> TrainerSetup {
    let mut setup = images(gpu);
    let spec = ModelSpec::builder(&[1, 14, 14])
        .conv2d(9, 3, 2, Padding::SAME)
        .conv2d(36, 3, 2, Padding::SAME)
        .dense(5, Activation::Linear);
    setup.model = Model::new(spec.loss(Loss::CrossEntropy)).unwrap();
    let glyphs = GlyphsSpec::new(EpisodeSpec::new([5, 10], 1));
    setup.origin = Origin::Glyphs(with(glyphs, |it| it.size = 14));
    setup
}

/// Sine waves in a network that the fused workgroup kernel takes.
fn waves(gpu: &Gpu) -> TrainerSetup {
    let mut setup = Workload::Sine.training(gpu, 3).unwrap();
    setup.model = network(1, &[(20, Activation::Gelu), (12, Activation::Relu)], 1, Loss::Mse);
    setup.origin = Origin::Sine(SineSpec::default());
    setup.inner.optimizer = InnerOptimizer::Adam;
    setup.plan = PlanKind::Fused;
    setup
}

fn parameters(gpu: &Gpu, setup: &TrainerSetup) -> Vec<Vec<f32>> {
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    trainer.advance(2, |_| true).unwrap();
    trainer.snapshot().unwrap().parameters
}

fn every_variant_gives_the_same_bytes(device: &Device) {
    let gpu = &device.gpu;
    // Those of the fused kernel take long to compile.
    let setups = if all() { vec![images(gpu), waves(gpu)] } else { vec![images(gpu)] };
    variants_give_the_same_bytes(gpu, setups, &device.name);
}

/// Workgroups of one to sixteen groups of invocations, each with its share of the sums.
fn every_variant_for_real_gpus_gives_the_same_bytes(entry: &AdapterEntry) {
    let choice = with(AdapterChoice::default(), |it| it.device = Some(entry.index.to_string()));
    let options = with(GpuOptions::default(), |it| (it.hardware, it.baseline) = (true, true));
    let gpu = Gpu::request(&choice, options).unwrap();
    let setup = if all() { images(&gpu) } else { convolutions(&gpu) };
    let timed = variants_give_the_same_bytes(&gpu, vec![setup], &entry.info.name);
    let groups: BTreeSet<usize> = timed.iter().filter_map(|trial| groups(&trial.variant)).collect();
    let enough = if all() { 5 } else { 4 };
    assert!(groups.len() >= enough && groups.contains(&1), "{groups:?}");
    assert!(timed.iter().any(|trial| trial.variant.starts_with("direct")));
}

/// Groups of invocations that share a sum.
fn groups(variant: &str) -> Option<usize> {
    let groups = variant.strip_prefix("workgroup")?.split('x').nth(1)?;
    Some(groups.parse().unwrap())
}

fn variants_give_the_same_bytes(gpu: &Gpu, setups: Vec<TrainerSetup>, device: &str) -> Vec<Trial> {
    let mut all_trials = Vec::new();
    for setup in setups {
        let wanted = parameters(gpu, &setup);
        let trials = timed(gpu, &setup, true, Duration::MAX);
        let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
        for trial in &trials {
            assert!(trial.seconds.is_some(), "{trial:?} on {device}");
            *chosen.entry(&trial.key).or_default() += usize::from(trial.chosen);
        }
        assert!(chosen.values().all(|count| *count == 1), "{chosen:?}");
        // Every kernel's first variant, then every kernel's second one, …: the tuner has compared the bytes of each by itself,
        // so that a third of them will do for whole trainings.
        let mut variants: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
        trials.iter().for_each(|trial| variants.entry(&trial.key).or_default().push(trial));
        let most = variants.values().map(Vec::len).max().unwrap_or(0);
        for place in (0..most).step_by(if all() { 1 } else { 3 }) {
            let some = variants.values().map(|all| all[place % all.len()]);
            gpu.set_variants(some.map(|trial| (trial.key.clone(), trial.variant.clone())));
            assert_eq!(parameters(gpu, &setup), wanted, "{place} on {device}");
        }
        trials.iter().for_each(|trial| gpu.forget_variant(&trial.key));
        all_trials.extend(trials);
    }
    all_trials
}

fn an_inner_loop_that_a_subgroup_owns_has_no_sizes_to_time(entry: &AdapterEntry) {
    let gpu = with_binding(entry, None);
    let mut setup = waves(&gpu);
    setup.inner.optimizer = InnerOptimizer::Sgd;
    let kernels = Trainer::new(&gpu, setup.clone()).unwrap().kernels();
    if kernels.iter().any(|kernel| kernel.contains("fused_subgroup")) {
        assert_eq!(timed(&gpu, &setup, true, Duration::MAX), [], "{}", entry.info.name);
    }
}

fn what_is_known_or_too_late_is_not_timed(entry: &AdapterEntry) {
    let gpu = with_binding(entry, None);
    let setup = convolutions(&gpu);
    assert!(timed(&gpu, &setup, false, Duration::ZERO).is_empty(), "no time");
    let trials = timed(&gpu, &setup, false, Duration::MAX);
    assert!(!trials.is_empty());
    assert!(timed(&gpu, &setup, false, Duration::MAX).is_empty(), "all is known");
    let cache = tempfile::tempdir().unwrap();
    gpu.store_variants(cache.path()).unwrap();
    let fresh = with_binding(entry, None);
    assert!(fresh.tuned_variants().is_empty());
    fresh.load_variants(cache.path());
    assert_eq!(fresh.tuned_variants(), gpu.tuned_variants());
    let file = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, "{").unwrap();
    let other = with_binding(entry, None);
    other.load_variants(cache.path());
    assert!(other.tuned_variants().is_empty(), "a damaged file is as good as none");
    other.store_variants(cache.path()).unwrap();
    // Nonsense in a cache is not taken either.
    let wrong = trials.iter().map(|trial| (trial.key.clone(), "subgroup999x1".to_string()));
    fresh.set_variants(wrong);
    assert_eq!(parameters(&fresh, &convolutions(&fresh)), parameters(&gpu, &setup));
}
