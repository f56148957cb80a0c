//! The texts of all kernels in all variants.
#![allow(dead_code)] // each test file uses its own part

use std::collections::BTreeMap;
use std::sync::OnceLock;

use reptile::bench::{Ceilings, Effort, Workload};
use reptile::gpu::{Gpu, Recording};
use reptile::kernels::{Axis, OuterSum, RunSteps, outer_sum};
use reptile::meta::{
    Algorithm, CodeLayout, Granularity, InnerOptimizer, MemorySpec, OuterOptimizer, PlanKind,
    StatePolicy, StrategyKind, StrategySpec, Trainer, TrainerSetup, largest_differences,
};
use reptile::model::{Activation, LayerSpec, Loss, Model, ModelSpec, Padding};
use reptile::run::{Config, Job, presets};

use crate::common::{Device, devices, network};

/// Trains an iteration of jobs that between them use every kernel in every variant.
pub fn compile_everything(gpu: &Gpu) {
    let config = |assignments: &[(&str, &str)]| {
        let list: Vec<_> =
            assignments.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::with_overrides(presets::get("sine").unwrap(), "preset sine", &list).unwrap()
    };
    let setup = Job::new(gpu, config(&[("outer.meta_batch", "2")]), &mut |_, _| {})
        .unwrap()
        .trainer_setup();
    let hidden = [(10, Activation::Gelu), (7, Activation::Sigmoid), (5, Activation::Relu)];
    for plan in [PlanKind::Fused, PlanKind::Layered] {
        for (optimizer, outer) in [
            (InnerOptimizer::Sgd, OuterOptimizer::Interpolation),
            (InnerOptimizer::Adam, OuterOptimizer::Momentum),
            (InnerOptimizer::Adam, OuterOptimizer::Adam),
        ] {
            let mut setup =
                TrainerSetup { plan, model: network(1, &hidden, 1, Loss::Mse), ..setup.clone() };
            setup.inner.optimizer = optimizer;
            setup.inner.state = StatePolicy::Mean;
            setup.inner.beta1 = if outer == OuterOptimizer::Adam { 0.9 } else { 0.0 };
            setup.outer.optimizer = outer;
            if outer == OuterOptimizer::Momentum {
                setup.outer.algorithm = Algorithm::Fomaml;
            }
            Trainer::new(gpu, setup).unwrap().advance(1, |_| true).unwrap();
        }
    }
    strategies(gpu, &setup);
    codecs(gpu);
    other_kernels(gpu);
    sum_of_a_wave(gpu);
    Ceilings::measure(gpu, Effort::ONCE).unwrap();
    // A dense layer that reads bytes.
    Trainer::new(gpu, Workload::Dense.training(gpu, 1).unwrap()).unwrap();
    let setup = Workload::Omniglot.training(gpu, 1).unwrap();
    Trainer::new(gpu, setup).unwrap().empty_inner_loops().unwrap();
}

/// Every strategy, with a memory.
fn strategies(gpu: &Gpu, setup: &TrainerSetup) {
    for (kind, granularity, plan) in [
        (StrategyKind::MetaSgd, Granularity::Parameter, PlanKind::Fused),
        (StrategyKind::Hypergradient, Granularity::Scalar, PlanKind::Layered),
        (StrategyKind::Aruba, Granularity::Layer, PlanKind::Fused),
    ] {
        let momentum = if plan == PlanKind::Fused { 0.5 } else { 0.0 };
        let strategy = StrategySpec { kind, granularity, momentum, ..StrategySpec::default() };
        let mut setup = TrainerSetup {
            plan,
            model: network(1, &[(5, Activation::Tanh)], 1, Loss::Mse),
            memory: MemorySpec { capacity: 3, blend: 0.5 },
            telemetry: plan == PlanKind::Layered,
            strategy,
            ..setup.clone()
        };
        setup.batches.steps += usize::from(setup.strategy.has_query());
        Trainer::new(gpu, setup).unwrap().advance(1, |_| true).unwrap();
    }
}

/// Compressed models.
fn codecs(gpu: &Gpu) {
    let model = network(3, &[(5, Activation::Tanh)], 2, Loss::Mse);
    let (base, sets) = (model.initial(0), [model.initial(1)]);
    for bits in [16, 8, 4, 1] {
        let layout = CodeLayout::new(&model, bits);
        let coded = layout.encode(gpu, &base, &sets).unwrap();
        layout.decode(gpu, &base, &coded).unwrap();
    }
    largest_differences(gpu, &base, &sets, 3).unwrap();
}

