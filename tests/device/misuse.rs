//! What a program can do wrong with the library is an error that names it, and never a panic.

use std::sync::Arc;

use crate::common::{network, random_images, with};
use crate::harness::{Device, On, Tests, first_adapter, named};
use reptile::Result;
use reptile::gpu::{Gpu, GpuOptions};
use reptile::kernels::{Axis, ImageShape, InnerRule, RunSteps};
use reptile::meta::{
    Adaptation, AdaptationSetup, DeviceImages, Granularity, InnerLoop, InnerOptimizer, InnerSpec,
    Leader, MemorySpec, Origin, OuterSpec, PlanKind, Schedule, StartingPoint, Starts, StrategyKind,
    StrategySpec, TaskBuffers, Trainer, TrainerSetup, TrainingState, best_entries, evaluate,
    evaluate_episodes, evaluate_models, evaluate_warm,
};
use reptile::model::{Activation, Loss, Model};
use reptile::optimizers::{Inner, Settings};
use reptile::tasks::{
    Batches, Bits, EpisodeSpec, Episodes, GlyphsSpec, ImageClass, SineSpec, Split, SplitClass,
    SplitPart,
};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST, named!(impossible_trainings_are_refused));
    tests.on(On::FIRST, named!(impossible_adaptations_are_refused));
    tests.on(On::FIRST, named!(states_of_something_else_are_refused));
    tests.on(On::FIRST, named!(starts_of_something_else_are_refused));
    tests.on(On::FIRST, named!(impossible_evaluations_are_refused));
    tests.on(On::FIRST, named!(what_is_of_another_network_or_device_is_refused));
}

pub fn model() -> Model {
    network(1, &[(8, Activation::Tanh)], 1, Loss::Mse)
}

pub fn batches() -> Batches {
    Batches::new([1, 10], 5, 4)
}

fn sines() -> Origin {
    Origin::Sine(with(SineSpec::default(), |it| (it.points, it.shots) = (10, 5)))
}

pub fn training() -> TrainerSetup {
    let mut setup = TrainerSetup::new(
        &model(),
        sines(),
        InnerSpec::sgd(0.02, 5, 4),
        OuterSpec::interpolation(0.3, 4),
        batches(),
    );
    setup.seed = 1;
    setup.iterations = 10;
    setup
}

pub fn adapting() -> AdaptationSetup {
    let mut setup = AdaptationSetup::new(
        &model(),
        Origin::Rows { queries: 3, ordered: false },
        InnerRule::SGD,
        0.02,
        batches(),
    );
    setup.seed = 1;
    setup.scored = true;
    setup
}

pub fn drawn() -> AdaptationSetup {
    with(adapting(), |it| it.origin = sines())
}

fn glyphs(way: usize, size: usize) -> Origin {
    let episodes = EpisodeSpec::new([way, 1], 2);
    Origin::Glyphs(with(GlyphsSpec::new(episodes), |it| it.size = size))
}

/// Three classes of 4 × 4 images, of three images each but the last, which has two.
fn split() -> Split {
    let class =
        |name: &str, first_image, images| ImageClass { name: name.into(), first_image, images };
    let classes = vec![class("a", 0, 3), class("b", 3, 3), class("c", 6, 2)];
    let all: Vec<_> = (0..3).map(|class| SplitClass { class, rotation: 0 }).collect();
    Split {
        images: random_images(1, 4, 1, Bits::One, classes),
        train: all.clone(),
        val: Vec::new(),
        test: all,
    }
}

/// A point from which a network of other parameters starts.
fn point(parameters: Vec<f32>) -> StartingPoint {
    StartingPoint::new(parameters)
}

/// Whether `result` is an error that says `part`.
pub fn refused<T>(what: &str, result: Result<T>, part: &str) {
    match result {
        Ok(_) => panic!("{what}: it was accepted"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(part), "{what}: {part} is not in: {text}");
        }
    }
}

