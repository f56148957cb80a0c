//! Training networks for images: dispatches, memory, chunks of tasks.

mod common;

use std::sync::Arc;

use common::{Device, devices, integers, own_adapters, with_binding};
use reptile::gpu::Gpu;
use reptile::meta::{
    Algorithm, DeviceImages, InnerOptimizer, InnerSpec, MemorySpec, Origin, OuterSpec, PlanKind,
    StrategySpec, Trainer, TrainerSetup, memory,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::tasks::{Batches, Bits, ImageClass, ImageSet, Split, SplitClass, SplitPart};

/// Twelve classes of twelve random images of `side` × `side` bits.
fn images(gpu: &Gpu, side: usize) -> Arc<DeviceImages> {
    let class = |n: u32| ImageClass { name: n.to_string(), first_image: 12 * n, images: 12 };
    let mut images = ImageSet {
        width: side,
        height: side,
        channels: 1,
        bits: Bits::One,
        words: Vec::new(),
        classes: (0..12).map(class).collect(),
        files: Vec::new(),
    };
    images.words = integers(1, 144 * images.words_per_image(), usize::MAX >> 32);
    let classes: Vec<SplitClass> = (0..12).map(|class| SplitClass { class, rotation: 0 }).collect();
    let split = Split { images, train: classes.clone(), val: Vec::new(), test: classes };
    Arc::new(DeviceImages::new(gpu, &split).unwrap())
}

/// Blocks of convolution, batch-norm and ReLU, and a dense head.
fn network(side: usize, filters: usize, blocks: usize) -> Model {
    let spec = ModelSpec::builder(&[1, side, side]).loss(Loss::CrossEntropy);
    let spec = (0..blocks).fold(spec, |spec, _| {
        spec.conv2d(filters, 3, 2, Padding::SAME).batch_norm(Activation::Relu)
    });
    Model::new(spec.dense(5, Activation::Linear)).unwrap()
}

/// The paper's settings for Omniglot, 5-way.
fn job(gpu: &Gpu, model: Model, meta_batch: usize) -> TrainerSetup {
    let side = model.spec().input[1];
    TrainerSetup {
        model,
        seed: 3,
        runs: 1,
        own: Vec::new(),
        strategy: StrategySpec::default(),
        memory: MemorySpec::default(),
        telemetry: false,
        iterations: 100,
        plan: PlanKind::Auto,
        inner: InnerSpec { optimizer: InnerOptimizer::Adam, ..InnerSpec::sgd(1e-3, 10, 5) },
        outer: OuterSpec::interpolation(0.5, meta_batch),
        batches: Batches { way: 5, group: 10, tail: 0, steps: 5, batch: 10, replacement: false },
        origin: Origin::Episodes { images: images(gpu, side), part: SplitPart::Train, queries: 0 },
    }
}

#[test]
fn an_omniglot_meta_iteration_takes_one_submit_of_at_most_110_dispatches() {
    let devices = devices();
    let Device { gpu, .. } = &devices[0];
    let mut trainer = Trainer::new(gpu, job(gpu, network(28, 64, 4), 5)).unwrap();
    let kernels = trainer.kernels();
    assert!(kernels.len() <= 110, "{} dispatches: {kernels:?}", kernels.len());
    trainer.advance(1, |_| true).unwrap();
    assert_eq!(trainer.submissions(), 1);
}

#[test]
fn a_meta_iteration_with_much_work_takes_several_submits_and_the_same_bytes() {
    let devices = devices();
    let Device { gpu, .. } = &devices[0];
    let setup = job(gpu, network(28, 64, 4), 12);
    let mut cut = Trainer::new(gpu, setup.clone()).unwrap();
    let mut losses = Vec::new();
    cut.advance(1, |one| {
        losses.push(one.losses.len());
        true
    })
    .unwrap();
    assert_eq!((cut.submissions(), cut.iteration(), losses), (2, 1, vec![5]));
    let mut whole = Trainer::new(gpu, setup).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    whole.record(&mut encoder, 1).unwrap();
    gpu.queue().submit([encoder.finish()]);
    assert_eq!(cut.snapshot().unwrap(), whole.snapshot().unwrap());
}

/// Bytes that the device has given away, where its driver says.
fn allocated(gpu: &Gpu) -> Option<u64> {
    gpu.wait().unwrap();
    gpu.device().generate_allocator_report().map(|report| report.total_allocated_bytes)
}

#[test]
fn the_planned_memory_is_what_is_allocated() {
    for Device { name, gpu, .. } in devices().iter().filter(|device| device.mode == "plain") {
        let fomaml = |gpu| {
            let mut setup = job(gpu, network(28, 16, 3), 4);
            setup.outer.algorithm = Algorithm::Fomaml;
            setup.inner.beta1 = 0.5;
            setup
        };
        for setup in [job(gpu, network(28, 64, 4), 5), fomaml(gpu)] {
            let images = setup.origin.image_bytes();
            let planned = memory(gpu, &setup).unwrap() - images;
            let Some(before) = allocated(gpu) else {
                eprintln!("skipped: {name} does not report its memory");
                break;
            };
            let trainer = Trainer::new(gpu, setup).unwrap();
            let made = allocated(gpu).unwrap() - before;
            let ratio = planned as f64 / made as f64;
            assert!((ratio - 1.0).abs() < 0.05, "{planned} planned, {made} made, {name}");
            drop(trainer);
        }
    }
}

/// Devices with small bindings beside the same ones as they are.
#[test]
fn tasks_in_chunks_give_the_same_bytes() {
    for entry in own_adapters() {
        let trained = |binding: Option<u64>| {
            let gpu = with_binding(&entry, binding);
            let mut trainer = Trainer::new(&gpu, job(&gpu, network(20, 12, 2), 7)).unwrap();
            trainer.advance(3, |_| true).unwrap();
            (trainer.kernels().len(), trainer.snapshot().unwrap())
        };
        // One task's first activations take 10 · 10 · 10 · 12 floats.
        let (few, whole) = trained(None);
        let (many, chunks) = trained(Some(3 * 48_000));
        assert!(many > 2 * few, "{many} dispatches instead of {few}: three chunks");
        assert_eq!(whole, chunks, "{}", entry.info.name);
    }
}

#[test]
fn long_training_does_not_grow() {
    let devices = devices();
    let Device { gpu, .. } = &devices[0];
    let mut setup = job(gpu, network(4, 4, 1), 1);
    setup.iterations = 20_000;
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let mut used = || {
        trainer.advance(4_000, |_| true).unwrap();
        (resident(), allocated(gpu))
    };
    let (process, device) = used();
    let (later, device_later) = (0..4).map(|_| used()).last().unwrap();
    assert_eq!(device, device_later, "bytes on the device");
    if let (Some(before), Some(after)) = (process, later) {
        assert!(after < before + (8 << 20), "the process grew from {before} to {after} bytes");
    }
}

/// Bytes of the process in memory, where the system says.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| 1024 * kib)
}
