//! `shaders/sample_own.wgsl`: tasks that functions of the user's own draw, and whether those functions are what is asked for.

#[cfg(not(target_arch = "wasm32"))]
mod check;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::gather_rows::targets;
use crate::kernels::{Argument, Axis, PRECISE_SIN, RNG, RUN_STEP, RunSteps, call};
use crate::model::{Layout, Loss, Model};
use crate::tasks::TaskFunctions;

const RANDOM: &str = shader!("lib/random.wgsl");
const KERNEL: &str = shader!("sample_own.wgsl");
const VALUES: &str = shader!("lib/own_values.wgsl");
const LABEL: &str = shader!("lib/own_label.wgsl");

/// Numbers of an example, inputs and targets: what WGSL grants the variables of a function (8,192 bytes) has room for, and
/// as many of the user's.
const MOST_NUMBERS: usize = 1024;

/// How a network reads what functions draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnExamples {
    inputs: usize,
    outputs: usize,
    loss: Loss,
    /// Of an image: its channels, and pixels of one; no pixels for a row.
    image: [usize; 2],
    columns: usize,
    targets: usize,
    target_words: usize,
    library: &'static str,
}

impl OwnExamples {
    /// The layout that `model` reads.
    pub fn of(model: &Model) -> Self {
        let (library, targets) = targets(model);
        Self {
            inputs: model.inputs(),
            outputs: model.outputs(),
            loss: model.loss(),
            image: match (model.input_layout(), model.spec().input.as_slice()) {
                (Layout::Image, [channels, height, width]) => [*channels, height * width],
                _ => [1, 0],
            },
            columns: model.inputs_padded() / 4,
            targets,
            target_words: model.target_words(),
            library,
        }
    }
}

/// The kernel without the sizes of a batch.
fn source(own: &TaskFunctions, layout: OwnExamples) -> Source {
    Source::new("sample_own", KERNEL)
        .own(own.text().clone())
        .library(RUN_STEP)
        .library(RNG)
        .library(PRECISE_SIN)
        .library(RANDOM)
        .library(layout.library)
        .library(match layout.loss {
            Loss::Mse => VALUES,
            Loss::CrossEntropy => LABEL,
        })
        .constant("INPUTS", layout.inputs)
        .constant("OUTPUTS", own.classes().unwrap_or(layout.outputs))
        .constant("CHANNELS", layout.image[0])
        .constant("PIXELS", layout.image[1])
        .constant("IN4", layout.columns)
        .constant("TARGETS", layout.targets)
}

/// With the sizes of a batch of `support` and `queries` examples of a task.
fn sized(source: Source, axis: Axis, [support, queries]: [usize; 2], block: usize) -> Source {
    source
        .constant("BLOCK", block)
        .constant("TASKS_PER_RUN", axis.per_run)
        .constant("SUPPORT", support)
        .constant("QUERIES", queries)
}

/// Records support rows `[T, N]` and query rows `[T, Q]` of the tasks that `own` draws, `sizes` of each task.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn sample_own(
    gpu: &Gpu,
    recording: &mut Recording,
    own: &TaskFunctions,
    layout: OwnExamples,
    axis: Axis,
    sizes: [usize; 2],
    runs: &RunSteps,
    [support_x, support_y]: [&wgpu::Buffer; 2],
    [query_x, query_y]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let examples = sizes[0] + sizes[1];
    let block = examples.next_power_of_two().clamp(8, 64);
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("support_x", support_x),
        Argument::Buffer("support_y", support_y),
        Argument::Buffer("query_x", query_x),
        Argument::Buffer("query_y", query_y),
    ];
    let words = 4 * layout.columns + layout.target_words;
    let work = Work::words(axis.tasks() * examples * words);
    let grid = [examples.div_ceil(block), axis.tasks(), 1];
    call(gpu, recording, &sized(source(own, layout), axis, sizes, block), &arguments, grid, work)
}

/// Checks that `own` declares what is needed for `model`, without a device. (In a browser its compiler reads the text.)
///
/// # Errors
/// [`Error::Config`] that names the file, its line and what is wrong there, or the declaration that is missing.
pub fn check_functions(own: &TaskFunctions, model: &Model) -> Result<()> {
    let numbers = model.inputs().saturating_add(model.outputs());
    if numbers > MOST_NUMBERS {
        let message = format!(
            "an example has {numbers} numbers; a function in WGSL has room for {MOST_NUMBERS}, give others as arrays"
        );
        return Err(Error::config(own.name(), message));
    }
    #[cfg(not(target_arch = "wasm32"))]
    check::text(own, model)?;
    Ok(())
}
