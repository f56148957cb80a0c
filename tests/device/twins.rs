//! Async twins give way while the device works, and come to the numbers of the methods that wait.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::{network, numbers, random_images, with};
use crate::harness::{Device, On, Tests, first_adapter, named};
use crate::misuse::{adapting, drawn, training};
use reptile::gpu::{Gpu, GpuOptions};
use reptile::kernels::ImageShape;
use reptile::meta::{
    Adaptation, AdaptationSetup, CodeLayout, DeviceImages, Leader, Origin, PlanKind, Start,
    StartingPoint, Trainer, best_entries, best_entries_async, evaluate, evaluate_async,
    evaluate_episodes, evaluate_episodes_async, evaluate_models, evaluate_models_async,
    evaluate_warm, evaluate_warm_async, in_batches, in_batches_async, largest_differences,
    largest_differences_async,
};
use reptile::model::Loss;
use reptile::tasks::{Bits, Episodes, ImageClass, Split, SplitClass, SplitPart};
use reptile::tune::{Direction, LayerAlone, Trial, Tuning, tune, tune_async};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST, named!(awaited_codes_are_those_that_are_waited_for));
    tests.on(On::FIRST, named!(awaited_evaluations_are_those_that_are_waited_for));
    tests.on(On::FIRST, named!(awaited_lists_of_tasks_are_those_that_are_waited_for));
    tests.on(On::FIRST, named!(awaited_adaptations_are_those_that_are_waited_for));
    tests.on(On::FIRST, named!(awaited_dispatches_are_those_that_are_waited_for));
    tests.on(On::FIRST, named!(awaited_tuning_times_what_is_timed_otherwise));
    tests.on(On::FIRST, named!(twins_may_go_to_other_threads));
}

/// What `twin` comes to. It has to give way meanwhile.
fn awaited<T>(twin: impl AsyncFnOnce() -> reptile::Result<T>) -> T {
    let (mut future, mut context) = (pin!(twin()), Context::from_waker(Waker::noop()));
    let mut gave_way = false;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Pending => gave_way = true,
            Poll::Ready(value) => {
                assert!(gave_way, "it blocks");
                return value.unwrap();
            }
        }
    }
}

fn points(count: u64) -> Vec<StartingPoint> {
    (0..count).map(|seed| StartingPoint::new(drawn().model.initial(seed))).collect()
}

fn awaited_codes_are_those_that_are_waited_for(Device { name, gpu, .. }: &Device) {
    let model = drawn().model;
    let [base, one, other] = [1, 2, 3].map(|seed| numbers(seed, model.parameter_count()));
    let sets = [one, other];
    for bits in [16, 8, 4, 1] {
        let layout = CodeLayout::new(&model, bits).unwrap();
        let coded = awaited(async || layout.encode_async(gpu, &base, &sets).await);
        assert_eq!(coded, layout.encode(gpu, &base, &sets).unwrap(), "{bits} bits, {name}");
        let decoded = awaited(async || layout.decode_async(gpu, &base, &coded).await);
        assert_eq!(decoded, layout.decode(gpu, &base, &coded).unwrap(), "{bits} bits, {name}");
    }
    let largest = awaited(async || largest_differences_async(gpu, &base, &sets, 7).await);
    assert_eq!(largest, largest_differences(gpu, &base, &sets, 7).unwrap(), "{name}");
}

fn awaited_evaluations_are_those_that_are_waited_for(Device { name, gpu, .. }: &Device) {
    let (setup, points) = (drawn(), points(3));
    let (start, models) = (&points[0], [1, 2].map(|seed| drawn().model.initial(seed)));
    let scores = awaited(async || evaluate_async(gpu, &setup, start, 7).await);
    assert_eq!(scores, evaluate(gpu, &setup, start, 7).unwrap(), "{name}");
    let scores = awaited(async || evaluate_models_async(gpu, &setup, start, &models).await);
    assert_eq!(scores, evaluate_models(gpu, &setup, start, &models).unwrap(), "{name}");
    let scores = awaited(async || evaluate_warm_async(gpu, &setup, &points, 5).await);
    assert_eq!(scores, evaluate_warm(gpu, &setup, &points, 5).unwrap(), "{name}");
    let none = |_: &Adaptation, _: &[usize]| Ok(());
    let best = awaited(async || best_entries_async(gpu, &setup, &points, 2..9, none).await);
    assert_eq!(best, best_entries(gpu, &setup, &points, 2..9, none).unwrap(), "{name}");

    // Of a trainer without a meta-iteration, whose sums the host has.
    let trainer = Trainer::new(gpu, training()).unwrap();
    let adapted = awaited(async || {
        let mut all = Vec::new();
        in_batches_async(gpu, &setup, Start::Run(&trainer, 0), 4, async |adaptation, tasks| {
            let ask = |done: &Adaptation, encoder: &mut _| done.ask_adapted(encoder);
            all.extend(adaptation.run_async(tasks.start, ask).await?);
            Ok(())
        })
        .await
        .map(|()| all)
    });
    let mut waited = Vec::new();
    in_batches(gpu, &setup, Start::Run(&trainer, 0), 4, |adaptation, tasks| {
        adaptation.run(tasks.start)?;
        waited.extend(adaptation.adapted()?);
        Ok(())
    })
    .unwrap();
    assert_eq!((adapted.len(), adapted), (4, waited), "{name}");
}

