//! The kernels beside the layers, each by itself, on every device, against float64.

use crate::common::{assert_close, integers, numbers, widen, with};
use crate::harness::{Device, On, Tests, named};
use crate::tools::{
    layer_shape, one_step, padded_rows, play, random, room, run_steps, upload, without_padding,
};
use reptile::gpu::{Gpu, Recording};
use reptile::kernels::{
    Axis, LossCall, MeanState, OuterRule, OuterSum, OuterUpdate, RunStep, broadcast, loss,
    mean_state, outer_sum, outer_update,
};
use reptile::model::Loss;
use reptile::optimizers::{OptimizerState, Outer, OuterOptimizer, Settings};
use reptile::reference::losses::{loss_cross_entropy, loss_mse};
use reptile::reference::network::accuracy;
use reptile::rng::Phase;

pub fn tests(tests: &mut Tests) {
    tests.cases(On::EVERY, [2, 6], named!(losses_agree_with_float64));
    tests.on(On::EVERY, named!(outer_updates_agree_with_float64_over_several_iterations));
    tests.on(On::MODES, named!(sums_of_waves_are_those_of_all_tasks_at_once));
    tests.on(On::EVERY, named!(state_is_averaged_and_sets_are_handed_out));
}

const TOLERANCE: f64 = 2e-5;

/// Tasks that a real GPU's kernels load in two rounds, not all of the last one.
const MANY: usize = 150;

fn losses_agree_with_float64(Device { name, gpu, .. }: &Device, number: u64) {
    random(number, layer_shape(), |&[tasks, batch, _, outputs]| {
        let outputs = outputs.max(2);
        // Large logits as well: the softmax must not overflow.
        let values: Vec<f32> =
            numbers(1, tasks * batch * outputs).iter().map(|value| 60.0 * value).collect();
        let targets = numbers(2, tasks * batch * outputs);
        let labels = integers(3, tasks * batch, outputs);
        for kind in [Loss::Mse, Loss::CrossEntropy] {
            let buffer = upload(gpu, &padded_rows(&values, outputs));
            let target = match kind {
                Loss::Mse => upload(gpu, &padded_rows(&targets, outputs)),
                Loss::CrossEntropy => gpu.storage_with("labels", &labels).unwrap(),
            };
            let [losses, hits] = [0, 1].map(|_| room(gpu, tasks));
            let inner = one_step(gpu);
            let mut out = Recording::default();
            let call = LossCall {
                loss: kind,
                tasks,
                batch,
                row_step: 1,
                outputs,
                steps: 1,
                some: None,
                gradient: true,
                inner: (&inner, 0),
                outputs_buffer: &buffer,
                targets: &target,
                losses: &losses,
                hits: &hits,
            };
            loss(gpu, &mut out, &call).unwrap();
            play(gpu, &out, 0);
            let rows = tasks * batch * outputs.next_multiple_of(4);
            let gradients = without_padding(&gpu.read(&buffer, 0, rows).unwrap(), outputs);
            let got: Vec<f32> = gpu.read(&losses, 0, tasks).unwrap();
            let hits: Vec<f32> = gpu.read(&hits, 0, tasks).unwrap();
            let (wide, wide_targets) = (widen(&values), widen(&targets));
            for task in 0..tasks {
                let own = task * batch * outputs..(task + 1) * batch * outputs;
                let labels = &labels[task * batch..(task + 1) * batch];
                let (value, gradient) = match kind {
                    Loss::Mse => loss_mse(&wide[own.clone()], &wide_targets[own.clone()]),
                    Loss::CrossEntropy => loss_cross_entropy(&wide[own.clone()], labels),
                };
                let what = format!("{kind:?} [{tasks}, {batch}, {outputs}], {name}");
                assert_close(&what, &got[task..=task], &[value], TOLERANCE);
                assert_close(&what, &gradients[own.clone()], &gradient, TOLERANCE);
                if kind == Loss::CrossEntropy {
                    let share = accuracy(&wide[own], labels);
                    assert_close(&what, &hits[task..=task], &[share], 1e-6);
                }
            }
        }
    });
}

