//! Jobs that between them use every kernel in every variant: what they come to on a device in its
//! modes, and their texts, collected without a device.

use crate::harness::{Device, On, Tests, all, first_adapter, named};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use reptile::config::{Config, Job, presets};
use reptile::experiments::bench::{Ceilings, Effort, Workload};
use reptile::gpu::{Gpu, GpuOptions, Recording};
use reptile::kernels::{Axis, OuterSum, RunSteps, outer_sum};
use reptile::layers::AveragePool;
use reptile::meta::{
    Algorithm, CodeLayout, Granularity, InnerOptimizer, OuterOptimizer, PlanKind, StatePolicy,
    StrategyKind, StrategySpec, Trainer, TrainerSetup, largest_differences,
};
use reptile::model::{Activation, LayerSpec, Loss, Model, ModelSpec, Padding};
use reptile::optimizers::{Inner, Settings};
use reptile::wgpu;

use crate::common::{assert_close, integers, network, numbers, widen, with};
use crate::sizes::smaller_batches;

pub fn tests(tests: &mut Tests) {
    tests.on(On::MODES, named!(every_kernel_comes_to_the_same_in_every_mode));
}

/// What the others wait for: it has a place of its own, long before them.
pub fn first(tests: &mut Tests) {
    tests.alone(named!(the_first_adapter_uses_every_kernel));
}

fn the_first_adapter_uses_every_kernel() {
    wanted();
}

/// What the jobs come to on the first adapter as it is, which the other tests compare with float64.
fn wanted() -> &'static Results {
    static WANTED: OnceLock<Results> = OnceLock::new();
    WANTED.get_or_init(|| {
        let gpu = Gpu::request(&first_adapter(), GpuOptions::default()).unwrap();
        let results = run(&gpu, all());
        assert_all_used(&gpu);
        results
    })
}

fn assert_all_used(gpu: &Gpu) {
    let used: BTreeSet<_> = gpu.kernel_texts().into_iter().map(|(name, _)| name).collect();
    for name in FILES {
        let fused = name == "fused_subgroup" && gpu.profile().broadcast_lanes().is_none();
        let measured_alone = ["empty", "noise"].contains(&name) && !all();
        assert!(used.contains(name) || fused || measured_alone, "{name} was not used");
    }
}

/// Every kernel on every device, compared with the first adapter as it is.
fn every_kernel_comes_to_the_same_in_every_mode(device: &Device) {
    let got = run(&device.gpu, all());
    assert_all_used(&device.gpu);
    let wanted = wanted();
    assert_eq!(got.len(), wanted.len());
    for ((what, got), (_, wanted)) in got.iter().zip(wanted) {
        assert!(wanted.iter().any(|value| *value != 0.0), "{what}: nothing was done");
        assert_close(&format!("{what}, {}", device.name), got, &widen(wanted), 1e-4);
    }
}

/// Sets over which a workgroup sums on a real GPU.
const MANY: usize = 40;

/// What jobs came to, by their names.
type Results = Vec<(String, Vec<f32>)>;

/// Parameters and losses after an iteration.
fn trained(gpu: &Gpu, name: String, setup: TrainerSetup) -> (String, Vec<f32>) {
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let mut numbers = Vec::new();
    trainer
        .advance(1, |one| {
            numbers.extend([&one.losses[..], &one.rates, &one.telemetry].concat());
            true
        })
        .unwrap();
    let snapshot = trainer.snapshot().unwrap();
    numbers.extend([snapshot.parameters, snapshot.rates, snapshot.memory].concat().concat());
    (name, numbers)
}

