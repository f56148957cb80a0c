//! Kernels by themselves, on the shapes of the networks.

use crate::error::Result;
use crate::experiments::bench::report::Measured;
use crate::experiments::bench::timing::{Effort, Timing};
use crate::experiments::bench::workload::Workload;
use crate::gpu::{Gpu, Memory, Recording, size_of_f32s};
use crate::kernels::{Axis, InnerRule, OuterRule, OuterUpdate, RunStep, RunSteps, outer_update};
use crate::model::{Activation, Loss, Model, ModelSpec, Padding};
use crate::optimizers::{Inner, InnerOptimizer, Settings};
use crate::rng::Phase;
use crate::tune::{Direction, LayerAlone};

/// One run of a kernel, and what it does.
#[derive(Debug)]
#[non_exhaustive]
pub struct Alone {
    /// The sizes in words.
    pub shape: String,
    /// The run's dispatches, which replay as often as wanted.
    pub recording: Recording,
    /// Whether it is bound by multiply-adds, and not by bytes.
    pub multiplies: bool,
    /// Bytes of its buffers.
    pub memory: u64,
}

/// The kernels of `workload` on `tasks` batches.
///
/// # Errors
/// [`crate::Error::Limit`] if the device has no room.
///
/// # Panics
/// If `workload` is a training.
pub fn kernels_of(gpu: &Gpu, workload: Workload, tasks: usize) -> Result<Vec<Alone>> {
    assert!(!workload.is_training(), "{} is no kernel alone", workload.name());
    match workload {
        Workload::Reduce => Ok(vec![reduce(gpu, tasks)?]),
        _ => layers(gpu, workload, tasks),
    }
}

/// Measures the kernels of `workload` on `tasks` batches: for each its sizes in words, and figures.
///
/// # Errors
/// [`crate::Error::Limit`] if the device has no room, [`crate::Error::DeviceLost`].
pub fn measure(
    gpu: &Gpu,
    workload: Workload,
    tasks: usize,
    effort: Effort,
) -> Result<Vec<(String, Measured)>> {
    kernels_of(gpu, workload, tasks)?
        .into_iter()
        .map(|kernel| {
            let Alone { shape, recording, multiplies, memory } = kernel;
            let work = recording.work();
            let time = Timing::of(effort, |iterations| recording.run_times(gpu, iterations))?;
            let variants = recording.kernel_variants();
            let measured = Measured {
                task_steps: None,
                flops: multiplies.then_some(work.operations),
                bytes_moved: (!multiplies).then_some(work.bytes),
                control: None,
                host_share: None,
                plan: None,
                variants,
                kernels: None,
                dispatches: recording.len(),
                submits: 1.0 / time.iterations as f64,
                memory,
                first_result: None,
                evaluation: None,
                time,
            };
            Ok((shape, measured))
        })
        .collect()
}

/// The layer that `workload` is about, and on how many examples.
fn layer(workload: Workload) -> Result<(Model, usize)> {
    let spec = match workload {
        Workload::Gemm => ModelSpec::builder(&[256]).dense(256, Activation::Linear),
        Workload::Conv => ModelSpec::builder(&[64, 14, 14])
            .conv2d(64, 3, 2, Padding::SAME)
            .dense(5, Activation::Linear),
        _ => ModelSpec::builder(&[64, 14, 14])
            .batch_norm(Activation::Relu)
            .dense(5, Activation::Linear),
    };
    let examples = if workload == Workload::Gemm { 256 } else { 10 };
    Ok((Model::new(spec.loss(Loss::Mse))?, examples))
}

fn layers(gpu: &Gpu, workload: Workload, tasks: usize) -> Result<Vec<Alone>> {
    let (model, examples) = layer(workload)?;
    let rule = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, Settings::DEFAULT));
    let layer = &model.layers()[0];
    let [input, output] = [layer.input, layer.output];
    let directions: &[(Direction, &str)] = match workload {
        Workload::Gemm => &[(Direction::Forward, "forward")],
        Workload::Conv => &[
            (Direction::Forward, "forward"),
            (Direction::Backward, "backward to inputs"),
            (Direction::Update, "weights' gradient and Adam"),
        ],
        _ => &[(Direction::Forward, "forward"), (Direction::Backward, "backward")],
    };
    let kernel = |(direction, name): &(Direction, &str)| -> Result<Alone> {
        // Each has its own buffers: on the way back a batch-norm works in place, and without statistics
        // from the way forward its repeats stay finite.
        let alone = LayerAlone::new(gpu, &model, 0, [tasks, examples], rule)?;
        let mut recording = Recording::default();
        alone.record(gpu, &mut recording, *direction)?;
        let shape = match workload {
            Workload::Gemm => format!("{tasks} × 256×256×256"),
            Workload::Conv => format!(
                "{tasks} × {examples} × {}×{}×{} to {}×{}×{}, {name}",
                input.channels,
                input.height,
                input.width,
                output.channels,
                output.height,
                output.width
            ),
            _ => format!(
                "{tasks} × {examples} × {}×{}×{}, {name}",
                input.channels, input.height, input.width
            ),
        };
        Ok(Alone {
            shape,
            recording,
            multiplies: workload != Workload::Norm,
            memory: alone.bytes(),
        })
    };
    directions.iter().map(kernel).collect()
}

/// The outer update of the sine network over `tasks` adapted sets.
fn reduce(gpu: &Gpu, tasks: usize) -> Result<Alone> {
    let spec = ModelSpec::builder(&[1])
        .dense(64, Activation::Tanh)
        .dense(64, Activation::Tanh)
        .dense(1, Activation::Linear);
    let model = Model::new(spec.loss(Loss::Mse))?;
    let axis = Axis { runs: 1, per_run: tasks };
    let runs = RunSteps::new(gpu, 1, 1)?;
    // θ moves towards the mean of sets that stay: repeats are on finite numbers.
    runs.write(gpu, 0, &[RunStep { outer_rate: 0.5, ..RunStep::new(0, Phase::Train, axis) }]);
    let set = size_of_f32s(model.packed_len());
    let mut memory = Memory::default();
    let mut buffer = |name: &'static str, bytes: u64| {
        memory.add(name, bytes);
        gpu.storage(name, bytes)
    };
    let adapted = buffer("adapted parameters", tasks as u64 * set)?;
    let theta = buffer("parameters", set)?;
    let losses = buffer("inner losses", size_of_f32s(tasks))?;
    let [none, first, second, metrics] =
        [buffer("anchors", 0)?, buffer("first", 0)?, buffer("second", 0)?, buffer("metrics", 4)?];
    let mut recording = Recording::default();
    let update = OuterUpdate {
        rule: OuterRule::INTERPOLATION,
        axis,
        vectors: model.packed_len() / 4,
        steps: 1,
        columns: 1,
        guard: 0.0,
        fomaml: false,
        summed: false,
        capacity: 0,
        adapted: &adapted,
        anchors: &none,
        theta: &theta,
        first: &first,
        second: &second,
        losses: &losses,
        metrics: &metrics,
    };
    outer_update(gpu, &mut recording, &runs, &update)?;
    Ok(Alone {
        shape: format!("{tasks} sets of {} numbers", model.parameter_count()),
        recording,
        multiplies: false,
        memory: memory.total(),
    })
}
