//! Learned strategies on the device: against float64, and what must hold exactly.

use crate::common::{assert_close, network, numbers, widen, with, with_binding};
use crate::harness::{Device, On, Tests, all, named};
use crate::sines::{as_tasks, drawn};
use reptile::gpu::{AdapterEntry, Gpu};
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, Granularity, InnerSpec, Origin, OuterSpec, PlanKind,
    StartingPoint, StrategyKind, StrategySpec, Trainer, TrainerSetup, TrainingState,
};
use reptile::model::{Activation, Loss, Model};
use reptile::reference::strategy::{
    Learner, Rule, Settings, inner_loop, learned_with, meta_iteration, refined,
};
use reptile::rng::Phase;
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_PLAIN, named!(every_strategy_agrees_with_float64_in_both_plans));
    tests.on(On::EVERY, named!(a_held_out_query_and_a_direction_agree_with_float64));
    tests.on(On::FIRST_OR_PLAIN, named!(tasks_whose_loss_grows_are_left_out_and_lower_the_rates));
    tests.on(On::PLAIN, named!(a_step_of_zero_is_bitwise_plain_reptile));
    tests.on(On::PLAIN, named!(a_restored_strategy_goes_on_exactly_and_runs_do_not_see_each_other));
    tests.own(On::FIRST_OR_PLAIN, named!(tasks_in_waves_give_the_same_rates));
    tests.on(On::PLAIN, named!(aruba_goes_on_from_a_trainer_as_from_its_snapshot));
    tests.on(On::EVERY, named!(aruba_goes_on_at_test_time_as_float64_says));
    tests.on(On::EVERY, named!(learned_rates_shrink_behind_the_steps_they_were_learned_with));
    tests.on(On::PLAIN, named!(hardly_a_step_hardly_moves_a_rate));
    tests.on(On::PLAIN, named!(a_rate_that_overflows_is_an_error_that_names_the_key));
}

const RATE: f32 = 0.02;
const KINDS: [StrategyKind; 3] =
    [StrategyKind::MetaSgd, StrategyKind::Hypergradient, StrategyKind::Aruba];

fn sine() -> SineSpec {
    with(SineSpec::default(), |it| (it.points, it.shots) = (20, 5))
}

/// Two runs of three tasks, four steps (and a query, where there is one).
fn job(strategy: StrategySpec) -> TrainerSetup {
    let steps = 4 + usize::from(strategy.has_query());
    let mut setup = TrainerSetup::new(
        &network(1, &[(9, Activation::Tanh), (14, Activation::Tanh)], 1, Loss::Mse),
        Origin::Sine(sine()),
        InnerSpec::sgd(RATE, 6, 4),
        OuterSpec::interpolation(0.3, 3),
        with(Batches::new([1, 20], 6, steps), |it| it.tail = strategy.query_shots),
    );
    setup.seed = 11;
    setup.runs = 2;
    setup.iterations = 10;
    setup.plan = PlanKind::Layered;
    setup.strategy = strategy;
    setup
}

fn strategy(kind: StrategyKind, granularity: Granularity) -> StrategySpec {
    // A step that moves the rates by tenths in an iteration.
    let rate = match kind {
        StrategyKind::MetaSgd => 0.1,
        _ => 0.002,
    };
    with(StrategySpec::default(), |it| {
        it.kind = kind;
        it.granularity = granularity;
        it.rate = Some(rate);
    })
}

fn trained(gpu: &Gpu, setup: &TrainerSetup, iterations: u64) -> TrainingState {
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    trainer.advance(iterations, |_| true).unwrap();
    trainer.snapshot().unwrap()
}

/// The parameters that share a rate, by their places in a canonical set.
fn groups(model: &Model, granularity: Granularity) -> Vec<Vec<usize>> {
    let layers = model.layers_with_parameters().map(|layer| {
        let first = layer.canonical_offset;
        (first..first + layer.parameter_count()).collect()
    });
    match granularity {
        Granularity::Parameter => (0..model.parameter_count()).map(|i| vec![i]).collect(),
        Granularity::Layer => layers.collect(),
        Granularity::Scalar => vec![(0..model.parameter_count()).collect()],
    }
}