/// Runs jobs that between them use every kernel in every variant, or fewer and smaller ones that still
/// use every kernel.
pub fn run(gpu: &Gpu, everything: bool) -> Results {
    let mut results = Vec::new();
    let config = |assignments: &[(&str, &str)]| {
        let list: Vec<_> =
            assignments.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::with_overrides(presets::get("sine").unwrap(), "preset sine", &list).unwrap()
    };
    let setup = Job::new(gpu, config(&[("outer.meta_batch", "2")]), &mut |_, _| {})
        .unwrap()
        .trainer_setup();
    let hidden = [(10, Activation::Gelu), (7, Activation::Sigmoid), (5, Activation::Relu)];
    let hidden = &hidden[..if everything { hidden.len() } else { 1 }];
    for plan in [PlanKind::Fused, PlanKind::Layered] {
        for (optimizer, outer) in [
            (InnerOptimizer::Sgd, OuterOptimizer::Interpolation),
            (InnerOptimizer::Adam, OuterOptimizer::Momentum),
            (InnerOptimizer::Adam, OuterOptimizer::Adam),
            (InnerOptimizer::Momentum, OuterOptimizer::Nesterov),
            (InnerOptimizer::RmsProp, OuterOptimizer::Interpolation),
            (InnerOptimizer::AdamW, OuterOptimizer::Interpolation),
        ] {
            // Each rule in one of the plans, and those of the same kernels with another library in none.
            let layered = plan == PlanKind::Layered;
            let other = !matches!(optimizer, InnerOptimizer::Sgd | InnerOptimizer::Adam);
            if !everything && (other || layered != (outer == OuterOptimizer::Momentum)) {
                continue;
            }
            let mut setup = setup.clone();
            setup.plan = plan;
            setup.model = network(1, hidden, 1, Loss::Mse);
            setup.inner.optimizer = optimizer;
            setup.inner.state = StatePolicy::Mean;
            setup.inner.beta1 = if outer == OuterOptimizer::Adam { 0.9 } else { 0.0 };
            setup.outer.optimizer = outer;
            if outer == OuterOptimizer::Momentum {
                setup.outer.algorithm = Algorithm::Fomaml;
                setup.outer.meta_batch = MANY;
            }
            results.push(trained(gpu, format!("{plan:?}, {optimizer:?}, {outer:?}"), setup));
        }
    }
    results.extend(strategies(gpu, &setup, everything));
    results.extend(codecs(gpu, if everything { &[16, 8, 4, 1] } else { &[8, 1] }));
    results.extend(other_kernels(gpu, everything));
    if everything {
        results.extend(smaller_batches(gpu));
    }
    sum_of_a_wave(gpu);
    Ceilings::measure(gpu, Effort::ONCE).unwrap();
    if !everything {
        return results;
    }
    // A dense layer that reads bytes.
    Trainer::new(gpu, Workload::Dense.training(gpu, 1).unwrap()).unwrap();
    let setup = Workload::Omniglot.training(gpu, 1).unwrap();
    Trainer::new(gpu, setup).unwrap().empty_inner_loops().unwrap();
    results
}

/// Every strategy, with a memory.
fn strategies(gpu: &Gpu, setup: &TrainerSetup, everything: bool) -> Results {
    let mut results = Vec::new();
    for (kind, granularity, plan) in [
        (StrategyKind::MetaSgd, Granularity::Parameter, PlanKind::Fused),
        (StrategyKind::Hypergradient, Granularity::Scalar, PlanKind::Layered),
        (StrategyKind::Aruba, Granularity::Layer, PlanKind::Fused),
    ] {
        let plan = if everything || kind == StrategyKind::Aruba { plan } else { PlanKind::Layered };
        let momentum = if kind == StrategyKind::Hypergradient { 0.0 } else { 0.5 };
        let strategy = with(StrategySpec::default(), |it| {
            it.kind = kind;
            it.granularity = granularity;
            it.momentum = momentum;
        });
        let mut setup = setup.clone();
        setup.plan = plan;
        setup.model = network(1, &[(5, Activation::Tanh)], 1, Loss::Mse);
        let capacity = if kind == StrategyKind::Aruba { MANY } else { 3 };
        (setup.memory.capacity, setup.memory.blend) = (capacity, 0.5);
        setup.telemetry = plan == PlanKind::Layered;
        setup.strategy = strategy;
        setup.batches.steps += usize::from(setup.strategy.has_query());
        results.push(trained(gpu, format!("{kind:?}"), setup));
    }
    results
}

