//! Whole meta-iterations: against float64, and what must hold exactly.

use crate::common::{assert_close, network, own_adapters, widen, with, with_binding};
use crate::harness::{Device, On, Tests, all, named};
use crate::sines::{as_tasks, drawn};
use reptile::gpu::{AdapterEntry, Gpu, GpuOptions};
use reptile::kernels::InnerRule;
use reptile::meta::{
    AdaptationSetup, Algorithm, InnerOptimizer, InnerSpec, Origin, OuterOptimizer, OuterSpec,
    PlanKind, Schedule, Start, StatePolicy, Trainer, TrainerSetup, evaluate,
};
use reptile::model::{Activation, Loss};
use reptile::reference::network::{Targets, loss_and_gradient};
use reptile::reference::reptile as reference;
use reptile::rng::Phase;
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST, named!(a_device_of_few_buffers_takes_every_inner_optimizer));
    tests.on(On::EVERY, named!(reptile_with_sgd_agrees_with_float64));
    tests.on(On::EVERY, named!(weights_that_stay_in_registers_agree_with_float64));
    tests.on(On::EVERY, named!(fomaml_with_and_without_a_tail_agrees_with_float64));
    tests.on(On::EVERY, named!(inner_adam_with_every_state_policy_agrees_with_float64));
    tests.on(On::FIRST_OR_EVERY, named!(every_inner_rule_agrees_with_float64));
    tests.on(On::EVERY, named!(outer_rules_agree_with_float64));
    tests.on(On::EVERY, named!(one_sgd_step_with_interpolation_is_joint_sgd));
    tests.on(On::PLAIN, named!(the_same_job_gives_the_same_bytes_however_it_is_cut));
    tests.on(On::PLAIN, named!(a_run_among_others_equals_the_run_alone));
    tests.on(On::PLAIN, named!(a_restored_trainer_goes_on_exactly));
    tests.on(On::EVERY, named!(a_fused_meta_iteration_takes_two_to_four_dispatches));
    tests.on(On::PLAIN, named!(recording_neither_submits_nor_waits));
    tests.on(On::FIRST_OR_PLAIN, named!(past_its_end_a_linear_schedule_changes_nothing));
    tests.on(On::PLAIN, named!(a_diverging_run_is_named));
    tests.on(On::FIRST_OR_PLAIN, named!(scores_from_the_device_are_those_over_the_host));
    tests.own(On::FIRST_OR_PLAIN, named!(tasks_in_waves_give_the_same_bytes));
}

const BETA2: f32 = 0.99;
const EPSILON: f32 = 1e-5;

fn sine() -> SineSpec {
    with(SineSpec::default(), |it| (it.points, it.shots) = (20, 5))
}

/// A small sine job: three runs of four tasks, SGD and interpolation.
fn job() -> TrainerSetup {
    let mut setup = TrainerSetup::new(
        &network(1, &[(9, Activation::Tanh), (14, Activation::Tanh)], 1, Loss::Mse),
        Origin::Sine(sine()),
        with(InnerSpec::sgd(0.02, 6, 4), |it| {
            it.schedule = Schedule::Cosine { last: 0.01 };
            it.beta2 = BETA2;
            it.epsilon = EPSILON;
        }),
        with(OuterSpec::interpolation(0.3, 4), |it| {
            it.schedule = Schedule::Linear { last: 0.0 };
            it.epsilon = 1e-5;
        }),
        Batches::new([1, 20], 6, 4),
    );
    setup.seed = 11;
    setup.runs = 3;
    setup.iterations = 10;
    setup
}

fn trained(gpu: &Gpu, setup: &TrainerSetup, iterations: u64) -> Trainer {
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    trainer.advance(iterations, |_| true).unwrap();
    trainer
}

