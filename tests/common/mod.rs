//! What the test programs share: devices of one's own, numbers, images, files.
#![allow(dead_code)] // each test program uses its own part

pub mod episode_list;
pub mod image_jobs;
pub mod sweep_file;

use reptile::gpu::{AdapterChoice, AdapterEntry, Gpu, GpuOptions, list_adapters};
use reptile::model::{Activation, Loss, Model, ModelSpec};
use reptile::rng::{Part, Phase, Stream, unit};
use reptile::tasks::{Bits, ImageClass, ImageSet};

/// The adapters that take a device of one's own: all but those of GL.
pub fn own_adapters() -> Vec<AdapterEntry> {
    let mut entries = list_adapters(&AdapterChoice::default());
    entries.retain(|entry| entry.info.backend != reptile::wgpu::Backend::Gl);
    entries
}

/// A device of `entry` with storage bindings of at most `binding` bytes, or as large as it has them.
pub fn with_binding(entry: &AdapterEntry, binding: Option<u64>) -> Gpu {
    let mut limits = entry.adapter.limits();
    limits.max_storage_buffer_binding_size =
        binding.unwrap_or(limits.max_storage_buffer_binding_size);
    let descriptor = reptile::wgpu::DeviceDescriptor {
        required_features: entry.adapter.features() & reptile::wgpu::Features::SUBGROUP,
        required_limits: limits,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(entry.adapter.request_device(&descriptor)).unwrap();
    Gpu::from_existing(device, queue, GpuOptions::default())
}

/// Bytes that the device has given away, where its driver says.
pub fn allocated(gpu: &Gpu) -> Option<u64> {
    // What was uploaded is held until something is submitted.
    gpu.queue().submit([]);
    gpu.wait().unwrap();
    gpu.device().generate_allocator_report().map(|report| report.total_allocated_bytes)
}

/// Whether everything is tested that can be, and not what fits into some minutes: `REPTILE_TESTS=all`.
pub fn all() -> bool {
    std::env::var("REPTILE_TESTS").is_ok_and(|tests| tests == "all")
}

/// `value` after a change.
pub fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// Numbers in ±1 that depend on `seed` alone.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let stream = Stream::new(seed, Phase::Adapt, 7, 7);
    (0..count as u32).map(|i| 2.0 * unit(stream.words(Part::Task, i)[0]) - 1.0).collect()
}

/// Integers in `0..below` that depend on `seed` alone.
pub fn integers(seed: u64, count: usize, below: usize) -> Vec<u32> {
    let stream = Stream::new(seed, Phase::Adapt, 8, 8);
    (0..count as u32).map(|i| stream.below(Part::Task, i, below as u32)).collect()
}

pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Random images of `side` × `side`, as many as `classes` have; they depend on `seed` alone.
pub fn random_images(
    seed: u64,
    side: usize,
    channels: usize,
    bits: Bits,
    classes: Vec<ImageClass>,
) -> ImageSet {
    let images: u32 = classes.iter().map(|class| class.images).sum();
    let (words, files) = (Vec::new(), Vec::new());
    let mut set = ImageSet { width: side, height: side, channels, bits, words, classes, files };
    set.words = integers(seed, images as usize * set.words_per_image(), usize::MAX >> 32);
    set
}

/// A network with these hidden layers.
pub fn network(inputs: usize, hidden: &[(usize, Activation)], outputs: usize, loss: Loss) -> Model {
    let mut spec = ModelSpec::builder(&[inputs]).loss(loss);
    for (units, activation) in hidden {
        spec = spec.dense(*units, *activation);
    }
    Model::new(spec.dense(outputs, Activation::Linear)).expect("a possible network")
}

/// Compares with a tolerance of `relative` of the largest wanted magnitude; a failure prints the
/// error as a share of the tolerance.
pub fn assert_close(what: &str, got: &[f32], wanted: &[f64], relative: f64) {
    assert_close_from(what, got, wanted, relative, 1e-3);
}

/// The same; where all that is wanted is smaller than `least`, the tolerance is relative to that.
pub fn assert_close_from(what: &str, got: &[f32], wanted: &[f64], relative: f64, least: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}: number of values");
    let largest = wanted.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let tolerance = relative * largest.max(least);
    let error = |i: usize| (f64::from(got[i]) - wanted[i]).abs();
    let Some(worst) = (0..got.len()).max_by(|a, b| error(*a).total_cmp(&error(*b))) else {
        return;
    };
    let share = error(worst) / tolerance;
    assert!(
        share <= 1.0,
        "{what}: the error is {share:.2} × the tolerance at {worst}: got {}, expected {}",
        got[worst],
        wanted[worst]
    );
}
