//! Whether functions of the user's own draw what a network can learn from: some tasks, looked at on the host.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Wait, now};
use crate::kernels::{Axis, RunStep, RunSteps};
use crate::meta::source::{Origin, TaskBuffers};
use crate::model::{Loss, Model, padded};
use crate::rng::Phase;
use crate::tasks::{Batches, TaskFunctions};

/// Tasks that are looked at, and examples of each.
const TASKS: usize = 64;
const EXAMPLES: usize = 16;

/// Draws some tasks and refuses functions that make numbers which are not finite, or labels that `model` has no output
/// for.
///
/// # Errors
/// [`Error::Config`] that names the file and the example, or what is wrong with the text; [`Error::DeviceLost`] if the
/// device did not come back from them.
pub fn try_functions(gpu: &Gpu, model: &Model, functions: &TaskFunctions) -> Result<()> {
    now(try_by(Wait::Blocking, gpu, model, functions))
}

/// The async twin of [`try_functions`].
///
/// # Errors
/// As [`try_functions`].
pub async fn try_functions_async(
    gpu: &Gpu,
    model: &Model,
    functions: &TaskFunctions,
) -> Result<()> {
    try_by(Wait::Awaiting, gpu, model, functions).await
}

async fn try_by(wait: Wait, gpu: &Gpu, model: &Model, functions: &TaskFunctions) -> Result<()> {
    let drawn = drawn(wait, gpu, model, functions).await.map_err(|error| match error {
        Error::DeviceLost(message) => Error::DeviceLost(format!(
            "{message}, while tasks of {} were drawn: does a loop in it never end?",
            functions.name()
        )),
        other => other,
    })?;
    let wrong = |message: String| Err(Error::config(functions.name(), message));
    let (inputs, outputs) = (model.inputs(), functions.classes().unwrap_or(model.outputs()));
    let place = |row: usize| format!("example {} of task {}", row % EXAMPLES, row / EXAMPLES);
    if let (Loss::CrossEntropy, Some(row)) =
        (model.loss(), drawn.x.chunks_exact(inputs).position(|x| x[0].is_nan()))
    {
        return wrong(format!(
            "{} has a label beyond {}, the last class, or an input that is no number; return 0 to {}",
            place(row),
            outputs - 1,
            outputs - 1
        ));
    }
    for (what, values, width) in [("input", &drawn.x, inputs), ("target", &drawn.y, outputs)] {
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (row, number) = (at / width, at % width);
            return wrong(format!(
                "{what} {number} of {} is {}; keep it finite",
                place(row),
                values[at]
            ));
        }
    }
    Ok(())
}

struct Examples {
    x: Vec<f32>,
    /// Empty for labels.
    y: Vec<f32>,
}

async fn drawn(
    wait: Wait,
    gpu: &Gpu,
    model: &Model,
    functions: &TaskFunctions,
) -> Result<Examples> {
    let origin = Origin::Functions { functions: functions.clone(), queries: 0 };
    let axis = Axis { runs: 1, per_run: TASKS };
    let batches = Batches::new([1, EXAMPLES], 1, 1);
    let model = &origin.read_by(model);
    let tasks = TaskBuffers::new(gpu, model, origin, axis, batches, false)?;
    let runs = RunSteps::new(gpu, 1, 1)?;
    runs.write(gpu, 0, &[RunStep::new(0, Phase::Train, axis)]);
    let mut out = Recording::default();
    tasks.record_sample(gpu, &mut out, &runs)?;
    out.run_times_by(wait, gpu, 1).await?;
    let rows = TASKS * EXAMPLES;
    let [x, y] = [&tasks.support[0], &tasks.support[1]];
    let x: Vec<f32> = wait.read(gpu, x, 0, rows * model.inputs_padded()).await?;
    let x = model.unpack_inputs(&x);
    if model.loss() == Loss::CrossEntropy {
        return Ok(Examples { x, y: Vec::new() });
    }
    let outputs = model.outputs();
    let y: Vec<f32> = wait.read(gpu, y, 0, rows * padded(outputs)).await?;
    let y = y.chunks_exact(padded(outputs)).flat_map(|row| &row[..outputs]).copied().collect();
    Ok(Examples { x, y })
}
