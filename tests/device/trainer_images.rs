//! Training networks for images: dispatches, memory, chunks of tasks.

use crate::common::image_jobs::{job, network};
use crate::common::{allocated, with_binding};
use crate::harness::{Device, On, Tests, named};
use reptile::gpu::AdapterEntry;
use reptile::meta::{Algorithm, Trainer, memory};

pub fn tests(tests: &mut Tests) {
    tests.on(
        On::FIRST,
        named!(an_omniglot_meta_iteration_takes_one_submit_of_at_most_110_dispatches),
    );
    tests.on(
        On::FIRST,
        named!(a_meta_iteration_with_much_work_takes_several_submits_and_the_same_bytes),
    );
    tests.on(On::FIRST_OR_PLAIN, named!(the_planned_memory_is_what_is_allocated));
    tests.own(On::FIRST_OR_PLAIN, named!(tasks_in_chunks_give_the_same_bytes));
}

fn an_omniglot_meta_iteration_takes_one_submit_of_at_most_110_dispatches(
    Device { gpu, .. }: &Device,
) {
    let mut trainer = Trainer::new(gpu, job(gpu, network(28, 64, 4), 5)).unwrap();
    let kernels = trainer.kernels();
    assert!(kernels.len() <= 110, "{} dispatches: {kernels:?}", kernels.len());
    trainer.advance(1, |_| true).unwrap();
    assert_eq!(trainer.submissions(), 1);
}

fn a_meta_iteration_with_much_work_takes_several_submits_and_the_same_bytes(
    Device { gpu, .. }: &Device,
) {
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

fn the_planned_memory_is_what_is_allocated(Device { name, gpu, .. }: &Device) {
    let fomaml = |gpu| {
        let mut setup = job(gpu, network(28, 16, 3), 4);
        setup.outer.algorithm = Algorithm::Fomaml;
        setup.inner.beta1 = 0.5;
        setup
    };
    for setup in [job(gpu, network(28, 64, 4), 5), fomaml(gpu)] {
        let images = setup.origin.data_bytes();
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

/// Devices with small bindings beside the same ones as they are.
fn tasks_in_chunks_give_the_same_bytes(entry: &AdapterEntry) {
    let trained = |binding: Option<u64>| {
        let gpu = with_binding(entry, binding);
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