/// One run in float64.
fn in_float64(setup: &TrainerSetup, run: usize, iterations: u64) -> Learner {
    let (spec, model, batches) = (&setup.strategy, &setup.model, &setup.batches);
    let as_written = |value: f32| value.to_string().parse::<f64>().unwrap();
    let settings = Settings {
        rule: match spec.kind {
            StrategyKind::None => panic!("no strategy"),
            StrategyKind::MetaSgd => Rule::MetaSgd,
            StrategyKind::Hypergradient => Rule::Hypergradient,
            StrategyKind::Aruba => {
                Rule::Aruba { zeta: spec.zeta.into(), power: spec.power.into(), start: RATE.into() }
            }
        },
        step: spec.rate().into(),
        bounds: [spec.min_rate, spec.max_rate].map(f64::from),
        groups: groups(model, spec.granularity),
        layers: groups(model, Granularity::Layer),
        guard: spec.guard().into(),
        momentum: as_written(spec.momentum),
    };
    let seed = setup.seed + run as u64;
    let mut learner = Learner::new(widen(&model.initial(seed)), RATE.into());
    for iteration in 0..iterations {
        let drawn = drawn(&sine(), batches, seed, iteration, setup.outer.meta_batch);
        let tasks = as_tasks(&drawn, batches);
        let rate = f64::from(setup.outer.rate);
        meta_iteration(model, &mut learner, &settings, iteration, rate, &tasks);
    }
    learner
}

/// Compares four iterations of every run with float64; returns how far rates went from where they began.
fn check(
    Device { name, gpu, .. }: &Device,
    what: &str,
    setup: &TrainerSetup,
    plans: &[PlanKind],
) -> f64 {
    let wanted: Vec<Learner> = (0..setup.runs).map(|run| in_float64(setup, run, 4)).collect();
    for plan in plans {
        let got = trained(gpu, &with(setup.clone(), |it| it.plan = *plan), 4);
        for (run, wanted) in wanted.iter().enumerate() {
            let what = format!("{what}, {plan:?}, run {run}, {name}");
            assert_close(&what, &got.parameters[run], &wanted.theta, 1e-4);
            assert_close(&format!("rates of {what}"), &got.rates[run], &wanted.rates, 1e-3);
        }
    }
    let factor = |rate: &f64| (rate / f64::from(RATE)).ln().abs().exp();
    wanted.iter().flat_map(|of| &of.rates).map(factor).fold(1.0, f64::max)
}

fn every_strategy_agrees_with_float64_in_both_plans(device: &Device) {
    for kind in KINDS {
        for granularity in [Granularity::Scalar, Granularity::Layer, Granularity::Parameter] {
            let setup = job(strategy(kind, granularity));
            let what = format!("{kind:?} by {granularity:?}");
            // In a short run, each in one of them.
            let plans = [PlanKind::Fused, PlanKind::Layered];
            let fused = matches!(
                (kind, granularity),
                (StrategyKind::MetaSgd, Granularity::Layer)
                    | (StrategyKind::Hypergradient, Granularity::Parameter)
                    | (StrategyKind::Aruba, Granularity::Scalar)
            );
            let plans = if all() { &plans[..] } else { &plans[usize::from(!fused)..][..1] };
            let factor = check(device, &what, &setup, plans);
            assert!(factor > 1.05, "{what}: the rates moved by a factor of {factor} alone");
        }
    }
}

fn a_held_out_query_and_a_direction_agree_with_float64(device: &Device) {
    let spec = with(strategy(StrategyKind::MetaSgd, Granularity::Parameter), |it| {
        it.query_shots = 4;
        it.momentum = 0.7;
    });
    check(device, "a held-out query", &job(spec), &[PlanKind::Fused, PlanKind::Layered]);
}

fn tasks_whose_loss_grows_are_left_out_and_lower_the_rates(device: &Device) {
    for kind in KINDS {
        // At this rate some tasks end with more than 1.2 times their first loss, and others do not.
        let mut setup = job(with(strategy(kind, Granularity::Layer), |it| {
            it.guard = Some(1.2);
            it.rate = Some(0.0);
        }));
        setup.outer.meta_batch = 5;
        let plan = if all() { PlanKind::Fused } else { PlanKind::Layered };
        let factor = check(device, &format!("{kind:?} with a guard"), &setup, &[plan]);
        assert!(factor > 1.05, "{kind:?}: no task was left out ({factor})");
    }
}

fn a_step_of_zero_is_bitwise_plain_reptile(Device { name, gpu, .. }: &Device) {
    for kind in [StrategyKind::Hypergradient, StrategyKind::MetaSgd] {
        // Plain Reptile leaves no task out.
        let still = with(StrategySpec::default(), |it| {
            (it.kind, it.rate, it.guard) = (kind, Some(0.0), Some(0.0));
        });
        let setup = job(still);
        // A query is one more minibatch behind the same four.
        let mut plain = setup.clone();
        (plain.strategy, plain.batches.steps) = (StrategySpec::default(), 4);
        let (got, wanted) = (trained(gpu, &setup, 5), trained(gpu, &plain, 5));
        assert_eq!(got.parameters, wanted.parameters, "{kind:?}, {name}");
        assert!(got.rates.iter().flatten().all(|rate| *rate == RATE), "{kind:?}, {name}");
    }
}