/// Compressed models.
fn codecs(gpu: &Gpu, bits: &[usize]) -> Results {
    let mut results = Vec::new();
    let model = network(3, &[(5, Activation::Tanh)], 2, Loss::Mse);
    let (base, sets) = (model.initial(0), [model.initial(1)]);
    for bits in bits {
        let layout = CodeLayout::new(&model, *bits).unwrap();
        let coded = layout.encode(gpu, &base, &sets).unwrap();
        let decoded = layout.decode(gpu, &base, &coded).unwrap();
        results.push((format!("{bits} bits"), decoded.concat()));
    }
    let largest = largest_differences(gpu, &base, &sets, 3).unwrap();
    results.push(("largest difference".into(), largest));
    results
}

/// What a trainer needs only for more tasks than a device binds at once.
fn sum_of_a_wave(gpu: &Gpu) {
    let bytes = 16 * MANY as u64;
    let [reads, sums, metrics] = [(); 3].map(|()| gpu.storage("", bytes).unwrap());
    let sum = OuterSum {
        axis: Axis { runs: 1, per_run: MANY },
        vectors: 1,
        steps: 1,
        columns: 1,
        guard: 0.0,
        fomaml: false,
        begins: true,
        adapted: &reads,
        anchors: &reads,
        theta: &reads,
        sums: &sums,
        losses: &reads,
        metrics: &metrics,
    };
    let runs = RunSteps::new(gpu, 1, 1).unwrap();
    outer_sum(gpu, &mut Recording::default(), &runs, &sum).unwrap();
}

/// Those of [`other_kernels`] that between them use all its kernels.
const FEW_ADAPTATIONS: [usize; 8] = [2, 3, 5, 6, 7, 8, 9, 10];

