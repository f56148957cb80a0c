//! What a program with frames of its own asks for and prepares: nothing waits, and the numbers are those of the ways that
//! do.

use crate::common::with;
use std::time::Duration;

use crate::harness::{Device, On, Tests, named};
use crate::misuse::{adapting, drawn, refused, training};
use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use reptile::meta::{Adaptation, Leader, Start, Trainer, evaluate, evaluate_async};
use reptile::optimizers::{InnerOptimizer, OuterOptimizer};
use reptile::tasks::SineSpec;
use reptile::wgpu;

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST, named!(asked_metrics_and_parameters_are_those_of_an_advance));
    tests.on(On::FIRST, named!(asked_results_of_an_adaptation_are_those_that_are_waited_for));
    tests.on(On::FIRST, named!(prepared_trainers_have_the_same_bytes));
    tests.on(On::FIRST, named!(async_twins_agree));
    tests.on(On::FIRST, named!(recorded_meta_steps_are_those_that_wait));
    tests.on(On::FIRST, named!(a_lost_device_is_an_error));
    tests.on(On::FIRST, named!(a_budget_is_used));
    tests.on(On::FIRST, named!(encoders_that_are_dropped_answer));
    tests.on(On::FIRST, named!(kernels_that_were_refused_are_refused_again));
    tests.on(On::FIRST, named!(a_builder_makes_the_setup_that_it_says));
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device().create_command_encoder(&Default::default())
}

/// More meta-iterations than the ring of metrics holds, so that what is asked for wraps around.
fn asked_metrics_and_parameters_are_those_of_an_advance(Device { name, gpu, .. }: &Device) {
    let most = Trainer::most_recorded();
    let mut straight = Trainer::new(gpu, training()).unwrap();
    let mut expected = Vec::new();
    straight
        .advance(most as u64 + 50, |metrics| {
            expected.push(metrics.clone());
            true
        })
        .unwrap();

    let mut trainer = Trainer::new(gpu, training()).unwrap();
    let mut first = encoder(gpu);
    refused("none", trainer.ask_metrics(&mut first, 1), "the last 0");
    trainer.record(&mut first, most).unwrap();
    refused("too many", trainer.ask_metrics(&mut first, most + 1), "the last 1024");
    let mut early = trainer.ask_metrics(&mut first, 3).unwrap();
    assert!(early.try_take().is_none(), "nothing is submitted yet");
    trainer.record(&mut first, 50).unwrap();
    let late = trainer.ask_metrics(&mut first, 100).unwrap();
    let parameters = trainer.ask_parameters(&mut first, 0).unwrap();
    refused("run", trainer.ask_parameters(&mut first, 7), "there is no run 7");
    let submission = gpu.queue().submit([first.finish()]);
    gpu.device()
        .poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
        .unwrap();
    assert_eq!(early.try_take().unwrap().unwrap(), expected[most - 3..most], "{name}");
    refused("twice", early.try_take().unwrap(), "taken before");
    assert_eq!(late.wait(gpu, None).unwrap(), expected[most - 50..], "{name}");
    let rows = trainer.losses();
    let slot = (most + 49) % most;
    let last = &expected[most + 49].losses;
    let place = rows.first + slot * rows.stride;
    assert_eq!(&gpu.read::<f32>(rows.buffer, place, last.len()).unwrap(), last, "{name}");
    let learned = straight.snapshot().unwrap().parameters.swap_remove(0);
    assert_eq!(parameters.wait(gpu, None).unwrap(), learned, "{name}");
    // A restored trainer has no metrics of what was before.
    trainer.restore(&straight.snapshot().unwrap()).unwrap();
    refused("restored", trainer.ask_metrics(&mut encoder(gpu), 1), "the last 0");
    trainer.advance(1, |_| true).unwrap();
    assert!(trainer.ask_metrics(&mut encoder(gpu), 1).is_ok(), "{name}");
}