fn outer_updates_agree_with_float64_over_several_iterations(Device { name, gpu, .. }: &Device) {
    let settings = with(Settings::DEFAULT, |it| (it.beta1, it.epsilon) = (0.9, 1e-6));
    let rules = OuterOptimizer::ALL.iter().map(|&optimizer| Outer::new(optimizer, settings));
    let (length, steps) = (300, 70);
    let few = rules.zip([false, true].into_iter().cycle()).map(|(rule, fomaml)| (3, rule, fomaml));
    let many = [false, true].map(|fomaml| (MANY, Outer::INTERPOLATION, fomaml));
    for (tasks, rule, fomaml) in few.chain(many) {
        let axis = Axis { runs: 2, per_run: tasks };
        let sets = |seed, count: usize| numbers(seed, count * length);
        let (theta, adapted, anchors) = (sets(1, 2), sets(2, 2 * tasks), sets(3, 2 * tasks));
        let losses = numbers(4, 2 * tasks * steps);
        let buffers = [&theta, &adapted, &anchors, &losses].map(|set| upload(gpu, set));
        let [first, second] = [0, 1].map(|_| room(gpu, 2 * length));
        let metrics = room(gpu, 3 * 2 * steps);
        let mut wide: Vec<Vec<f64>> = widen(&theta).chunks(length).map(<[f64]>::to_vec).collect();
        let mut states = vec![OptimizerState::zeros(length); 2];
        for iteration in 0..3 {
            let (runs, offset) = run_steps(gpu, axis, |run| RunStep {
                outer_steps: iteration + 1,
                slot: iteration,
                outer_rate: 0.1 + 0.1 * run as f32,
                ..RunStep::new(0, Phase::Train, axis)
            });
            let update = OuterUpdate {
                rule: OuterRule::Optimizer(rule),
                axis,
                vectors: length / 4,
                steps,
                columns: steps,
                guard: 0.0,
                fomaml,
                summed: false,
                capacity: 0,
                adapted: &buffers[1],
                anchors: &buffers[2],
                theta: &buffers[0],
                first: &first,
                second: &second,
                losses: &buffers[3],
                metrics: &metrics,
            };
            let mut out = Recording::default();
            outer_update(gpu, &mut out, &runs, &update).unwrap();
            play(gpu, &out, offset);
            for (run, theta) in wide.iter_mut().enumerate() {
                let delta: Vec<f64> = (0..length)
                    .map(|i| {
                        let task = |task: usize| {
                            let place = (run * tasks + task) * length + i;
                            let start = if fomaml { f64::from(anchors[place]) } else { theta[i] };
                            f64::from(adapted[place]) - start
                        };
                        (0..tasks).map(task).sum::<f64>() / tasks as f64
                    })
                    .collect();
                let rate = f64::from(0.1 + 0.1 * run as f32);
                rule.step(rate, theta, &delta, &mut states[run]);
            }
        }
        let got: Vec<f32> = gpu.read(&buffers[0], 0, 2 * length).unwrap();
        assert_close(&format!("{rule:?}, {name}"), &got, &wide.concat(), TOLERANCE);
        let means: Vec<f64> = (0..2 * steps)
            .map(|i| {
                let (run, k) = (i / steps, i % steps);
                let loss = |task| f64::from(losses[(run * tasks + task) * steps + k]);
                (0..tasks).map(loss).sum::<f64>() / tasks as f64
            })
            .collect();
        let ring: Vec<f32> = gpu.read(&metrics, 2 * 2 * steps, 2 * steps).unwrap();
        assert_close(&format!("mean losses, {name}"), &ring, &means, TOLERANCE);
    }
}