type Change<S> = (&'static str, fn(&mut S));

fn impossible_trainings_are_refused(Device { gpu, .. }: &Device) {
    Trainer::new(gpu, training()).unwrap().advance(1, |_| true).unwrap();
    let wide = |setup: &mut TrainerSetup, outputs| {
        setup.model = network(784, &[(8, Activation::Tanh)], outputs, Loss::CrossEntropy);
        setup.batches = with(batches(), |it| (it.way, it.group) = (5, 2));
        setup.origin = glyphs(5, 28);
    };
    let mut fits = training();
    wide(&mut fits, 5);
    Trainer::new(gpu, fits).unwrap();
    let cases: [Change<TrainerSetup>; 40] = [
        ("`runs`", |s| s.runs = 0),
        ("`runs`", |s| s.runs = usize::MAX),
        ("runs have settings of 3", |s| s.own = vec![s.of_run(0); 3]),
        ("inner_rate of a run", |s| {
            s.own = vec![s.of_run(0)];
            s.own[0].inner_rate = f32::INFINITY;
        }),
        ("outer.meta_batch", |s| s.outer.meta_batch = 0),
        ("outer.meta_batch", |s| s.outer.meta_batch = usize::MAX),
        ("runs × outer.meta_batch", |s| (s.runs, s.outer.meta_batch) = (1 << 16, 1 << 16)),
        ("waves of tasks", |s| s.outer.meta_batch = u32::MAX as usize),
        ("batches.way", |s| s.batches.way = 0),
        ("batches.group", |s| s.batches.group = 0),
        ("batches.steps", |s| s.batches.steps = 0),
        ("batches.steps", |s| s.batches.steps = usize::MAX),
        ("steps × batch", |s| s.batches.steps = u32::MAX as usize),
        ("batches.batch", |s| s.batches.batch = 0),
        ("batches.batch", |s| s.batches.batch = usize::MAX),
        ("batches.tail", |s| s.batches.tail = 10),
        ("batches.tail", |s| s.batches.tail = 11),
        ("without repeats", |s| (s.batches.replacement, s.batches.batch) = (true, 20)),
        ("inner.rate", |s| s.inner.rate = f32::NAN),
        ("`inner.epsilon`", |s| s.inner.epsilon = 0.0),
        ("`outer.momentum`", |s| s.outer.momentum = f32::NAN),
        ("inner.rate", |s| s.inner.rate = 0.0),
        ("inner.weight_decay", |s| s.inner.weight_decay = f32::NAN),
        ("outer.rate", |s| s.outer.rate = f32::NAN),
        ("inner.schedule.every", |s| {
            s.inner.schedule = Schedule::Exponential { ratio: 0.5, every: 0, staircase: true };
        }),
        ("outer.schedule.final", |s| s.outer.schedule = Schedule::Linear { last: f32::NAN }),
        ("memory.capacity", |s| s.memory.capacity = 1),
        ("memory.capacity", |s| s.memory.capacity = usize::MAX),
        ("is the query's", |s| {
            s.strategy.kind = StrategyKind::MetaSgd;
            s.batches.steps = 1;
        }),
        ("a grid of 10", |s| s.batches.group = 11),
        ("tasks.points", |s| {
            s.origin = Origin::Sine(with(SineSpec::default(), |it| it.points = 0));
        }),
        ("tasks.points", |s| {
            s.batches.group = 1;
            s.origin = Origin::Sine(with(SineSpec::default(), |it| it.points = 1));
        }),
        ("tasks.amplitude", |s| {
            let amplitude = [f32::NAN, 1.0];
            s.origin = Origin::Sine(with(SineSpec::default(), |it| it.amplitude = amplitude));
        }),
        ("sine tasks need", |s| s.model = network(3, &[(8, Activation::Tanh)], 1, Loss::Mse)),
        ("sine tasks need", |s| {
            s.model = network(1, &[(8, Activation::Tanh)], 2, Loss::CrossEntropy);
        }),
        ("the caller fills", |s| (s.origin, s.outer.meta_batch) = (Origin::filled(), 70_000)),
        ("model.input", |s| {
            s.batches = with(batches(), |it| (it.way, it.group) = (5, 2));
            s.origin = glyphs(5, 28);
        }),
        ("4 units for 5 classes", |s| {
            s.model = network(784, &[(8, Activation::Tanh)], 4, Loss::CrossEntropy);
            s.batches = with(batches(), |it| (it.way, it.group) = (5, 2));
            s.origin = glyphs(5, 28);
        }),
        ("at most 256", |s| {
            s.model = network(784, &[(8, Activation::Tanh)], 5, Loss::CrossEntropy);
            s.batches = with(batches(), |it| (it.way, it.group) = (5, 257));
            s.origin = glyphs(5, 28);
        }),
        ("at most 1024", |s| {
            s.model = network(1, &[(8, Activation::Tanh)], 5, Loss::CrossEntropy);
            s.batches = with(batches(), |it| (it.way, it.group) = (5, 2));
            s.origin = glyphs(5, 1 << 40);
        }),
    ];
    for (part, change) in cases {
        let mut setup = training();
        change(&mut setup);
        refused(part, Trainer::new(gpu, setup), part);
    }
    let endless = with(training(), |it| (it.iterations, it.plan) = (u64::MAX, PlanKind::Layered));
    Trainer::new(gpu, endless).unwrap().advance(2, |_| true).unwrap();
}

fn impossible_adaptations_are_refused(Device { gpu, .. }: &Device) {
    let images = Arc::new(DeviceImages::new(gpu, &split()).unwrap());
    let cases: [Change<AdaptationSetup>; 10] = [
        ("batches.steps", |s| s.batches.steps = 0),
        ("batches.batch", |s| s.batches.batch = 0),
        ("batches.group", |s| s.batches.group = 0),
        ("way × group", |s| (s.batches.way, s.batches.group) = (1 << 20, 1 << 20)),
        ("queries of a task", |s| s.origin = Origin::Rows { queries: usize::MAX, ordered: false }),
        ("tasks needs", |s| {
            s.origin = Origin::Rows { queries: u32::MAX as usize, ordered: false };
            s.batches.group = 1 << 28;
        }),
        ("`rate`", |s| s.rate = f32::NAN),
        ("weight_decay", |s| s.weight_decay = f32::INFINITY),
        ("`rule`", |s| s.rule = InnerRule::Query),
        ("`rule.beta2`", |s| {
            let settings = with(Settings::DEFAULT, |it| it.beta2 = 1.0);
            s.rule = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, settings));
        }),
    ];
    for (part, change) in cases {
        let mut setup = adapting();
        change(&mut setup);
        assert_eq!(Adaptation::batch_size(gpu, &setup, 3), 1, "{part}");
        refused(part, Adaptation::new(gpu, setup, 2), part);
    }
    refused("no task", Adaptation::new(gpu, adapting(), 0), "`tasks`: is 0");
    refused("too many", Adaptation::new(gpu, adapting(), usize::MAX), "`tasks`");
    for (starts, part) in [(Starts::All(0), "`starts`"), (Starts::All(1 << 31), "starts × tasks")]
    {
        refused(part, Adaptation::with_starts(gpu, adapting(), 2, starts), part);
    }
    let of_images = |way, group, queries| {
        let images = images.clone();
        with(adapting(), |it| {
            it.model = network(16, &[], 3, Loss::CrossEntropy);
            (it.batches.way, it.batches.group) = (way, group);
            it.origin = Origin::Episodes { images, part: SplitPart::Test, queries };
        })
    };
    Adaptation::new(gpu, of_images(3, 1, 1), 1).unwrap().run(0).unwrap();
    for (way, group, queries, part) in [
        (3, 2, 1, "needs 3 images of a class, but one has only 2"),
        (3, 1, usize::MAX, "at most 256"),
        (4, 1, 1, "3 units for 4 classes"),
    ] {
        refused(part, Adaptation::new(gpu, of_images(way, group, queries), 1), part);
    }
    let mut four = of_images(4, 1, 1);
    four.model = network(16, &[], 4, Loss::CrossEntropy);
    refused("classes", Adaptation::new(gpu, four, 1), "there are only 3");
    let mut other = of_images(3, 1, 1);
    other.model = network(25, &[], 3, Loss::CrossEntropy);
    refused("images", Adaptation::new(gpu, other, 1), "[1, 4, 4]");
    let (shape, none) = (ImageShape { ..SHAPE }, ImageShape { words_per_image: 0, ..SHAPE });
    refused("no class", DeviceImages::noise(gpu, shape, 0, 2), "`images`");
    refused("no words", DeviceImages::noise(gpu, none, 2, 2), "`images`");
    // No queries are no mistake, and neither are no modes.
    let mut without = adapting();
    without.origin = Origin::Rows { queries: 0, ordered: false };
    let without = Adaptation::new(gpu, without, 2).unwrap();
    without.run(0).unwrap();
    assert_eq!(without.query_outputs().unwrap(), [None, None]);
    assert!(without.query_rows().unwrap().iter().all(Vec::is_empty));
    assert!(without.scores().unwrap().is_empty());
    let bare = Adaptation::new(gpu, with(adapting(), |it| it.transductive = vec![]), 1);
    bare.unwrap().run(0).unwrap();
}