fn asked_results_of_an_adaptation_are_those_that_are_waited_for(Device { name, gpu, .. }: &Device) {
    let adaptation = Adaptation::new(gpu, drawn(), 2).unwrap();
    let mut encoder = encoder(gpu);
    adaptation.record(&mut encoder, 3).unwrap();
    let losses = adaptation.ask_support_losses(&mut encoder).unwrap();
    let sets = adaptation.ask_adapted(&mut encoder).unwrap();
    let outputs = adaptation.ask_query_outputs(&mut encoder).unwrap().unwrap();
    gpu.queue().submit([encoder.finish()]);
    let (losses, sets, outputs) = pollster::block_on(async {
        (losses.await.unwrap(), sets.await.unwrap(), outputs.await.unwrap())
    });
    adaptation.run(3).unwrap();
    assert_eq!(losses, adaptation.support_losses().unwrap(), "{name}");
    let on_device: Vec<f32> = gpu.read(adaptation.losses(), 0, losses.len()).unwrap();
    assert_eq!(on_device, losses, "{name}");
    assert_eq!(sets, adaptation.adapted().unwrap(), "{name}");
    let [_, after] = adaptation.query_outputs().unwrap();
    let after = after.unwrap();
    assert_eq!(outputs, after, "{name}");
    // And where they are on the device.
    let rows = adaptation.outputs().unwrap();
    let width = drawn().model.outputs();
    let floats: Vec<f32> = gpu.read(rows.buffer, 0, rows.buffer.size() as usize / 4).unwrap();
    for (index, row) in after.chunks_exact(width).enumerate() {
        assert_eq!(&floats[rows.first + index * rows.stride..][..width], row, "{name}");
    }
}

fn prepared_trainers_have_the_same_bytes(_: &Device) {
    // A device of its own, for which nothing is compiled yet.
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default()).unwrap();
    let mut preparing = Trainer::prepare(&gpu, training()).unwrap();
    let (done, all) = preparing.progress();
    assert!(done == 0 && all > 0, "{done} of {all}");
    for number in 1..=all {
        assert_eq!(preparing.step().unwrap(), number == all);
        assert_eq!(preparing.progress(), (number, all));
    }
    let mut trainer = preparing.finish().unwrap();
    trainer.advance(5, |_| true).unwrap();
    let mut straight = Trainer::new(&gpu, training()).unwrap();
    straight.advance(5, |_| true).unwrap();
    assert_eq!(trainer.snapshot().unwrap(), straight.snapshot().unwrap());

    let mut heard = Vec::new();
    let preparing = Adaptation::prepare(&gpu, adapting(), 1).unwrap();
    let (_, all) = preparing.progress();
    let ready = preparing.ready(|done, all| heard.push((done, all)));
    pollster::block_on(ready).unwrap();
    assert_eq!(heard, (1..=all).map(|done| (done, all)).collect::<Vec<_>>());
    let builder = || Adaptation::builder(&trainer).support(6).steps(3);
    let built = builder().build().unwrap();
    let prepared = builder().prepare().unwrap().finish().unwrap();
    let learned = trainer.snapshot().unwrap().parameters;
    for adaptation in [&built, &prepared] {
        adaptation.run(0).unwrap();
        assert_ne!(adaptation.adapted().unwrap(), learned);
    }
    assert_eq!(built.adapted().unwrap(), prepared.adapted().unwrap());
    // Nothing is left to compile.
    assert_eq!(Trainer::prepare(&gpu, training()).unwrap().progress(), (0, 0));
}