/// Of a wave with so few tasks that each invocation sums by itself, and of one in which a real GPU's share.
fn sums_of_waves_are_those_of_all_tasks_at_once(Device { name, gpu, .. }: &Device) {
    let (length, steps) = (300, 5);
    let axis = Axis { runs: 1, per_run: MANY };
    let (theta, sums) = (numbers(1, length), room(gpu, length));
    let (adapted, losses) = (numbers(2, MANY * length), numbers(4, MANY * steps));
    let none = room(gpu, 4);
    let (runs, offset) = run_steps(gpu, axis, |_| RunStep {
        outer_rate: 0.5,
        ..RunStep::new(0, Phase::Train, axis)
    });
    let of_waves = |waves: &[usize]| {
        let (theta, metrics) = (upload(gpu, &theta), room(gpu, steps));
        let mut out = Recording::default();
        let mut begin = 0;
        let summed = waves.len() > 1;
        for &tasks in waves {
            let part = |of: &[f32], each: usize| upload(gpu, &of[begin * each..][..tasks * each]);
            let axis = Axis { per_run: tasks, ..axis };
            let wave = OuterSum {
                axis,
                vectors: length / 4,
                steps,
                columns: steps,
                guard: 0.5,
                fomaml: false,
                begins: begin == 0,
                adapted: &part(&adapted, length),
                anchors: &none,
                theta: &theta,
                sums: &sums,
                losses: &part(&losses, steps),
                metrics: &metrics,
            };
            if summed {
                outer_sum(gpu, &mut out, &runs, &wave).unwrap();
            }
            begin += tasks;
            if begin == MANY {
                let update = OuterUpdate {
                    rule: OuterRule::INTERPOLATION,
                    axis,
                    vectors: wave.vectors,
                    steps,
                    columns: steps,
                    guard: wave.guard,
                    fomaml: false,
                    summed,
                    capacity: 0,
                    adapted: if summed { &sums } else { wave.adapted },
                    anchors: &none,
                    theta: &theta,
                    first: &none,
                    second: &none,
                    losses: wave.losses,
                    metrics: &metrics,
                };
                outer_update(gpu, &mut out, &runs, &update).unwrap();
            }
        }
        play(gpu, &out, offset);
        let read = |buffer, count| gpu.read::<f32>(buffer, 0, count).unwrap();
        [read(&theta, length), read(&metrics, steps)].concat()
    };
    let whole = of_waves(&[MANY]);
    assert_eq!(whole, of_waves(&[20, MANY - 20]), "{name}");
    let sum: f64 = (0..MANY).map(|task| f64::from(losses[task * steps])).sum();
    assert_close(name, &whole[length..=length], &[sum / MANY as f64], TOLERANCE);
}

fn state_is_averaged_and_sets_are_handed_out(Device { name, gpu, .. }: &Device) {
    for count in [3, MANY] {
        state_of(count, name, gpu);
    }
}

fn state_of(count: usize, name: &str, gpu: &Gpu) {
    let axis = Axis { runs: 2, per_run: count };
    let length = 100;
    let state = numbers(1, 2 * count * length);
    let (tasks, shared) = (upload(gpu, &state), room(gpu, 2 * length));
    let copies = room(gpu, 2 * count * length);
    let (runs, offset) = run_steps(gpu, axis, |run| RunStep {
        weight_decay: if run == 0 { 0.5 } else { 1.0 },
        ..RunStep::new(0, Phase::Train, axis)
    });
    let mut out = Recording::default();
    let (vectors, sums) = (length / 4, room(gpu, 4));
    let mean = MeanState {
        axis,
        tasks: count,
        begins: true,
        ends: true,
        vectors,
        state: &tasks,
        sums: &sums,
        shared: &shared,
    };
    mean_state(gpu, &mut out, &mean).unwrap();
    broadcast(gpu, &mut out, axis, length / 4, count, Some(0), &runs, &shared, &copies).unwrap();
    play(gpu, &out, offset);
    let mean = |run: usize, i: usize| {
        let number = |task| f64::from(state[(run * count + task) * length + i]);
        (0..count).map(number).sum::<f64>() / count as f64
    };
    let wanted: Vec<f64> = (0..2 * count * length)
        .map(|place| {
            let run = place / length / count;
            mean(run, place % length) * if run == 0 { 0.5 } else { 1.0 }
        })
        .collect();
    let got: Vec<f32> = gpu.read(&copies, 0, 2 * count * length).unwrap();
    assert_close(name, &got, &wanted, TOLERANCE);
}
