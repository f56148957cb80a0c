//! Several trainers that train one network together, as threads of one process on one device.

use std::time::Duration;

use crate::common::{network, with};
use crate::harness::{Device, On, Tests, named};
use reptile::cluster::{Distributed, DistributedSpec, Exchange, Ranks, RoundOptimizer, Threads};
use reptile::gpu::Gpu;
use reptile::meta::{
    Algorithm, InnerOptimizer, InnerSpec, Origin, OuterOptimizer, OuterSpec, StatePolicy,
    StrategyKind, StrategySpec, Trainer, TrainerSetup, TrainingState,
};
use reptile::model::{Activation, Loss};
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::PLAIN, named!(ranks_together_are_one_trainer_with_all_tasks));
    tests.on(On::FIRST_OR_PLAIN, named!(one_rank_alone_is_a_trainer_to_the_byte));
    tests.on(On::FIRST, named!(rounds_average_what_ranks_do_on_their_own));
    tests.on(On::FIRST, named!(an_exchange_beside_the_next_round_comes_one_round_late));
    tests.on(On::FIRST, named!(compressed_rounds_end_in_what_all_have_in_common));
    tests.on(On::FIRST, named!(learned_rates_and_moments_are_averaged));
    tests.on(On::FIRST, named!(one_wish_stops_all_ranks));
    tests.on(On::FIRST, named!(what_ranks_do_not_share_is_refused));
}

const RUNS: usize = 2;

fn job(meta_batch: usize) -> TrainerSetup {
    let mut setup = TrainerSetup::new(
        &network(1, &[(9, Activation::Tanh), (14, Activation::Tanh)], 1, Loss::Mse),
        Origin::Sine(with(SineSpec::default(), |it| (it.points, it.shots) = (20, 5))),
        InnerSpec::sgd(0.02, 5, 4),
        OuterSpec::interpolation(0.3, meta_batch),
        Batches::new([1, 20], 5, 4),
    );
    (setup.seed, setup.runs, setup.iterations) = (3, RUNS, 1000);
    setup
}