fn async_twins_agree(Device { name, gpu, .. }: &Device) {
    let [mut one, mut other] = [0, 1].map(|_| Trainer::new(gpu, training()).unwrap());
    let (mut waited, mut awaited) = (Vec::new(), Vec::new());
    one.advance(20, |metrics| {
        waited.push(metrics.clone());
        true
    })
    .unwrap();
    pollster::block_on(other.advance_async(20, |metrics| {
        awaited.push(metrics.clone());
        true
    }))
    .unwrap();
    assert_eq!(waited, awaited, "{name}");
    let snapshot = pollster::block_on(other.snapshot_async()).unwrap();
    assert_eq!(one.snapshot().unwrap(), snapshot, "{name}");
    let parameters = other.parameters();
    let read = pollster::block_on(gpu.read_async::<f32>(parameters, 0, 4)).unwrap();
    assert_eq!(read, gpu.read::<f32>(parameters, 0, 4).unwrap());
    let setup = with(drawn(), |it| it.scored = true);
    for trainer in [&other, &Trainer::new(gpu, training()).unwrap()] {
        let scores = evaluate_async(gpu, &setup, Start::Run(trainer, 0), 7);
        let scores = pollster::block_on(scores).unwrap();
        assert_eq!((scores.len(), scores[0].len()), (1, 7));
        assert_eq!(scores, evaluate(gpu, &setup, Start::Run(trainer, 0), 7).unwrap(), "{name}");
    }
    let adaptation = Adaptation::new(gpu, drawn(), 2).unwrap();
    let sets = adaptation.run_async(1, |done, encoder| done.ask_adapted(encoder));
    let sets = pollster::block_on(sets).unwrap();
    adaptation.run(1).unwrap();
    assert_eq!(sets, adaptation.adapted().unwrap(), "{name}");
}

/// An online learner in the caller's encoder.
fn recorded_meta_steps_are_those_that_wait(Device { name, gpu, .. }: &Device) {
    let initial = drawn().model.initial(1);
    let leader = || Leader::new(gpu, drawn(), 2, 0.25, &initial).unwrap();
    let (mut waits, mut recorded) = (leader(), leader());
    let mut encoder = encoder(gpu);
    for tasks in [[4, 0], [4, 1]] {
        waits.step(&tasks).unwrap();
        recorded.record(&mut encoder, &tasks).unwrap();
    }
    let asked = recorded.ask_parameters(&mut encoder).unwrap();
    gpu.queue().submit([encoder.finish()]);
    let expected = waits.parameters().unwrap();
    assert_ne!(expected, initial);
    assert_eq!(pollster::block_on(asked).unwrap(), expected, "{name}");
}

/// A device that is gone is an error of whatever is asked of it, and not the program's end.
fn a_lost_device_is_an_error(_: &Device) {
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default()).unwrap();
    let mut trainer = Trainer::new(&gpu, training()).unwrap();
    let adaptation = Adaptation::new(&gpu, drawn(), 2).unwrap();
    gpu.device().destroy();
    refused("snapshot", trainer.snapshot(), "lost");
    refused("snapshot_async", pollster::block_on(trainer.snapshot_async()), "lost");
    refused("read", gpu.read::<f32>(trainer.parameters(), 0, 4), "lost");
    refused("adapted", adaptation.adapted(), "lost");
    refused("outputs", adaptation.query_outputs(), "lost");
    refused("wait_async", pollster::block_on(gpu.wait_async()), "lost");
    refused("new", Trainer::new(&gpu, training()), "lost");
    refused("prepare", Trainer::prepare(&gpu, training()), "lost");
    refused("adaptation", Adaptation::new(&gpu, drawn(), 2), "lost");
    refused("advance", trainer.advance(1, |_| true), "lost");
}

