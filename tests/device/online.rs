//! The device's meta-steps on named tasks against plain training.

use crate::common::{assert_close, network, widen, with};
use crate::harness::{Device, On, Tests, named};
use crate::sines::family;
use reptile::kernels::InnerRule;
use reptile::meta::{AdaptationSetup, Leader, Origin, PlanKind};
use reptile::model::{Activation, Loss};
use reptile::optimizers::{self, OptimizerState, Outer};
use reptile::reference::network::Targets;
use reptile::reference::reptile::{Algorithm, Inner, Task, inner_loop, reduce_delta};
use reptile::reference::sampling::{Pool, order, sine_task};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(meta_steps_on_named_tasks_agree_with_float64));
    tests.on(On::EVERY, named!(tasks_that_are_adapted_to_some_at_a_time_give_the_same_bytes));
}

fn meta_steps_on_named_tasks_agree_with_float64(Device { name, gpu, .. }: &Device) {
    let model = network(1, &[(9, Activation::Tanh)], 1, Loss::Mse);
    let spec = with(SineSpec::default(), |it| (it.points, it.shots) = (12, 4));
    let batches = Batches::new([1, 12], 5, 4);
    let family = family(&spec);
    let initial = model.initial(3);
    // A task may come twice in a step, and again later with another order of its minibatches; the reference
    // knows the order of the first time alone.
    let tasks = [6_u32, 0, 6];
    let drawn: Vec<_> = tasks
        .iter()
        .map(|task| {
            let stream = Stream::new(7, Phase::Test, 0, *task);
            let pool = Pool { way: 1, group: 12, tail: 0 };
            (sine_task(&stream, &family, 12), order(&stream, pool, 4, 5, false))
        })
        .collect();
    let inner = Inner { optimizer: optimizers::Inner::SGD, rate: 0.02, weight_decay: 1.0 };
    let mut theta = widen(&initial);
    let zeros = OptimizerState::zeros(theta.len());
    let adapted: Vec<_> = drawn
        .iter()
        .map(|(drawn, order)| {
            let targets = Targets::Values(&drawn.support_y);
            let task = Task { x: &drawn.support_x, targets, order, batch: 5, tail: 0 };
            inner_loop(&model, &theta, zeros.clone(), inner, &task)
        })
        .collect();
    let delta = reduce_delta(&theta, &adapted, Algorithm::Reptile);
    Outer::INTERPOLATION.step(0.25, &mut theta, &delta, &mut zeros.clone());
    let mut setup = AdaptationSetup::new(
        &model,
        Origin::Sine(spec.clone()),
        InnerRule::SGD,
        0.02,
        batches.clone(),
    );
    setup.plan = PlanKind::Layered;
    setup.phase = Phase::Test;
    setup.seed = 7;
    setup.scored = true;
    let mut leader = Leader::new(gpu, setup, 3, 0.25, &initial).unwrap();
    leader.step(&tasks).unwrap();
    let first = leader.parameters().unwrap();
    assert_close(name, &first, &theta, 1e-5);
    leader.step(&tasks).unwrap();
    assert_ne!(leader.parameters().unwrap(), first, "{name}: it goes on");
}

fn tasks_that_are_adapted_to_some_at_a_time_give_the_same_bytes(Device { name, gpu, .. }: &Device) {
    let model = network(1, &[(9, Activation::Tanh)], 1, Loss::Mse);
    let spec = with(SineSpec::default(), |it| (it.points, it.shots) = (12, 4));
    let initial = model.initial(3);
    let setup = |origin| {
        let batches = Batches::new([1, 12], 5, 4);
        with(AdaptationSetup::new(&model, origin, InnerRule::SGD, 0.02, batches), |it| {
            it.plan = PlanKind::Layered;
        })
    };
    // Of a stream that the device draws, and of examples that are put into the buffers.
    let drawn = |at_once| {
        let setup = setup(Origin::Sine(spec.clone()));
        let mut leader = Leader::with_at_once(gpu, setup, [5, at_once], 0.25, &initial).unwrap();
        leader.step(&[6, 0, 6, 2, 1]).unwrap();
        leader.step(&[3, 3, 0, 5, 4]).unwrap();
        leader.parameters().unwrap()
    };
    let mut filled = Vec::new();
    let mut given = |at_once| {
        let setup = setup(Origin::Rows { queries: 0, ordered: false });
        let mut leader = Leader::with_at_once(gpu, setup, [5, at_once], 0.25, &initial).unwrap();
        filled.clear();
        leader
            .step_on(&[6, 0, 6, 2, 1], |buffers, tasks| {
                filled.push(tasks.to_vec());
                let numbers = |of: f32| -> Vec<f32> {
                    tasks
                        .iter()
                        .flat_map(|t| (0..12).map(move |i| of * (*t * 12 + i) as f32))
                        .collect()
                };
                buffers.upload_support_x(gpu, &model, &numbers(0.01))?;
                buffers.upload_support_values(gpu, &model, &numbers(-0.02))
            })
            .unwrap();
        (leader.parameters().unwrap(), filled.clone())
    };
    let (all_drawn, (all_given, calls)) = (drawn(5), given(5));
    assert_eq!(calls, [[6, 0, 6, 2, 1]]);
    assert_ne!(all_given, initial, "{name}");
    for at_once in [1, 2, 3, 9] {
        assert_eq!(drawn(at_once), all_drawn, "{name}: {at_once} at a time");
        assert_eq!(given(at_once).0, all_given, "{name}: {at_once} at a time");
    }
    assert_eq!(given(2).1, [[6, 0], [6, 2], [1, 1]]);
}