fn a_restored_strategy_goes_on_exactly_and_runs_do_not_see_each_other(
    Device { name, gpu, .. }: &Device,
) {
    for kind in KINDS {
        let spec = with(strategy(kind, Granularity::Layer), |it| it.momentum = 0.5);
        let setup = with(job(spec), |it| it.plan = PlanKind::Auto);
        let straight = trained(gpu, &setup, 6);
        let half = trained(gpu, &setup, 2);
        let mut resumed = Trainer::new(gpu, setup.clone()).unwrap();
        resumed.restore(&half).unwrap();
        resumed.advance(4, |_| true).unwrap();
        assert_eq!(straight, resumed.snapshot().unwrap(), "{kind:?}, {name}");
        // As versions left it that took other steps.
        let mut without = half;
        without.squares.clear();
        let error = resumed.restore(&without).unwrap_err().to_string();
        assert!(error.contains("sums of squares"), "{error}, {name}");
        let alone = with(setup, |it| (it.runs, it.seed) = (1, it.seed + 1));
        let alone = trained(gpu, &alone, 6);
        assert_eq!(straight.parameters[1], alone.parameters[0], "{kind:?}, {name}");
        assert_eq!(straight.rates[1], alone.rates[0], "{kind:?}, {name}");
    }
}

fn tasks_in_waves_give_the_same_rates(entry: &AdapterEntry) {
    let large = with_binding(entry, None);
    // The one with the most state stands for the others in a short run.
    let kinds = if all() { &KINDS[..] } else { &[StrategyKind::Hypergradient] };
    for &kind in kinds {
        let mut setup = job(strategy(kind, Granularity::Scalar));
        setup.model = network(1, &[(60, Activation::Tanh), (60, Activation::Tanh)], 1, Loss::Mse);
        setup.outer.meta_batch = 5;
        let planes = if kind == StrategyKind::Hypergradient { 2 } else { 1 };
        // Of five tasks of each of two runs, two fit.
        let binding = (2 * 2 * 4 * planes * setup.model.packed_len()) as u64 + 4000;
        let trained = |gpu| {
            let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
            trainer.advance(3, |_| true).unwrap();
            (trainer.waves(), trainer.snapshot().unwrap())
        };
        let small = with_binding(entry, Some(binding));
        let ((one, whole), (three, parts)) = (trained(&large), trained(&small));
        assert_eq!((one, three), (1, 3), "waves");
        assert_eq!(whole, parts, "{kind:?}, {}", entry.info.name);
    }
}

/// Adapting to the tasks of `setup` with `rule`.
fn refining(setup: &TrainerSetup, plan: PlanKind, rule: InnerRule) -> AdaptationSetup {
    let (model, tasks, batches) = (&setup.model, setup.origin.clone(), setup.batches.clone());
    with(AdaptationSetup::new(model, tasks, rule, RATE, batches), |it| {
        it.plan = plan;
        it.phase = Phase::Train;
        it.seed = setup.seed;
        it.transductive = vec![true];
    })
}

fn aruba_goes_on_from_a_trainer_as_from_its_snapshot(Device { name, gpu, .. }: &Device) {
    let setup = job(strategy(StrategyKind::Aruba, Granularity::Parameter));
    let rule = InnerRule::Refined { factor: 2.0, bounds: [1e-6, 1.0], learned: None };
    let mut adaptation = Adaptation::new(gpu, refining(&setup, PlanKind::Auto, rule), 2).unwrap();
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let mut from = |trainer: &Trainer| {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        adaptation.record_start(&mut encoder, trainer, 1)?;
        gpu.queue().submit([encoder.finish()]);
        adaptation.run(0)?;
        adaptation.adapted()
    };
    let error = from(&trainer).unwrap_err().to_string();
    assert!(error.contains("strategy.refine"), "{error}, {name}");
    trainer.advance(3, |_| true).unwrap();
    let on_device = from(&trainer).unwrap();
    adaptation.start_from(&trainer.snapshot().unwrap().starting_point(1).unwrap()).unwrap();
    adaptation.run(0).unwrap();
    assert_eq!(adaptation.adapted().unwrap(), on_device, "{name}");
}