const SHAPE: ImageShape =
    ImageShape { channels: 1, height: 4, width: 4, bits: 1, words_per_image: 1 };

fn states_of_something_else_are_refused(Device { gpu, .. }: &Device) {
    let mut setup = training();
    (setup.runs, setup.memory.capacity, setup.inner.optimizer) = (2, 5, InnerOptimizer::Adam);
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    trainer.advance(2, |_| true).unwrap();
    let state = trainer.snapshot().unwrap();
    let cases: [Change<TrainingState>; 8] = [
        ("parameters", |s| s.parameters[1].truncate(3)),
        ("0 sets of parameters", |s| s.parameters.clear()),
        ("inner second moments", |s| s.inner_second[0].push(0.0)),
        ("entries of the memory", |s| s.memory[9].clear()),
        ("losses of the memory", |s| s.memory_losses[3].clear()),
        ("losses of the memory", |s| s.memory_losses[3].push(1.0)),
        ("state is of 1 runs", |s| s.runs = 1),
        ("iteration", |s| s.iteration = u64::MAX),
    ];
    for (part, change) in cases {
        let mut other = state.clone();
        change(&mut other);
        refused(part, trainer.restore(&other), part);
        assert_eq!(trainer.snapshot().unwrap(), state, "{part}: nothing was taken over");
    }
    trainer.restore(&state).unwrap();
    refused("run", state.starting_point(2), "there is no run 2");
    refused("run", state.memory_points(&MemorySpec::default(), 4, 2), "there is no run 2");
    refused("run", TrainingState::default().starting_point(0), "there is no run 0");
    refused("no runs", TrainingState::of_runs(&[]), "there is no run");
    refused("no run", TrainingState::of_runs(&[(&state, 0), (&state, 7)]), "there is no run 7");
    let late = with(state.clone(), |it| it.iteration = 3);
    refused("late", TrainingState::of_runs(&[(&state, 0), (&late, 1)]), "iteration");
    assert!(state.is_finite(2), "nothing that is there is not finite");
    assert_eq!(TrainingState::of_runs(&[(&state, 0), (&state, 1)]).unwrap(), state);
    // The last meta-iteration that is counted in 32 bits.
    trainer.restore(&with(state, |it| it.iteration = u64::from(u32::MAX) - 9)).unwrap();
    let mut seen = 0;
    let beyond = trainer.advance(20, |_| {
        seen += 1;
        true
    });
    refused("beyond", beyond, "counts up to");
    assert_eq!(trainer.iteration(), u64::from(u32::MAX));
    assert!(seen > 0, "what is counted is done");
    refused("late", trainer.advance(1, |_| true), "counts up to");
    refused("late", trainer.time_dispatches(), "counts up to");
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    refused("late", trainer.record(&mut encoder, 1), "counts up to");
}