/// With the device's clock and without.
fn a_budget_is_used(_: &Device) {
    let all = Gpu::request(&AdapterChoice::default(), GpuOptions::default()).unwrap();
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let mut descriptor = Gpu::device_descriptor(&adapter);
    descriptor.required_features.remove(wgpu::Features::TIMESTAMP_QUERY);
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let without = Gpu::from_existing(device, queue, GpuOptions::default());
    for gpu in [all, without] {
        let mut trainer = Trainer::new(&gpu, training()).unwrap();
        let frame = |trainer: &mut Trainer, budget| {
            let mut encoder = encoder(&gpu);
            let count = trainer.record_within(&mut encoder, budget).unwrap();
            gpu.queue().submit([encoder.finish()]);
            gpu.wait().unwrap();
            count
        };
        // Nothing is known of the first ones.
        let counts: Vec<usize> =
            (0..6).map(|_| frame(&mut trainer, Duration::from_secs(60))).collect();
        assert_eq!(counts[..3], [1, 1, 1]);
        assert!(counts[5] > 1, "{counts:?}");
        assert_eq!(trainer.iteration(), counts.iter().sum::<usize>() as u64);
        assert_eq!(frame(&mut trainer, Duration::ZERO), 0, "what is saved is little");
    }
}

/// What a program drops instead of submitting it never arrives, and says so; a frame that is dropped is not waited for.
fn encoders_that_are_dropped_answer(Device { gpu, .. }: &Device) {
    let mut trainer = Trainer::new(gpu, training()).unwrap();
    let mut dropped = encoder(gpu);
    let mut asked = trainer.ask_parameters(&mut dropped, 0).unwrap();
    let awaited = trainer.ask_parameters(&mut dropped, 0).unwrap();
    let budget = Duration::from_secs(60);
    assert_eq!(trainer.record_within(&mut dropped, budget).unwrap(), 1);
    assert!(asked.try_take().is_none(), "it may still be submitted");
    drop(dropped);
    refused("asked", asked.try_take().unwrap(), "dropped and not submitted");
    refused("awaited", pollster::block_on(awaited), "dropped and not submitted");
    assert_eq!(trainer.record_within(&mut encoder(gpu), budget).unwrap(), 1);
}

fn kernels_that_were_refused_are_refused_again(_: &Device) {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let mut descriptor = Gpu::device_descriptor(&adapter);
    descriptor.required_limits.max_compute_workgroup_size_x = 16;
    descriptor.required_limits.max_compute_invocations_per_workgroup = 16;
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let gpu = Gpu::from_existing(device, queue, GpuOptions::default());
    let part = "was refused by the device";
    let mut preparing = Trainer::prepare(&gpu, training()).unwrap();
    while preparing.step().is_ok_and(|all| !all) {}
    refused("a step", preparing.step(), part);
    refused("the rest", preparing.finish(), part);
    refused("again", Trainer::prepare(&gpu, training()).unwrap().finish(), part);
    refused("without preparing", Trainer::new(&gpu, training()), part);
}

fn a_builder_makes_the_setup_that_it_says(Device { gpu, .. }: &Device) {
    let model = training().model;
    let builder = Trainer::builder(gpu, &model, SineSpec::default())
        .inner(InnerOptimizer::Adam, 0.003)
        .steps(4)
        .batch(7)
        .outer(OuterOptimizer::Nesterov, 0.2)
        .meta_batch(3)
        .iterations(90)
        .seed(8)
        .runs(2);
    let setup = builder.clone().setup();
    let inner = (setup.inner.optimizer, setup.inner.rate, setup.inner.steps, setup.inner.batch);
    assert_eq!(inner, (InnerOptimizer::Adam, 0.003, Some(4), 7));
    assert_eq!((setup.batches.steps, setup.batches.batch, setup.batches.group), (4, 7, 50));
    let outer = (setup.outer.optimizer, setup.outer.rate, setup.outer.meta_batch);
    assert_eq!(outer, (OuterOptimizer::Nesterov, 0.2, 3));
    assert_eq!((setup.iterations, setup.seed, setup.runs), (90, 8, 2));
    assert_eq!((setup.outer.beta1, setup.inner.beta1), (0.9, 0.0));
    let mut trainer = builder.build().unwrap();
    trainer.advance(2, |_| true).unwrap();
    assert_eq!(trainer.snapshot().unwrap().parameters.len(), 2);
    refused("steps", Trainer::builder(gpu, &model, SineSpec::default()).steps(0).build(), "steps");
}