/// Two tasks of two classes each.
fn listed(gpu: &Gpu) -> (AdaptationSetup, Episodes) {
    let class = |n: u32| ImageClass { name: n.to_string(), first_image: 4 * n, images: 4 };
    let part = |classes: std::ops::Range<usize>| {
        classes.map(|class| SplitClass { class, rotation: 0 }).collect::<Vec<_>>()
    };
    let images = random_images(1, 4, 1, Bits::One, (0..6).map(class).collect());
    let split = Split { images, train: part(0..2), val: Vec::new(), test: part(2..6) };
    let images = Arc::new(DeviceImages::new(gpu, &split).unwrap());
    let setup = with(adapting(), |it| {
        it.model = network(16, &[], 2, Loss::CrossEntropy);
        (it.batches.way, it.batches.group) = (2, 1);
        it.origin = Origin::Episodes { images, part: SplitPart::Test, queries: 1 };
    });
    let (way, shots, queries) = (2, 1, 1);
    let (support, query) = (vec![8, 12, 17, 22], vec![9, 13, 18, 23]);
    let (path, part) = ("a list".into(), SplitPart::Test);
    (setup, Episodes { path, part, way, shots, queries, support, query })
}

fn awaited_lists_of_tasks_are_those_that_are_waited_for(Device { name, gpu, .. }: &Device) {
    let (setup, list) = listed(gpu);
    let start = StartingPoint::new(setup.model.initial(1));
    let scores = awaited(async || evaluate_episodes_async(gpu, &setup, &start, &list).await);
    let waited = evaluate_episodes(gpu, &setup, &start, &list).unwrap();
    assert_eq!((scores[0].len(), scores), (2, waited), "{name}");
}

fn awaited_adaptations_are_those_that_are_waited_for(Device { name, gpu, .. }: &Device) {
    let adaptation = Adaptation::new(gpu, drawn(), 2).unwrap();
    let models = [1, 2].map(|seed| drawn().model.initial(seed));
    let ask = |done: &Adaptation, encoder: &mut _| done.ask_scores(encoder);
    let scores = awaited(async || adaptation.run_models_async(3, &models, ask).await);
    adaptation.run_models(3, &models).unwrap();
    assert_eq!(scores, adaptation.scores().unwrap(), "{name}");
    let outputs = awaited(async || adaptation.query_outputs_async().await);
    assert!(outputs.iter().all(Option::is_some));
    assert_eq!(outputs, adaptation.query_outputs().unwrap(), "{name}");
    let rows = awaited(async || adaptation.support_rows_async().await);
    assert_eq!(rows, adaptation.support_rows().unwrap(), "{name}");
    let rows = awaited(async || adaptation.query_rows_async().await);
    assert_eq!(rows, adaptation.query_rows().unwrap(), "{name}");

    let trainer = Trainer::new(gpu, training()).unwrap();
    let builder = || Adaptation::builder(&trainer).support(3).queries(2);
    let built = awaited(async || builder().build_async().await);
    let prepared = awaited(async || builder().prepare_async().await).finish().unwrap();
    let [wanted, built, prepared] = [builder().build().unwrap(), built, prepared].map(|one| {
        one.tasks().upload_support_x(gpu, trainer.model(), &[0.1, 0.2, 0.3]).unwrap();
        one.tasks().upload_support_values(gpu, trainer.model(), &[1.0, 2.0, 3.0]).unwrap();
        one.tasks().upload_query_x(gpu, trainer.model(), &[0.5, 0.6]).unwrap();
        one.run(0).unwrap();
        one.adapted().unwrap()
    });
    assert_eq!((&built, &prepared), (&wanted, &wanted), "{name}");

    let leader = || Leader::new(gpu, drawn(), 2, 0.25, &models[0]).unwrap();
    let stepped = awaited(async || {
        let mut leader = leader();
        leader.step_async(&[4, 0]).await.map(|()| leader)
    });
    let mut waits = leader();
    waits.step(&[4, 0]).unwrap();
    assert_eq!(stepped.parameters().unwrap(), waits.parameters().unwrap(), "{name}");
}

