//! Long training in constant memory. The one test has a process of its own: what other tests
//! allocate does not count.

mod common;

use common::image_jobs::{job, network};
use common::{allocated, own_adapters, with, with_binding};
use reptile::gpu::Gpu;
use reptile::meta::{InnerSpec, Origin, OuterSpec, PlanKind, StrategyKind, Trainer, TrainerSetup};
use reptile::model::{Activation, Loss};
use reptile::tasks::{Batches, SineSpec};

#[test]
fn long_training_does_not_grow() {
    let gpu = with_binding(&own_adapters()[0], None);
    let images = with(job(&gpu, network(4, 4, 1), 1), |it| it.iterations = 2_500);
    for (name, setup) in [("images", images), ("memory and strategy", remembering())] {
        flat(&gpu, setup, name);
    }
}

/// Everything that a trainer can carry from one meta-iteration to the next, on sines.
fn remembering() -> TrainerSetup {
    let mut setup = TrainerSetup::new(
        &common::network(1, &[(8, Activation::Tanh)], 1, Loss::Mse),
        Origin::Sine(with(SineSpec::default(), |it| (it.points, it.shots) = (10, 5))),
        InnerSpec::sgd(0.02, 5, 2),
        OuterSpec::interpolation(0.1, 1),
        Batches::new([1, 10], 5, 2),
    );
    setup.seed = 1;
    setup.iterations = 2_500;
    setup.plan = PlanKind::Layered;
    (setup.strategy.kind, setup.strategy.rate) = (StrategyKind::Hypergradient, Some(1e-4));
    (setup.memory.capacity, setup.memory.blend) = (10, 0.5);
    setup.telemetry = true;
    setup
}

/// Trains a fifth of `setup` to fill what is kept, and compares at the end of the rest.
fn flat(gpu: &Gpu, setup: TrainerSetup, name: &str) {
    let part = setup.iterations / 5;
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let mut used = || {
        trainer.advance(part, |_| true).unwrap();
        let device = allocated(gpu);
        (heap(), device)
    };
    let (process, device) = used();
    let (later, device_later) = (0..4).map(|_| used()).last().unwrap();
    let vulkan = gpu.info().backend == reptile::wgpu::Backend::Vulkan;
    assert!(device.is_some() || !vulkan, "a Vulkan adapter says what it allocates");
    assert_eq!(device, device_later, "bytes on the device, {name}");
    let (Some(before), Some(after)) = (process, later) else {
        println!("{name}: the process is not measured: only glibc says what its heap holds");
        return;
    };
    println!("{name}: {before} bytes after {part} meta-iterations, {after} after {}", 5 * part);
    assert!(after < before + (1 << 18), "{name}: the heap grew from {before} to {after} bytes");
}

/// Bytes that the process holds of its heap, the driver's included, where the C library says. The
/// memory that is resident says less: the allocator keeps pages or gives them back as it likes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn heap() -> Option<u64> {
    // SAFETY: `mallinfo2` takes nothing, returns numbers, and may be called from any thread.
    let report = unsafe { libc::mallinfo2() };
    Some((report.uordblks + report.hblkhd) as u64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn heap() -> Option<u64> {
    None
}