/// The parameters of one run after `iterations` in float64, and its inner losses.
fn in_float64(setup: &TrainerSetup, run: usize, iterations: u64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (model, batches) = (&setup.model, &setup.batches);
    let seed = setup.seed + run as u64;
    let meta_batch = setup.outer.meta_batch;
    let mut learner = reference::Learner::new(widen(&model.initial(seed)), meta_batch);
    let mut losses = Vec::new();
    for iteration in 0..iterations {
        let drawn = drawn(&sine(), batches, seed, iteration, meta_batch);
        let tasks = as_tasks(&drawn, batches);
        let adapted =
            reference::meta_iteration(model, &mut learner, &meta(setup, iteration), &tasks);
        losses.push(
            (0..batches.steps)
                .map(|k| adapted.iter().map(|task| task.losses[k]).sum::<f64>() / meta_batch as f64)
                .collect(),
        );
    }
    (learner.theta, losses)
}

/// The settings of an iteration for the reference.
pub fn meta(setup: &TrainerSetup, iteration: u64) -> reference::Meta {
    let (inner, outer) = (&setup.inner, &setup.outer);
    reference::Meta {
        algorithm: match outer.algorithm {
            Algorithm::Reptile => reference::Algorithm::Reptile,
            Algorithm::Fomaml => reference::Algorithm::Fomaml,
        },
        inner: reference::Inner {
            optimizer: inner.rule(),
            rate: f64::from(inner.schedule.rate(inner.rate, iteration, setup.iterations)),
            weight_decay: f64::from(inner.weight_decay),
        },
        policy: match inner.state {
            StatePolicy::Mean => reference::StatePolicy::Mean,
            StatePolicy::Slot => reference::StatePolicy::Slot,
            StatePolicy::Reset => reference::StatePolicy::Reset,
        },
        outer: outer.rule(),
        outer_rate: f64::from(outer.schedule.rate(outer.rate, iteration, setup.iterations)),
    }
}

/// Compares three iterations of every run, in both plans where both exist, with float64.
fn check(Device { name, gpu, .. }: &Device, what: &str, setup: &TrainerSetup) {
    for plan in [PlanKind::Fused, PlanKind::Layered] {
        let setup = with(setup.clone(), |it| it.plan = plan);
        let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
        let mut losses = Vec::new();
        trainer
            .advance(3, |iteration| {
                losses.push(iteration.losses.clone());
                true
            })
            .unwrap();
        let parameters = trainer.snapshot().unwrap().parameters;
        for run in 0..setup.runs {
            let (wanted, wanted_losses) = in_float64(&setup, run, 3);
            let what = format!("{what}, {plan:?}, run {run}, {name}");
            assert_close(&what, &parameters[run], &wanted, 3e-5);
            for (got, wanted) in losses.iter().zip(&wanted_losses) {
                let steps = wanted.len();
                assert_close(&what, &got[run * steps..][..steps], wanted, 3e-5);
            }
        }
    }
}

fn reptile_with_sgd_agrees_with_float64(device: &Device) {
    check(device, "reptile", &job());
}

fn weights_that_stay_in_registers_agree_with_float64(device: &Device) {
    let mut setup = job();
    setup.model = network(1, &[(32, Activation::Tanh), (32, Activation::Relu)], 1, Loss::Mse);
    setup.inner.weight_decay = 0.99;
    setup.inner.schedule = Schedule::Constant;
    setup.outer.schedule = Schedule::Constant;
    // So long a job is worth the compile time.
    setup.iterations = 1_000_000;
    check(device, "resident weights", &setup);
    if !all() {
        return;
    }
    setup.model = network(
        1,
        &[(32, Activation::Gelu), (64, Activation::Sigmoid), (32, Activation::Tanh)],
        1,
        Loss::Mse,
    );
    setup.runs = 1;
    check(device, "resident weights of three layers", &setup);
}

fn fomaml_with_and_without_a_tail_agrees_with_float64(device: &Device) {
    let mut setup = job();
    setup.outer.algorithm = Algorithm::Fomaml;
    setup.inner.weight_decay = 0.98;
    check(device, "fomaml", &setup);
    setup.batches.tail = 5;
    check(device, "fomaml with a tail", &setup);
}