fn awaited_dispatches_are_those_that_are_waited_for(Device { name, gpu, .. }: &Device) {
    let trainer = || Trainer::new(gpu, training()).unwrap();
    let (mut waits, mut awaits) = (trainer(), trainer());
    let held = waits.time_dispatches().unwrap();
    let other = pollster::block_on(awaits.time_dispatches_async()).unwrap();
    let kernels = |held: Option<Vec<reptile::gpu::HeldDispatch>>| {
        held.map(|held| held.into_iter().map(|one| one.kernel).collect::<Vec<_>>())
    };
    assert_eq!(kernels(held), kernels(other), "{name}");
    assert_eq!(waits.snapshot().unwrap(), awaits.snapshot().unwrap(), "{name}");

    let mut shape = ImageShape { channels: 1, height: 8, width: 8, bits: 8, words_per_image: 16 };
    let noise = awaited(async || DeviceImages::noise_async(gpu, shape, 50, 50).await);
    assert_eq!(noise.bytes(), DeviceImages::noise(gpu, shape, 50, 50).unwrap().bytes());
    shape.bits = 7;
    assert!(pollster::block_on(DeviceImages::noise_async(gpu, shape, 50, 50)).is_err());

    let rule = reptile::meta::InnerRule::SGD;
    let alone = LayerAlone::new(gpu, waits.model(), 0, [3, 5], rule).unwrap();
    let mut recording = reptile::gpu::Recording::default();
    alone.record(gpu, &mut recording, Direction::Forward).unwrap();
    awaited(async || recording.run_times_async(gpu, 3).await);
    let result = awaited(async || alone.result_async(gpu, Direction::Forward).await);
    recording.run_times(gpu, 1).unwrap();
    assert_eq!(result, alone.result(gpu, Direction::Forward).unwrap(), "{name}");

    // What was submitted before is done then.
    let mut trainer = trainer();
    let asked = awaited(async || {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        trainer.record(&mut encoder, 50)?;
        let asked = trainer.ask_parameters(&mut encoder, 0)?;
        gpu.queue().submit([encoder.finish()]);
        gpu.wait_async().await.map(|()| asked)
    });
    let mut asked = asked;
    assert!(asked.try_take().is_some_and(|values| values.is_ok()), "{name}");
}

fn awaited_tuning_times_what_is_timed_otherwise(_: &Device) {
    let setup = with(training(), |it| it.plan = PlanKind::Layered);
    let mut told = [Vec::new(), Vec::new()];
    let [waited, other] = [0, 1].map(|place| {
        let gpu = Gpu::request(&first_adapter(), GpuOptions::default()).unwrap();
        let mut progress = |key: &str| told[place].push(key.to_string());
        let mut tuning = Tuning::new(Duration::from_secs(600), &mut progress);
        let trials = match place {
            0 => tune(&gpu, &setup, &mut tuning).unwrap(),
            _ => {
                tuning.again = true;
                awaited(async || tune_async(&gpu, &setup, &mut tuning).await)
            }
        };
        assert!(trials.iter().all(|trial| trial.seconds.is_some_and(|seconds| seconds > 0.0)));
        let chosen: Vec<&Trial> = trials.iter().filter(|trial| trial.chosen).collect();
        let tuned = gpu.tuned_variants();
        assert!(chosen.iter().all(|trial| tuned[&trial.key] == trial.variant));
        trials.into_iter().map(|trial| (trial.key, trial.variant)).collect::<Vec<_>>()
    });
    assert!(!waited.is_empty());
    assert_eq!(waited, other);
    assert_eq!(told[0], told[1]);
}

/// Executors with several threads ask it of what they run.
fn twins_may_go_to_other_threads(Device { gpu, .. }: &Device) {
    fn sent(_: impl Send) {}
    let (setup, points) = (drawn(), points(2));
    let (start, models) = (&points[0], [drawn().model.initial(1)]);
    let mut trainer = Trainer::new(gpu, training()).unwrap();
    sent(trainer.advance_async(1, |_| true));
    sent(trainer.time_dispatches_async());
    sent(trainer.snapshot_async());
    sent(Adaptation::builder(&trainer).build_async());
    sent(Adaptation::builder(&trainer).prepare_async());
    sent(evaluate_async(gpu, &setup, Start::Run(&trainer, 0), 1));
    sent(evaluate_models_async(gpu, &setup, start, &models));
    sent(evaluate_warm_async(gpu, &setup, &points, 1));
    sent(best_entries_async(gpu, &setup, &points, 0..1, |_, _| Ok(())));
    let (listed, list) = listed(gpu);
    sent(evaluate_episodes_async(gpu, &listed, start, &list));
    let adaptation = Adaptation::new(gpu, setup, 1).unwrap();
    sent(adaptation.run_models_async(0, &models, |done, encoder| done.ask_scores(encoder)));
    sent(adaptation.query_outputs_async());
    sent(adaptation.query_rows_async());
    let layout = CodeLayout::new(trainer.model(), 8).unwrap();
    sent(layout.encode_async(gpu, &models[0], &models));
    sent(largest_differences_async(gpu, &models[0], &models, 1));
    sent(gpu.wait_async());
}