/// What each of `size` ranks has after `iterations`, taken in parts of `part`, with their losses of run 0's last step.
fn together(
    gpu: &Gpu,
    setup: &TrainerSetup,
    spec: &DistributedSpec,
    size: usize,
    (iterations, part): (u64, u64),
) -> Vec<(TrainingState, Vec<f32>)> {
    let transports = Threads::new(size, Duration::from_secs(120));
    std::thread::scope(|scope| {
        let ranks: Vec<_> = transports
            .into_iter()
            .enumerate()
            .map(|(rank, transport)| {
                scope.spawn(move || {
                    let mut setup = setup.clone();
                    spec.share(&mut setup, rank, size).unwrap();
                    let mut trainer = Trainer::new(gpu, setup).unwrap();
                    let ranks = Ranks::start(|_| Ok(transport)).unwrap();
                    let mut distributed = Distributed::new(ranks, spec.clone());
                    let mut losses = Vec::new();
                    while trainer.iteration() < iterations {
                        let wished = distributed
                            .advance(
                                &mut trainer,
                                part,
                                || [false; 2],
                                |one| {
                                    assert_eq!(one.iteration as usize, losses.len());
                                    losses.push(*one.losses_of(0, RUNS).last().unwrap());
                                },
                            )
                            .unwrap();
                        assert_eq!(wished, [false; 2]);
                    }
                    (trainer.snapshot().unwrap(), losses)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// All ranks' state, which must be the same bytes.
fn common(mut all: Vec<(TrainingState, Vec<f32>)>, what: &str) -> (TrainingState, Vec<f32>) {
    let one = all.pop().unwrap();
    for other in all {
        assert!(other == one, "{what}: ranks have other bytes");
    }
    one
}

fn furthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.concat().iter().zip(b.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// R ranks × M tasks are one process with R · M tasks: within 1e-6 after 200 meta-iterations, since sums over tasks are added
/// up in another order.
fn ranks_together_are_one_trainer_with_all_tasks(Device { name, gpu, .. }: &Device) {
    let adam = |setup: &mut TrainerSetup| {
        setup.inner.optimizer = InnerOptimizer::Adam;
        (setup.inner.rate, setup.inner.state) = (0.002, StatePolicy::Mean);
    };
    let learned = |kind| {
        move |setup: &mut TrainerSetup| {
            setup.strategy = with(StrategySpec::default(), |it| it.kind = kind);
        }
    };
    type Change<'a> = &'a dyn Fn(&mut TrainerSetup);
    let cases: [(&str, u64, Change<'_>); 5] = [
        ("reptile", 200, &|_| {}),
        ("fomaml, momentum", 20, &|setup| {
            setup.outer.algorithm = Algorithm::Fomaml;
            setup.outer.optimizer = OuterOptimizer::Momentum;
            setup.outer.rate = 0.03;
        }),
        ("adam", 20, &adam),
        ("meta-sgd", 20, &learned(StrategyKind::MetaSgd)),
        ("aruba", 20, &learned(StrategyKind::Aruba)),
    ];
    for (what, iterations, change) in cases {
        for size in if iterations == 200 { vec![2, 4] } else { vec![2] } {
            let one = with(job(4), change);
            let share = with(one.clone(), |it| it.outer.meta_batch = 4 / size);
            let mut alone = Trainer::new(gpu, one).unwrap();
            let mut wanted = Vec::new();
            alone
                .advance(iterations, |one| {
                    wanted.push(*one.losses_of(0, RUNS).last().unwrap());
                    true
                })
                .unwrap();
            let what = format!("{what}, {size} ranks, {name}");
            let spec = DistributedSpec::default();
            let train =
                |part| common(together(gpu, &share, &spec, size, (iterations, part)), &what);
            let (state, losses) = train(iterations);
            let wanted_state = alone.snapshot().unwrap();
            for ((kind, got), (_, wanted)) in sets(&state).into_iter().zip(sets(&wanted_state)) {
                let most =
                    wanted.iter().flatten().fold(1.0_f32, |most, value| most.max(value.abs()));
                let far = furthest(got, wanted);
                assert!(far <= 1e-6 * most, "{what}: {kind} differ by {far}");
            }
            assert!(
                furthest(std::slice::from_ref(&losses), &[wanted]) < 1e-4,
                "{what}: the losses"
            );
            let again = train(iterations / 4);
            assert!(again == (state, losses), "{what}: in parts");
        }
    }
}

/// What is compared.
fn sets(state: &TrainingState) -> [(&'static str, &Vec<Vec<f32>>); 6] {
    [
        ("parameters", &state.parameters),
        ("second moments", &state.inner_second),
        ("outer moments", &state.outer_first),
        ("rates", &state.rates),
        ("sums of ways", &state.ways),
        ("sums of squares", &state.squares),
    ]
}

fn one_rank_alone_is_a_trainer_to_the_byte(Device { name, gpu, .. }: &Device) {
    let mut alone = Trainer::new(gpu, job(3)).unwrap();
    alone.advance(7, |_| true).unwrap();
    let spec = DistributedSpec::default();
    let (state, _) = common(together(gpu, &job(3), &spec, 1, (7, 7)), name);
    assert!(state == alone.snapshot().unwrap(), "{name}");
}

/// A trainer of rank `rank`, on its own.
fn of_rank(gpu: &Gpu, rank: usize, size: usize) -> Trainer {
    let mut setup = job(2);
    let spec = with(DistributedSpec::default(), |it| it.local_steps = 2);
    spec.share(&mut setup, rank, size).unwrap();
    Trainer::new(gpu, setup).unwrap()
}

/// Mean over ranks of what they did since `before`, in float64.
fn mean_way(after: &[TrainingState], before: &[TrainingState]) -> Vec<f64> {
    let flat = |state: &TrainingState| state.parameters.concat();
    let mut mean = vec![0.0; flat(&after[0]).len()];
    for (after, before) in after.iter().zip(before) {
        for ((mean, after), before) in mean.iter_mut().zip(flat(after)).zip(flat(before)) {
            *mean += (f64::from(after) - f64::from(before)) / 2.0;
        }
    }
    mean
}

fn far(state: &TrainingState, wanted: &[f64]) -> f64 {
    let got = state.parameters.concat();
    got.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

/// Two ranks, two rounds of three and a last one of one meta-iteration, by hand with two trainers.
fn rounds_average_what_ranks_do_on_their_own(Device { name, gpu, .. }: &Device) {
    for optimizer in [RoundOptimizer::Interpolation, RoundOptimizer::Nesterov] {
        let spec = with(DistributedSpec::default(), |it| {
            (it.local_steps, it.optimizer) = (3, optimizer);
        });
        let (got, _) = common(together(gpu, &job(2), &spec, 2, (7, 7)), name);
        let mut own = [0, 1].map(|rank| of_rank(gpu, rank, 2));
        let mut theta: Vec<f64> =
            own[0].snapshot().unwrap().parameters.concat().into_iter().map(f64::from).collect();
        let mut momentum = vec![0.0; theta.len()];
        for steps in [3, 3, 1] {
            let before = own.each_ref().map(|one| one.snapshot().unwrap());
            own.iter_mut().for_each(|one| one.advance(steps, |_| true).unwrap());
            let after = own.each_ref().map(|one| one.snapshot().unwrap());
            for ((theta, u), way) in
                theta.iter_mut().zip(&mut momentum).zip(mean_way(&after, &before))
            {
                *theta += match optimizer {
                    RoundOptimizer::Interpolation => way,
                    _ => {
                        *u = 0.9 * *u - way;
                        -0.7 * (0.9 * *u - way)
                    }
                };
            }
            restore(&mut own, &after, |_| theta.clone());
        }
        let far = far(&got, &theta);
        assert!(far < 1e-5, "{optimizer:?}, {name}: {far}");
    }
}

/// Puts θ of each rank in the place of what it has.
fn restore(own: &mut [Trainer], states: &[TrainingState], theta: impl Fn(usize) -> Vec<f64>) {
    for (rank, (trainer, state)) in own.iter_mut().zip(states).enumerate() {
        let flat: Vec<f32> = theta(rank).into_iter().map(|value| value as f32).collect();
        let one = flat.len() / RUNS;
        let mut state = state.clone();
        state.parameters = flat.chunks(one).map(<[f32]>::to_vec).collect();
        trainer.restore(&state).unwrap();
    }
}

/// θ_rank after round k = (what all had in common at the end of round k − 1) + its own way of round k.
fn an_exchange_beside_the_next_round_comes_one_round_late(Device { name, gpu, .. }: &Device) {
    let spec = with(DistributedSpec::default(), |it| (it.local_steps, it.overlap) = (2, true));
    let (got, losses) = common(together(gpu, &job(2), &spec, 2, (6, 6)), name);
    assert_eq!(losses.len(), 6);
    let mut own = [0, 1].map(|rank| of_rank(gpu, rank, 2));
    let wide = |state: &TrainingState| -> Vec<f64> {
        state.parameters.concat().into_iter().map(f64::from).collect()
    };
    let mut agreed = wide(&own[0].snapshot().unwrap());
    let mut late: Option<Vec<f64>> = None;
    for _ in 0..3 {
        let before = own.each_ref().map(|one| one.snapshot().unwrap());
        own.iter_mut().for_each(|one| one.advance(2, |_| true).unwrap());
        let after = own.each_ref().map(|one| one.snapshot().unwrap());
        if let Some(way) = late.replace(mean_way(&after, &before)) {
            agreed.iter_mut().zip(way).for_each(|(agreed, way)| *agreed += way);
            let theta = |rank: usize| -> Vec<f64> {
                let (after, before) = (wide(&after[rank]), wide(&before[rank]));
                let own = after.iter().zip(&before).map(|(after, before)| after - before);
                agreed.iter().zip(own).map(|(agreed, own)| agreed + own).collect()
            };
            restore(&mut own, &after, theta);
        }
    }
    agreed.iter_mut().zip(late.unwrap()).for_each(|(agreed, way)| *agreed += way);
    let far = far(&got, &agreed);
    assert!(far < 1e-5, "{name}: {far}");
}

fn compressed_rounds_end_in_what_all_have_in_common(Device { name, gpu, .. }: &Device) {
    let of = |exchange, overlap| {
        let spec = with(DistributedSpec::default(), |it| {
            (it.local_steps, it.exchange, it.overlap) = (2, exchange, overlap);
        });
        common(together(gpu, &job(2), &spec, 3, (20, 10)), name).0
    };
    for overlap in [false, true] {
        let whole = of(Exchange::F32, overlap);
        for (exchange, near) in [(Exchange::F16, 2e-4), (Exchange::Int8, 2e-3)] {
            let coded = of(exchange, overlap);
            let far = furthest(&coded.parameters, &whole.parameters);
            assert!(0.0 < far && far < near, "{exchange:?}, {overlap}, {name}: {far}");
            assert!(of(exchange, overlap) == coded, "{exchange:?}: the same bytes again");
        }
    }
}

fn learned_rates_and_moments_are_averaged(Device { name, gpu, .. }: &Device) {
    let setup = with(job(2), |it| {
        it.strategy = with(StrategySpec::default(), |it| it.kind = StrategyKind::Aruba);
    });
    let adam = with(job(2), |it| {
        it.inner.optimizer = InnerOptimizer::Adam;
        (it.inner.rate, it.inner.state) = (0.002, StatePolicy::Mean);
    });
    for overlap in [false, true] {
        let spec = with(DistributedSpec::default(), |it| {
            (it.local_steps, it.overlap) = (2, overlap);
        });
        for setup in [&setup, &adam] {
            let (state, _) = common(together(gpu, setup, &spec, 2, (8, 8)), name);
            let finite = |sets: &Vec<Vec<f32>>| sets.iter().flatten().all(|value| *value >= 0.0);
            assert!(finite(&state.rates) && finite(&state.squares) && finite(&state.inner_second));
        }
    }
    // One round: the mean of what both have.
    let spec = with(DistributedSpec::default(), |it| it.local_steps = 4);
    let (state, _) = common(together(gpu, &setup, &spec, 2, (4, 4)), name);
    let both = [0, 1].map(|rank| {
        let mut setup = setup.clone();
        spec.share(&mut setup, rank, 2).unwrap();
        let mut trainer = Trainer::new(gpu, setup).unwrap();
        trainer.advance(4, |_| true).unwrap();
        trainer.snapshot().unwrap().rates.concat()
    });
    for (place, rate) in state.rates.concat().into_iter().enumerate() {
        let mean = f32::midpoint(both[0][place], both[1][place]);
        assert!((rate - mean).abs() <= 1e-6 * mean, "{name}: {rate} {mean}");
    }
}

fn one_wish_stops_all_ranks(Device { name, gpu, .. }: &Device) {
    for (spec, first, last) in [
        (DistributedSpec::default(), 5, 5),
        (with(DistributedSpec::default(), |it| it.local_steps = 4), 8, 8),
        (with(DistributedSpec::default(), |it| (it.local_steps, it.overlap) = (4, true)), 8, 12),
    ] {
        let transports = Threads::new(2, Duration::from_secs(120));
        let ends: Vec<_> = std::thread::scope(|scope| {
            let ranks: Vec<_> = transports
                .into_iter()
                .enumerate()
                .map(|(rank, transport)| {
                    let spec = spec.clone();
                    scope.spawn(move || {
                        let mut setup = job(2);
                        spec.share(&mut setup, rank, 2).unwrap();
                        let mut trainer = Trainer::new(gpu, setup).unwrap();
                        let ranks = Ranks::start(|_| Ok(transport)).unwrap();
                        let mut distributed = Distributed::new(ranks, spec);
                        let (mut asked, mut seen) = (0, 0);
                        // The second rank's, before its fifth meta-iteration or second round.
                        let wishes = || {
                            asked += 1;
                            let wish = rank == 1 && asked >= if first == 5 { 5 } else { 2 };
                            [false, wish]
                        };
                        let wished =
                            distributed.advance(&mut trainer, 100, wishes, |_| seen += 1).unwrap();
                        assert_eq!(wished, [false, true]);
                        assert_eq!(seen, trainer.iteration());
                        (trainer.iteration(), trainer.snapshot().unwrap())
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        assert!(ends[0] == ends[1], "{name}: {spec:?}");
        assert!((first..=last).contains(&ends[0].0), "{name}: {spec:?} ended at {}", ends[0].0);
    }
}

fn what_ranks_do_not_share_is_refused(Device { gpu, .. }: &Device) {
    let spec = DistributedSpec::default();
    let slot = with(job(2), |it| {
        it.inner.optimizer = InnerOptimizer::Adam;
        it.inner.state = StatePolicy::Slot;
    });
    let memory = with(job(2), |it| it.memory.capacity = 4);
    let seen = with(job(2), |it| it.telemetry = true);
    for (key, mut setup) in
        [("inner.state", slot), ("memory.capacity", memory), ("log.telemetry", seen)]
    {
        let error = spec.share(&mut setup, 0, 2).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
        setup.shared_tasks = Some(4);
        let error = Trainer::new(gpu, setup).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let few = with(job(2), |it| (it.first_task, it.shared_tasks) = (2, Some(3)));
    let error = Trainer::new(gpu, few).unwrap_err().to_string();
    assert!(error.contains("shared_tasks") && error.contains("2 to 3"), "{error}");
    let mut setup = job(2);
    spec.share(&mut setup, 0, 2).unwrap();
    let mut shared = Trainer::new(gpu, setup).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    for error in [
        shared.advance(1, |_| true).unwrap_err(),
        shared.record(&mut encoder, 1).unwrap_err(),
        shared.time_dispatches().unwrap_err(),
        Trainer::new(gpu, job(2)).unwrap().advance_shared(1, |_| Ok(()), |_| true).unwrap_err(),
    ] {
        assert!(error.to_string().contains("shared_tasks"), "{error}");
    }
    let shorter = |values: &mut Vec<f32>| {
        values.pop();
        Ok(())
    };
    let error = shared.advance_shared(1, shorter, |_| true).unwrap_err().to_string();
    assert!(error.contains("exchanged values"), "{error}");
    assert_eq!(shared.iteration(), 0, "what was not exchanged is not done");
}