fn inner_adam_with_every_state_policy_agrees_with_float64(device: &Device) {
    for (state, beta1) in
        [(StatePolicy::Mean, 0.0), (StatePolicy::Slot, 0.8), (StatePolicy::Reset, 0.8)]
    {
        let mut setup = job();
        setup.runs = 2;
        (setup.inner.optimizer, setup.inner.rate) = (InnerOptimizer::Adam, 0.005);
        (setup.inner.beta1, setup.inner.state) = (beta1, state);
        check(device, &format!("adam, {state:?}"), &setup);
    }
}

/// Moments that are carried from one meta-iteration to the next.
fn every_inner_rule_agrees_with_float64(device: &Device) {
    let policies = [StatePolicy::Mean, StatePolicy::Slot, StatePolicy::Reset];
    let others = InnerOptimizer::ALL
        .iter()
        .filter(|optimizer| !matches!(optimizer, InnerOptimizer::Sgd | InnerOptimizer::Adam));
    for (optimizer, state) in others.zip(policies.into_iter().cycle()) {
        let mut setup = job();
        let (optimizer, beta1, nesterov) = (*optimizer, 0.8, state == StatePolicy::Mean);
        let rate = 0.005;
        (setup.inner.optimizer, setup.inner.rate, setup.inner.state) = (optimizer, rate, state);
        (setup.inner.beta1, setup.inner.nesterov) = (beta1, nesterov);
        setup.inner.decoupled_weight_decay = 0.5;
        check(device, &format!("{optimizer}, {state:?}"), &setup);
    }
}

fn outer_rules_agree_with_float64(device: &Device) {
    for &optimizer in OuterOptimizer::ALL {
        let mut setup = job();
        setup.outer.optimizer = optimizer;
        setup.outer.rate = 0.01;
        check(device, &format!("outer {optimizer:?}"), &setup);
    }
}

fn one_sgd_step_with_interpolation_is_joint_sgd(Device { name, gpu, .. }: &Device) {
    let mut setup = job();
    setup.runs = 1;
    setup.batches.steps = 1;
    setup.inner.schedule = Schedule::Constant;
    setup.outer.schedule = Schedule::Constant;
    let model = &setup.model;
    // The union of all tasks' minibatches as one batch, at rate ε · α.
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (drawn, order) in drawn(&sine(), &setup.batches, setup.seed, 0, setup.outer.meta_batch) {
        for element in order {
            x.push(drawn.support_x[element as usize]);
            y.push(drawn.support_y[element as usize]);
        }
    }
    let mut wanted = widen(&model.initial(setup.seed));
    let (_, gradient) = loss_and_gradient(model, &wanted, &x, Targets::Values(&y));
    let rate = f64::from(setup.outer.rate) * f64::from(setup.inner.rate);
    wanted.iter_mut().zip(&gradient).for_each(|(value, g)| *value -= rate * g);
    let got = trained(gpu, &setup, 1).snapshot().unwrap();
    assert_close(name, &got.parameters[0], &wanted, 1e-6);
}

fn the_same_job_gives_the_same_bytes_however_it_is_cut(Device { name, gpu, .. }: &Device) {
    let whole = trained(gpu, &job(), 10).snapshot().unwrap();
    let mut cut = Trainer::new(gpu, job()).unwrap();
    for iterations in [1, 4, 2, 3] {
        cut.advance(iterations, |_| true).unwrap();
    }
    assert_eq!(whole, cut.snapshot().unwrap(), "{name}");
    assert_ne!(whole.parameters[0], whole.parameters[1], "runs have their own seeds");
}

fn a_run_among_others_equals_the_run_alone(Device { name, gpu, .. }: &Device) {
    for plan in [PlanKind::Fused, PlanKind::Layered] {
        let together = trained(gpu, &with(job(), |it| it.plan = plan), 5).snapshot().unwrap();
        for run in 0..3 {
            let alone =
                with(job(), |it| (it.plan, it.runs, it.seed) = (plan, 1, it.seed + run as u64));
            let alone = trained(gpu, &alone, 5).snapshot().unwrap();
            assert_eq!(together.parameters[run], alone.parameters[0], "{plan:?}, {name}");
        }
    }
}