fn starts_of_something_else_are_refused(Device { gpu, .. }: &Device) {
    let count = model().parameter_count();
    let good = point(vec![0.5; count]);
    let mut adaptation =
        Adaptation::with_starts(gpu, drawn(), 2, Starts::Each).expect("a possible setup");
    adaptation.start_from(&good).unwrap();
    adaptation.start_from_each(&[good.clone(), good.clone()]).unwrap();
    refused("short", adaptation.start_from(&point(vec![0.0; 3])), "starting parameters");
    let moments = with(good.clone(), |it| it.state = [Some(vec![0.0]), None]);
    refused("moments", adaptation.start_from(&moments), "has 1 numbers");
    let rates = with(good.clone(), |it| it.rates = Some(vec![0.0]));
    refused("rates", adaptation.start_from(&rates), "has 1 numbers");
    let three = [good.clone(), good.clone(), good.clone()];
    refused("many", adaptation.start_from_each(&three), "room for 2");
    let sets = vec![good.parameters.clone(); 3];
    refused("many", adaptation.run_models(0, &sets), "room for 2");
    refused("short", adaptation.run_models(0, &[vec![0.0; 2]]), "models");
    adaptation.run_models(0, &sets[..2]).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    refused("one", adaptation.record_tasks(&mut encoder, &[1], 0), "batch of 2 tasks");
    let together = Adaptation::new(gpu, drawn(), 2).unwrap();
    refused("each", together.record_tasks(&mut encoder, &[1, 2], 0), "Starts::Each");
    let settings = with(Settings::DEFAULT, |it| {
        it.beta1 = 0.5;
        it.beta2 = 0.9;
        it.epsilon = 1e-5;
    });
    let adam = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, settings));
    let setup = with(drawn(), |it| it.rule = adam);
    let mut adam = Adaptation::with_starts(gpu, setup, 2, Starts::Each).unwrap();
    let late = with(good.clone(), |it| it.adam_steps = 3);
    refused("steps", adam.start_from_each(&[good.clone(), late]), "seen 0 inner steps, another 3");
    let trainer = Trainer::new(gpu, training()).unwrap();
    refused("moments", adam.record_start(&mut encoder, &trainer, 0), "keeps no such state");
    refused("run", adaptation.record_start(&mut encoder, &trainer, 1), "there is no run 1");
    let setup = with(drawn(), |it| it.rule = InnerRule::learned(3));
    let mut rates = Adaptation::new(gpu, setup, 1).unwrap();
    refused("rates", rates.record_start(&mut encoder, &trainer, 0), "learns no rates");
    let mut setup = training();
    setup.strategy = with(StrategySpec::default(), |it| {
        it.kind = StrategyKind::Hypergradient;
        it.granularity = Granularity::Layer;
    });
    let learned = Trainer::new(gpu, setup).unwrap();
    rates.record_start(&mut encoder, &learned, 0).unwrap();
}

