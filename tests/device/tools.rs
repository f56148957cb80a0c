//! What tests of kernels share: running a recording, comparing with float64, random cases.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reptile::gpu::{Gpu, Passes, Recording};
use reptile::kernels::{Axis, InnerStep, InnerSteps, RunStep, RunSteps};
use reptile::model::Activation;

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
    recording.replay(&mut Passes::new(&mut encoder, "test"), offset);
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

/// Calls `check` on random value number `case` of `strategy`, the same one each time; a failure is
/// shrunk.
pub fn random<S: Strategy>(case: u64, strategy: S, check: impl Fn(&S::Value))
where
    S::Value: Clone + std::fmt::Debug,
{
    random_or_another(case, strategy, |value| {
        check(value);
        Ok(())
    });
}

/// The same, but of values that say nothing, by what `check` answers, the next one is taken; there may be four of them.
pub fn random_or_another<S: Strategy>(
    case: u64,
    strategy: S,
    check: impl Fn(&S::Value) -> Result<(), String>,
) where
    S::Value: Clone + std::fmt::Debug,
{
    let config = Config {
        cases: 1,
        max_shrink_iters: 20,
        max_global_rejects: 4,
        failure_persistence: None,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&case.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(config, rng)
        .run(&strategy, |value| {
            check(&value).map_err(|reason| {
                println!("another than {case}: {reason}");
                TestCaseError::reject(reason)
            })
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