fn a_restored_trainer_goes_on_exactly(Device { name, gpu, .. }: &Device) {
    let states = [StatePolicy::Mean, StatePolicy::Slot, StatePolicy::Reset];
    let outers = [OuterOptimizer::Adam, OuterOptimizer::Momentum, OuterOptimizer::Interpolation];
    for (state, optimizer) in states.into_iter().zip(outers) {
        let mut setup = job();
        setup.inner.optimizer = InnerOptimizer::Adam;
        setup.inner.beta1 = 0.5;
        setup.inner.state = state;
        setup.outer.optimizer = optimizer;
        let straight = trained(gpu, &setup, 8).snapshot().unwrap();
        let half = trained(gpu, &setup, 3).snapshot().unwrap();
        let mut resumed = Trainer::new(gpu, setup).unwrap();
        resumed.restore(&half).unwrap();
        resumed.advance(5, |_| true).unwrap();
        assert_eq!(straight, resumed.snapshot().unwrap(), "{state:?}, {optimizer:?}, {name}");
    }
}

fn a_fused_meta_iteration_takes_two_to_four_dispatches(Device { name, gpu, .. }: &Device) {
    let setup = with(job(), |it| it.plan = PlanKind::Fused);
    let kernels = Trainer::new(gpu, setup).unwrap().kernels();
    assert!((2..=4).contains(&kernels.len()), "{kernels:?}, {name}");
}

