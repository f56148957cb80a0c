//! What the device tests share: every adapter in every mode, running a recording, comparing.
#![allow(dead_code)] // each test file uses its own part

pub mod adapted;
pub mod forms;
pub mod image_jobs;
pub mod sines;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reptile::gpu::{AdapterChoice, AdapterEntry, Gpu, GpuOptions, Recording, list_adapters};
use reptile::kernels::{Axis, InnerStep, InnerSteps, RunStep, RunSteps};
use reptile::model::{Activation, Loss, Model, ModelSpec};
use reptile::rng::{Part, Phase, Stream, unit};
use reptile::tasks::{Bits, ImageClass, ImageSet};

/// A device and what it is opened as.
pub struct Device {
    pub name: String,
    pub mode: &'static str,
    pub gpu: Gpu,
}

/// Every adapter of the machine, plain and without optional features, and every Vulkan adapter also
/// with bounds checks and with loops left as loops. Panics if there is no adapter: no GPU is not a
/// pass.
///
/// One test at a time has them: a GL adapter does not take several threads.
pub fn devices() -> MutexGuard<'static, Vec<Device>> {
    static DEVICES: OnceLock<Mutex<Vec<Device>>> = OnceLock::new();
    let devices = DEVICES.get_or_init(|| {
        let plain = GpuOptions::default();
        let modes = [
            ("plain", plain.clone()),
            ("baseline", GpuOptions { baseline: true, ..plain.clone() }),
            ("checked", GpuOptions { checked: true, ..plain.clone() }),
            ("rolled", GpuOptions { rolled: true, ..plain }),
        ];
        let entries = list_adapters(&AdapterChoice::default());
        assert!(
            !entries.is_empty(),
            "these tests need a GPU adapter; scripts/setup.sh installs a software one"
        );
        let mut devices = Vec::new();
        for entry in &entries {
            let gl = entry.info.backend == reptile::wgpu::Backend::Gl;
            for (mode, options) in &modes[..if gl { 1 } else { modes.len() }] {
                let choice =
                    AdapterChoice { device: Some(entry.index.to_string()), ..Default::default() };
                let gpu = Gpu::request(&choice, options.clone()).expect("a listed adapter opens");
                let name = format!("{} ({}), {mode}", entry.info.name, entry.info.backend);
                devices.push(Device { name, mode, gpu });
            }
        }
        Mutex::new(devices)
    });
    devices.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    gpu.wait().unwrap();
    gpu.device().generate_allocator_report().map(|report| report.total_allocated_bytes)
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

/// A ring of one slot that holds `step`.
pub fn run_steps(gpu: &Gpu, axis: Axis, step: impl Fn(usize) -> RunStep) -> (RunSteps, u32) {
    let runs = RunSteps::new(gpu, axis.runs, 1).unwrap();
    let steps: Vec<RunStep> = (0..axis.runs).map(step).collect();
    let offset = runs.write(gpu, 0, &steps);
    (runs, offset)
}

/// Runs everything in `recording` and waits.
pub fn play(gpu: &Gpu, recording: &Recording, offset: u32) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    recording.replay(&mut encoder.begin_compute_pass(&Default::default()), offset);
    gpu.queue().submit([encoder.finish()]);
    gpu.wait().unwrap();
}

/// Rows of `width` numbers, padded to whole vectors.
pub fn padded_rows(values: &[f32], width: usize) -> Vec<f32> {
    let columns = width.next_multiple_of(4);
    let mut rows = vec![0.0; values.len() / width * columns];
    for (to, from) in rows.chunks_exact_mut(columns).zip(values.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    rows
}

/// Undoes [`padded_rows`], and checks that the padding is zero.
pub fn without_padding(values: &[f32], width: usize) -> Vec<f32> {
    let columns = width.next_multiple_of(4);
    values
        .chunks_exact(columns)
        .flat_map(|row| {
            assert!(row[width..].iter().all(|pad| *pad == 0.0), "the padding is {row:?}");
            row[..width].to_vec()
        })
        .collect()
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

/// Calls `check` on random values of `strategy`, the same ones each time; a failure is shrunk.
pub fn for_random<S: Strategy>(cases: u32, strategy: S, check: impl Fn(&S::Value))
where
    S::Value: Clone + std::fmt::Debug,
{
    let config =
        Config { cases, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&strategy, |value| {
            check(&value);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Tasks, batch, inputs, outputs of a layer, often not multiples of anything.
pub fn layer_shape() -> impl Strategy<Value = [usize; 4]> {
    (1..4_usize, 1..40_usize, 1..140_usize, 1..80_usize).prop_map(|(t, b, i, o)| [t, b, i, o])
}

/// Any activation.
pub fn activation() -> impl Strategy<Value = Activation> {
    proptest::sample::select(vec![
        Activation::Linear,
        Activation::Tanh,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Gelu,
    ])
}

/// A buffer that holds `values`.
pub fn upload(gpu: &Gpu, values: &[f32]) -> reptile::wgpu::Buffer {
    gpu.storage_with("test", values).unwrap()
}

/// A buffer for so many numbers.
pub fn room(gpu: &Gpu, floats: usize) -> reptile::wgpu::Buffer {
    gpu.storage("test", 4 * floats as u64).unwrap()
}

/// The settings of a single inner step.
pub fn one_step(gpu: &Gpu) -> InnerSteps {
    InnerSteps::new(gpu, &[InnerStep { index: 0, order_start: 0, last: 1, first_task: 0 }]).unwrap()
}