/// What a trainer needs only for more tasks than a device binds at once.
fn sum_of_a_wave(gpu: &Gpu) {
    let [reads, sums, metrics] = [(); 3].map(|()| gpu.storage("", 16).unwrap());
    let sum = OuterSum {
        axis: Axis { runs: 1, per_run: 1 },
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

/// Cross-entropy on rows, and episodes over images.
fn other_kernels(gpu: &Gpu) {
    use reptile::kernels::InnerRule;
    use reptile::meta::{Adaptation, AdaptationSetup, DeviceImages, Origin};
    use reptile::rng::Phase;
    use reptile::tasks::{
        Batches, Bits, EpisodeSpec, GlyphsSpec, ImageClass, ImageSet, Split, SplitClass, SplitPart,
        Variation,
    };
    let batches = Batches { way: 2, group: 2, tail: 0, steps: 2, batch: 3, replacement: false };
    let words = vec![0x5555_5555; 12];
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
    let spec = EpisodeSpec { way: 2, shots: 2, train_shots: 2, queries: 1 };
    let glyphs = GlyphsSpec { episodes: spec, size: 5, variation: Variation::default() };
    let curved = network(25, &[(6, Activation::Gelu)], 2, Loss::Mse);
    let adam = InnerRule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    for (model, plan, origin, rule) in [
        (&dense, PlanKind::Fused, rows(), InnerRule::Sgd),
        (&dense, PlanKind::Layered, rows(), InnerRule::Sgd),
        (&dense, PlanKind::Layered, episodes(), InnerRule::Sgd),
        (
            &curved,
            PlanKind::Layered,
            rows(),
            InnerRule::Refined { factor: 0.5, bounds: [1e-6, 1.0] },
        ),
        (&images_network(), PlanKind::Layered, rows(), adam),
        (&images_network(), PlanKind::Layered, episodes(), InnerRule::Sgd),
        (&dense, PlanKind::Layered, Origin::Glyphs(glyphs), InnerRule::Sgd),
    ] {
        let setup = AdaptationSetup {
            model: model.clone(),
            rule,
            rate: 0.01,
            weight_decay: 1.0,
            plan,
            batches: batches.clone(),
            origin,
            phase: Phase::Test,
            seed: 0,
            scored: true,
            transductive: vec![false, true],
        };
        Adaptation::new(gpu, setup, 2).unwrap().run(0).unwrap();
    }
}

/// A network with every kind of layer.
fn images_network() -> Model {
    let average = LayerSpec::AveragePool { size: 2.into(), stride: None, padding: Padding::SAME };
    let spec = ModelSpec::builder(&[1, 5, 5])
        .conv2d(5, 3, 1, Padding::SAME)
        .batch_norm(Activation::Gelu)
        .conv2d(6, 3, 2, Padding::SAME)
        .activation(Activation::Gelu)
        .batch_norm(Activation::Linear)
        .max_pool(2, Padding::SAME)
        .activation(Activation::Relu)
        .layer(average)
        .dense(4, Activation::Gelu)
        .dense(2, Activation::Linear)
        .loss(Loss::CrossEntropy);
    Model::new(spec).unwrap()
}

/// Kernels' names by their texts.
pub type Texts = BTreeMap<String, &'static str>;

/// Every text of every adapter as it is, and of the first one in its other modes (with checks the texts are the
/// same).
pub fn texts() -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let mut texts = BTreeMap::new();
        let devices = devices();
        let first = devices[0].gpu.info().clone();
        let others = |device: &Device| device.gpu.info() == &first && device.mode != "checked";
        for device in devices.iter().filter(|device| device.mode == "plain" || others(device)) {
            compile_everything(&device.gpu);
            texts.extend(device.gpu.kernel_texts().into_iter().map(|(name, text)| (text, name)));
        }
        texts
    })
}

/// Every shader file of the crate.
pub const FILES: [&str; 34] = [
    "broadcast",
    "ceiling_copy",
    "ceiling_multiply_add",
    "compress",
    "decompress",
    "empty",
    "fused_subgroup",
    "fused_workgroup",
    "gather_images",
    "gather_rows",
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
    "sample_order",
    "sample_sine",
    "strategy_sums",
    "strategy_update",
    "telemetry",
];