fn recording_neither_submits_nor_waits(Device { name, gpu, .. }: &Device) {
    let mut trainer = Trainer::new(gpu, job()).unwrap();
    let before = trainer.snapshot().unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    trainer.record(&mut encoder, 3).unwrap();
    let untouched = trainer.snapshot().unwrap();
    assert_eq!(before.parameters, untouched.parameters, "{name}: nothing has run yet");
    gpu.queue().submit([encoder.finish()]);
    let after = trainer.snapshot().unwrap();
    assert_eq!(after.parameters, trained(gpu, &job(), 3).snapshot().unwrap().parameters);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let error = trainer.record(&mut encoder, Trainer::most_recorded() + 1).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

fn past_its_end_a_linear_schedule_changes_nothing(Device { name, gpu, .. }: &Device) {
    let mut setup = with(job(), |it| it.iterations = 3);
    setup.outer.optimizer = OuterOptimizer::Interpolation;
    setup.outer.schedule = Schedule::Linear { last: 0.0 };
    let mut trainer = trained(gpu, &setup, 3);
    let end = trainer.snapshot().unwrap().parameters;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    trainer.record(&mut encoder, 20).unwrap();
    gpu.queue().submit([encoder.finish()]);
    assert_eq!(trainer.snapshot().unwrap().parameters, end, "{name}");
}

fn a_diverging_run_is_named(Device { name, gpu, .. }: &Device) {
    let mut setup = job();
    setup.model = network(1, &[(9, Activation::Relu)], 1, Loss::Mse);
    setup.inner.rate = 1e9;
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let error = trainer.advance(10, |_| true).unwrap_err().to_string();
    assert!(error.contains("diverged at iteration"), "{error}, {name}");
}

/// Devices with small bindings beside the same ones as they are.
fn tasks_in_waves_give_the_same_bytes(entry: &AdapterEntry) {
    let model = network(1, &[(40, Activation::Tanh), (40, Activation::Tanh)], 1, Loss::Mse);
    // Of five tasks of each of three runs, two fit.
    let binding = 2 * 3 * 4 * model.packed_len() as u64 + 4000;
    let sgd = with(job(), |it| (it.model, it.outer.meta_batch) = (model, 5));
    let mut adam = sgd.clone();
    adam.inner.optimizer = InnerOptimizer::Adam;
    adam.inner.beta1 = 0.5;
    adam.outer.optimizer = OuterOptimizer::Adam;
    let mut fomaml = sgd.clone();
    fomaml.outer.algorithm = Algorithm::Fomaml;
    fomaml.outer.optimizer = OuterOptimizer::Momentum;
    // Each plan once in a short run: the fused one takes long to compile.
    if all() {
        fomaml.plan = PlanKind::Layered;
    } else {
        adam.plan = PlanKind::Layered;
    }
    let [large, small] = [None, Some(binding)].map(|binding| with_binding(entry, binding));
    // FOMAML's inner loops are those of SGD as well.
    let setups = [&adam, &fomaml, &sgd];
    for setup in &setups[..if all() { 3 } else { 2 }] {
        let trained = |gpu| {
            let mut trainer = Trainer::new(gpu, (*setup).clone()).unwrap();
            let mut losses = Vec::new();
            trainer
                .advance(3, |iteration| {
                    losses.push(iteration.clone());
                    true
                })
                .unwrap();
            (trainer.waves(), trainer.snapshot().unwrap(), losses)
        };
        let (one, whole, losses) = trained(&large);
        let (three, parts, same_losses) = trained(&small);
        assert_eq!((one, three), (1, 3), "waves");
        assert_eq!(whole, parts, "{}", entry.info.name);
        assert_eq!(losses, same_losses, "{}", entry.info.name);
    }
    let mut slots = adam.clone();
    slots.inner.state = StatePolicy::Slot;
    let error = Trainer::new(&small, slots).unwrap_err();
    assert!(error.to_string().contains("inner.state"), "{error}");
}

/// What validation during a training starts from, with and without a state that tasks share.
fn scores_from_the_device_are_those_over_the_host(Device { name, gpu, .. }: &Device) {
    for state in [StatePolicy::Mean, StatePolicy::Slot] {
        let mut setup = job();
        setup.inner = with(InnerSpec::sgd(0.01, 6, 4), |it| {
            it.optimizer = InnerOptimizer::Adam;
            it.beta1 = 0.5;
            it.state = state;
        });
        let trainer = trained(gpu, &setup, 2);
        let points = trainer.snapshot().unwrap();
        let mut evaluation = AdaptationSetup::new(
            &setup.model,
            setup.origin.clone(),
            InnerRule::Optimizer(setup.inner.rule()),
            0.01,
            with(setup.batches.clone(), |it| it.group = 5),
        );
        evaluation.phase = Phase::Validation;
        evaluation.seed = 5;
        evaluation.scored = true;
        let scores = |start: Start<'_>| evaluate(gpu, &evaluation, start, 9).unwrap();
        let [first, second] = [0, 2].map(|run| {
            let here = scores(Start::Run(&trainer, run));
            let point = points.starting_point(run).unwrap();
            assert_eq!(here, scores(Start::Point(&point)), "{state:?}, run {run} on {name}");
            here
        });
        assert_ne!(first, second);
    }
}

/// An embedder's device with wgpu's default limits has eight storage buffers a kernel: one fewer than the subgroup's fused
/// kernel needs for two moments.
fn a_device_of_few_buffers_takes_every_inner_optimizer(_: &Device) {
    let adapter = &own_adapters()[0].adapter;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & wgpu::Features::SUBGROUP,
        required_limits: wgpu::Limits {
            max_storage_buffers_per_shader_stage: 8,
            ..adapter.limits()
        },
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let gpu = Gpu::from_existing(device, queue, GpuOptions::default());
    for &optimizer in InnerOptimizer::ALL {
        let mut setup = job();
        setup.plan = PlanKind::Fused;
        (setup.inner.optimizer, setup.inner.beta1) = (optimizer, 0.9);
        let mut trainer = Trainer::new(&gpu, setup).unwrap();
        trainer.advance(1, |_| true).unwrap();
    }
}