/// Cross-entropy on rows, and episodes over images.
fn other_kernels(gpu: &Gpu, everything: bool) -> Results {
    use reptile::kernels::InnerRule;
    use reptile::meta::{
        Adaptation, AdaptationSetup, DeviceArrays, DeviceImages, Origin, StartingPoint,
    };
    use reptile::rng::Phase;
    use reptile::tasks::{
        ArraySet, ArrayTargets, Batches, Bits, EpisodeSpec, GlyphsSpec, ImageClass, ImageSet,
        Split, SplitClass, SplitPart, TaskFunctions,
    };
    let batches = Batches::new([2, 2], 3, 2);
    let words = integers(1, 12, usize::MAX >> 32);
    let class = |n: u32| ImageClass { name: n.to_string(), first_image: 4 * n, images: 4 };
    let images = ImageSet {
        width: 5,
        height: 5,
        channels: 1,
        bits: Bits::One,
        words,
        classes: (0..3).map(class).collect(),
        files: Vec::new(),
    };
    let classes: Vec<SplitClass> = (0..3).map(|class| SplitClass { class, rotation: 1 }).collect();
    let split = Split { images, train: classes.clone(), val: Vec::new(), test: classes };
    let images = std::sync::Arc::new(DeviceImages::new(gpu, &split).unwrap());
    let dense = network(25, &[(6, Activation::Tanh)], 2, Loss::CrossEntropy);
    let rows = || Origin::Rows { queries: 2, ordered: false };
    let episodes =
        || Origin::Episodes { images: images.clone(), part: SplitPart::Test, queries: 1 };
    let spec = EpisodeSpec::new([2, 2], 2);
    let glyphs = with(GlyphsSpec::new(spec), |it| it.size = 5);
    // More inputs than the fused kernel of a subgroup takes.
    let wide = network(65, &[(6, Activation::Tanh)], 2, Loss::CrossEntropy);
    let labels = ArrayTargets::Labels(integers(8, 24, 2));
    let arrays = |y, queries| {
        let groups = (0..3).map(|n| [8 * n, 8]).collect();
        let set = ArraySet { x: numbers(9, 24 * 65), y, groups };
        let arrays = DeviceArrays::new(gpu, &wide, [None, None, Some(&set)]).unwrap();
        Origin::Arrays { arrays: std::sync::Arc::new(arrays), part: SplitPart::Test, queries }
    };
    let own = crate::functions::IMAGES.replace("3u);", "2u);");
    let functions = Origin::Functions { functions: TaskFunctions::new("own", own), queries: 2 };
    let curved = network(25, &[(6, Activation::Gelu)], 2, Loss::Mse);
    let settings = with(Settings::DEFAULT, |it| {
        it.beta1 = 0.9;
        it.beta2 = 0.99;
        it.epsilon = 1e-4;
    });
    let adam = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, settings));
    let layers = every_layer();
    let mut results = Vec::new();
    let jobs = [
        (&dense, PlanKind::Fused, rows(), InnerRule::SGD),
        (&dense, PlanKind::Layered, rows(), InnerRule::SGD),
        (&dense, PlanKind::Layered, episodes(), InnerRule::SGD),
        (
            &curved,
            PlanKind::Layered,
            rows(),
            InnerRule::Refined { factor: 0.5, bounds: [1e-6, 1.0], learned: Some(1) },
        ),
        (&layers, PlanKind::Layered, rows(), adam),
        (&layers, PlanKind::Layered, episodes(), InnerRule::SGD),
        (&dense, PlanKind::Layered, Origin::Glyphs(glyphs), InnerRule::SGD),
        (&wide, PlanKind::Fused, rows(), InnerRule::SGD),
        (&wide, PlanKind::Fused, arrays(ArrayTargets::Classes, 1), InnerRule::SGD),
        (&wide, PlanKind::Fused, arrays(labels, 2), InnerRule::SGD),
        (&wide, PlanKind::Fused, functions, InnerRule::SGD),
    ];
    for (number, (model, plan, origin, rule)) in jobs.into_iter().enumerate() {
        // The others use the same kernels with other constants.
        if !everything && !FEW_ADAPTATIONS.contains(&number) {
            continue;
        }
        let uploaded = matches!(origin, Origin::Rows { .. });
        let batches = match &origin {
            Origin::Arrays { arrays, .. } if !arrays.has_classes() => Batches::new([1, 4], 3, 2),
            Origin::Functions { .. } => Batches::new([1, 4], 3, 2),
            // As many images as there are, or more, so that they become bytes once.
            Origin::Episodes { .. } if model.layers()[0].is_dense() => Batches::new([2, 2], 3, 4),
            _ => batches.clone(),
        };
        let setup = with(AdaptationSetup::new(model, origin, rule, 0.01, batches), |it| {
            it.plan = plan;
            it.phase = Phase::Test;
            it.scored = true;
            it.transductive = vec![false, true];
        });
        let mut adaptation = Adaptation::new(gpu, setup, 2).unwrap();
        let mut start = StartingPoint::new(model.initial(4));
        start.sums = Some([1, 2].map(|seed| {
            let numbers = numbers(seed, model.parameter_count());
            numbers.iter().map(|value| 1e-4 + value * value).collect()
        }));
        adaptation.start_from(&start).unwrap();
        if uploaded {
            let tasks = adaptation.tasks();
            tasks.upload_support_x(gpu, model, &numbers(5, 2 * 4 * model.inputs())).unwrap();
            tasks.upload_query_x(gpu, model, &numbers(6, 2 * 2 * model.inputs())).unwrap();
            match model.loss() {
                Loss::CrossEntropy => {
                    tasks.upload_support_labels(gpu, &[0, 0, 1, 1, 0, 0, 1, 1]).unwrap()
                }
                Loss::Mse => {
                    tasks.upload_support_values(gpu, model, &numbers(7, 2 * 4 * 2)).unwrap()
                }
            }
        }
        adaptation.run(0).unwrap();
        let outputs = adaptation.query_outputs().unwrap().into_iter().flatten().flatten();
        let mut numbers: Vec<f32> = outputs.collect();
        numbers.extend(adaptation.adapted().unwrap().concat());
        results.push((format!("adaptation {number}"), numbers));
    }
    results
}