fn aruba_goes_on_at_test_time_as_float64_says(Device { name, gpu, mode }: &Device) {
    let (tasks, factor, bounds) = (3, 0.7_f32, [1e-3_f32, 0.05]);
    let setup = job(strategy(StrategyKind::Aruba, Granularity::Parameter));
    let (model, batches) = (&setup.model, &setup.batches);
    let count = model.parameter_count();
    let start = with(StartingPoint::new(model.initial(3)), |it| {
        // Rates of about one: above the bound until gradients are large.
        it.sums = Some([1, 2].map(|seed| {
            numbers(seed, count).iter().map(|value| 1e-4 * (1.0 + value.abs())).collect()
        }));
    });
    let [ways, squares] = start.sums.clone().unwrap();
    let drawn = drawn(&sine(), batches, setup.seed, 0, tasks);
    let wanted: Vec<f64> = as_tasks(&drawn, batches)
        .iter()
        .flat_map(|task| {
            let sums = [widen(&ways), widen(&squares)];
            let rates = refined(sums, factor.into(), bounds.map(f64::from));
            let rates = learned_with(2, rates);
            inner_loop(model, &widen(&start.parameters), rates, task, false).parameters
        })
        .collect();
    let adapted = |gpu: &Gpu, plan, start: &StartingPoint| {
        let rule = InnerRule::Refined { factor, bounds, learned: Some(2) };
        let adapting = refining(&setup, plan, rule);
        let mut adaptation = Adaptation::new(gpu, adapting, tasks).unwrap();
        adaptation.start_from(start).unwrap();
        adaptation.run(0).unwrap();
        adaptation.adapted().unwrap().concat()
    };
    for plan in [PlanKind::Fused, PlanKind::Layered] {
        let what = format!("ARUBA++, {plan:?}, {name}");
        assert_close(&what, &adapted(gpu, plan, &start), &wanted, 1e-4);
        if *mode == "plain" {
            // Without sums b = α² and g = 1.
            let sums = [RATE * RATE, 1.0].map(|value| vec![value; count]);
            let from_alpha = with(start.clone(), |it| it.sums = Some(sums));
            let without = with(start.clone(), |it| it.sums = None);
            let [a, b] = [from_alpha, without].map(|it| adapted(gpu, plan, &it));
            assert_eq!(a, b, "{what}");
        }
    }
}

fn learned_rates_shrink_behind_the_steps_they_were_learned_with(Device { name, gpu, .. }: &Device) {
    let (tasks, learned) = (3, 1);
    let setup = job(strategy(StrategyKind::Hypergradient, Granularity::Parameter));
    let (model, batches) = (&setup.model, &setup.batches);
    let own: Vec<f32> =
        numbers(4, model.parameter_count()).iter().map(|it| 0.02 + 0.01 * it.abs()).collect();
    let start = with(StartingPoint::new(model.initial(3)), |it| it.rates = Some(own.clone()));
    let drawn = drawn(&sine(), batches, setup.seed, 0, tasks);
    let adapted_by = |learned: usize| -> Vec<f64> {
        let of = |task: &reptile::reference::reptile::Task<'_>| {
            let rates = learned_with(learned, |_: &[f64]| widen(&own));
            inner_loop(model, &widen(&start.parameters), rates, task, false).parameters
        };
        as_tasks(&drawn, batches).iter().flat_map(of).collect()
    };
    let (wanted, all) = (adapted_by(learned), adapted_by(batches.steps));
    for plan in [PlanKind::Fused, PlanKind::Layered] {
        let adapted = |rule| {
            let adapting = refining(&setup, plan, rule);
            let mut adaptation = Adaptation::new(gpu, adapting, tasks).unwrap();
            adaptation.start_from(&start).unwrap();
            adaptation.run(0).unwrap();
            adaptation.adapted().unwrap().concat()
        };
        let what = format!("learned rates, {plan:?}, {name}");
        assert_close(&what, &adapted(InnerRule::learned(learned)), &wanted, 1e-4);
        assert_close(&what, &adapted(InnerRule::learned(batches.steps)), &all, 1e-4);
        let without = InnerRule::Rates { statistic: None, learned: None };
        assert_eq!(adapted(without), adapted(InnerRule::learned(batches.steps)), "{what}");
    }
}

fn a_rate_that_overflows_is_an_error_that_names_the_key(Device { name, gpu, .. }: &Device) {
    let wild = with(strategy(StrategyKind::Aruba, Granularity::Scalar), |it| {
        (it.max_rate, it.guard) = (1e3, Some(0.0));
    });
    let mut setup = job(wild);
    setup.inner.rate = 1e3;
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let error = trainer.advance(20, |_| true).unwrap_err().to_string();
    assert!(error.contains("strategy.guard") && error.contains("overflow"), "{error}, {name}");
}

fn hardly_a_step_hardly_moves_a_rate(Device { name, gpu, .. }: &Device) {
    let setup = job(with(strategy(StrategyKind::MetaSgd, Granularity::Parameter), |it| {
        (it.rate, it.guard) = (Some(1e-30), Some(0.0));
    }));
    let rates = trained(gpu, &setup, 10).rates;
    assert!(rates.iter().flatten().all(|rate| *rate == RATE), "{name}");
}