fn impossible_evaluations_are_refused(Device { gpu, .. }: &Device) {
    let good = point(vec![0.5; model().parameter_count()]);
    assert!(evaluate(gpu, &drawn(), &good, 0).unwrap()[0].is_empty());
    refused("start", evaluate(gpu, &drawn(), &point(vec![]), 2), "starting parameters");
    refused("none", evaluate_warm(gpu, &drawn(), &[], 2), "`entries`");
    refused("none", best_entries(gpu, &drawn(), &[], 0..2, |_, _| Ok(())), "`entries`");
    let entries = [good.clone()];
    assert!(best_entries(gpu, &drawn(), &entries, 3..3, |_, _| Ok(())).unwrap().is_empty());
    let models = [good.parameters.clone(), vec![1.0]];
    refused("models", evaluate_models(gpu, &drawn(), &good, &models), "models");
    let leader = |tasks, rate, start: &[f32]| Leader::new(gpu, drawn(), tasks, rate, start);
    refused("short", leader(3, 0.1, &[1.0]), "parameters");
    refused("rate", leader(3, f32::NAN, &good.parameters), "outer_rate");
    refused("none", leader(0, 0.1, &good.parameters), "is 0");
    let mut leader = leader(3, 0.1, &good.parameters).unwrap();
    refused("tasks", leader.step(&[1]), "meta-step on 3 tasks");
    leader.step(&[1, 2, 1]).unwrap();
    let images = Arc::new(DeviceImages::new(gpu, &split()).unwrap());
    let setup = with(adapting(), |it| {
        it.model = network(16, &[], 2, Loss::CrossEntropy);
        it.batches = with(batches(), |it| (it.way, it.group) = (2, 1));
        it.origin = Origin::Listed { images, part: SplitPart::Test, queries: 1 };
    });
    let start = point(vec![0.0; setup.model.parameter_count()]);
    let list = |shots, support: &[u32], query: &[u32]| {
        let (support, query) = (support.to_vec(), query.to_vec());
        let (path, part) = ("list".into(), SplitPart::Test);
        let list = Episodes { path, part, way: 2, shots, queries: 1, support, query };
        evaluate_episodes(gpu, &setup, &start, &list)
    };
    list(1, &[0, 3, 6, 1], &[1, 4, 7, 2]).unwrap();
    for (shots, support, query) in [
        (1, &[0, 3, 6][..], &[1, 4, 7, 2][..]),
        (1, &[0, 3], &[1, 4, 7, 2]),
        (usize::MAX, &[0, 3], &[1, 4]),
        (0, &[0, 3], &[1, 4]),
    ] {
        assert!(list(shots, support, query).is_err(), "{shots}, {support:?}, {query:?}");
    }
}