/// A network with every kind of layer.
pub fn every_layer() -> Model {
    let average = LayerSpec::AveragePool(AveragePool::new(2));
    let spec = ModelSpec::builder(&[1, 5, 5])
        .conv2d(5, 3, 1, Padding::SAME)
        .batch_norm(Activation::Gelu)
        .conv2d(6, 3, 2, Padding::SAME)
        .activation(Activation::Gelu)
        .batch_norm(Activation::Linear)
        .max_pool(2, Padding::SAME)
        .activation(Activation::Relu)
        .layer(average)
        .group_norm(3, Activation::Gelu)
        .dense(4, Activation::Gelu)
        .layer_norm(Activation::Tanh)
        .dense(2, Activation::Linear)
        .loss(Loss::CrossEntropy);
    Model::new(spec).unwrap()
}

/// Kernels' names by their texts.
pub type Texts = BTreeMap<String, &'static str>;

/// Every text for the devices that kernels have variants for: subgroups of 4 and 8 lanes (software
/// drivers), of 32 (GPUs), none; and with loops left as loops. wgpu's backend that does nothing stands
/// for each of them.
pub fn texts() -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let plain = GpuOptions::default();
        let baseline = with(plain.clone(), |it| it.baseline = true);
        let rolled = with(plain.clone(), |it| it.rolled = true);
        // The backend says that it is a processor, whatever it is asked to say.
        let hardware = with(plain.clone(), |it| it.hardware = true);
        let mut texts = BTreeMap::new();
        for (lanes, options) in
            [(4, plain.clone()), (8, plain), (32, hardware), (8, baseline), (8, rolled)]
        {
            let gpu = without_device(lanes, options);
            run(&gpu, true);
            texts.extend(gpu.kernel_texts().into_iter().map(|(name, text)| (text, name)));
        }
        texts
    })
}

/// A device that compiles nothing and computes nothing, whose subgroups have so many lanes.
fn without_device(lanes: u32, options: GpuOptions) -> Gpu {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions {
        features: Some(wgpu::Features::SUBGROUP),
        subgroup_min_size: Some(lanes),
        subgroup_max_size: Some(lanes),
        ..wgpu::NoopBackendOptions::enabled()
    };
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: wgpu::Features::SUBGROUP,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Gpu::from_existing(device, queue, options)
}

/// Every shader file of the crate.
pub const FILES: [&str; 41] = [
    "broadcast",
    "ceiling_copy",
    "ceiling_multiply_add",
    "compress",
    "decompress",
    "empty",
    "fused_subgroup",
    "fused_workgroup",
    "gather_bytes",
    "gather_examples",
    "gather_images",
    "gather_rows",
    "group_norm_backward",
    "group_norm_forward",
    "group_norm_update",
    "head",
    "largest",
    "layer_backward",
    "layer_forward",
    "layer_update",
    "loss_cross_entropy",
    "loss_mse",
    "mean_state",
    "memory_insert",
    "memory_sums",
    "noise",
    "norm_backward",
    "norm_forward",
    "outer_sum",
    "outer_update",
    "pool_backward",
    "pool_forward",
    "sample_episode",
    "sample_glyphs",
    "sample_listed",
    "sample_order",
    "sample_own",
    "sample_sine",
    "strategy_sums",
    "strategy_update",
    "telemetry",
];