fn what_is_of_another_network_or_device_is_refused(Device { gpu, .. }: &Device) {
    let own = Gpu::request(&first_adapter(), GpuOptions::default()).unwrap();
    let adaptation = Adaptation::new(gpu, adapting(), 2).unwrap();
    let tasks = adaptation.tasks();
    for other in [
        network(3, &[(8, Activation::Tanh)], 1, Loss::Mse),
        network(1, &[(8, Activation::Tanh)], 2, Loss::Mse),
        network(1, &[(8, Activation::Tanh)], 2, Loss::CrossEntropy),
    ] {
        for result in [
            tasks.upload_support_x(gpu, &other, &[0.0; 60]),
            tasks.upload_support_values(gpu, &other, &[0.0; 20]),
            tasks.upload_query_x(gpu, &other, &[0.0; 6]),
            tasks.upload_query_values(gpu, &other, &[0.0; 6]),
        ] {
            refused("network", result, "the network has other inputs");
        }
    }
    refused("device", tasks.upload_support_x(&own, &model(), &[0.0; 20]), "another device");
    let far = Trainer::new(&own, training()).unwrap();
    let mut adaptation = Adaptation::new(gpu, adapting(), 2).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    refused("device", adaptation.record_start(&mut encoder, &far, 0), "another device");
    let other = network(3, &[(8, Activation::Tanh)], 1, Loss::Mse);
    let inner = InnerLoop::new(gpu, &other, InnerRule::SGD, tasks, PlanKind::Auto, false, 0);
    refused("inner loop", inner, "the network has other inputs");
    let (runs, none) = (Axis { runs: 0, per_run: 1 }, Axis { runs: 1, per_run: 0 });
    for (axis, part) in [(runs, "`runs`"), (none, "`tasks`")] {
        refused(part, TaskBuffers::new(gpu, &model(), sines(), axis, batches(), true), part);
    }
    refused("runs", RunSteps::new(gpu, 0, 1), "`runs`");
    // What the device draws is not uploaded.
    let drawn = Adaptation::new(gpu, drawn(), 2).unwrap();
    let drawn = drawn.tasks();
    refused("x", drawn.upload_support_x(gpu, &model(), &[0.0; 20]), "drawn on the device");
    refused("y", drawn.upload_query_values(gpu, &model(), &[0.0; 20]), "drawn on the device");
}
