//! Tasks in device memory: drawn by a kernel or uploaded, and cut into minibatches by another.

mod batches;
mod draw;
mod fits;
mod probe;
mod read;
mod sizes;
mod upload;

pub use probe::{try_functions, try_functions_async};
pub(super) use read::first_of;

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{BufferList, Gpu, Memory, size_of_f32s};
use crate::kernels::{Axis, ExampleRows, GlyphRows, OwnExamples};
use crate::meta::arrays::DeviceArrays;
use crate::meta::checks;
use crate::meta::images::DeviceImages;
use crate::meta::query::QueryBatches;
use crate::meta::source::batches::{batch_buffers, holds, makes_bytes};
use crate::model::{Loss, Model, Shape};
use crate::tasks::{Batches, GlyphsSpec, SineSpec, SplitPart, TaskFunctions};

/// Where a batch of tasks comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Sine waves, drawn on the device.
    Sine(SineSpec),
    /// Episodes over an image set, drawn on the device from the classes of a part.
    Episodes {
        /// The images of the split's parts in device memory.
        images: Arc<DeviceImages>,
        /// The part whose classes make up the tasks.
        part: SplitPart,
        /// Query examples a class.
        queries: usize,
    },
    /// Glyphs, drawn on the device.
    Glyphs(GlyphsSpec),
    /// Tasks over examples of the user's own, drawn on the device.
    Arrays {
        /// The examples of the split's parts in device memory.
        arrays: Arc<DeviceArrays>,
        /// The part whose tasks or classes are drawn from.
        part: SplitPart,
        /// Query examples of a task, of classes of each.
        queries: usize,
    },
    /// Tasks that functions of the user's own draw on the device.
    Functions {
        /// The functions.
        functions: TaskFunctions,
        /// Query examples of a task.
        queries: usize,
    },
    /// Episodes over an image set whose image numbers the caller uploads; only the order of the
    /// minibatches is drawn.
    Listed {
        /// The images of the split's parts in device memory.
        images: Arc<DeviceImages>,
        /// The part whose classes make up the tasks.
        part: SplitPart,
        /// Query examples a class.
        queries: usize,
    },
    /// Rows that the caller writes: uploads, or fills by dispatches of its own.
    Rows {
        /// Query examples of a task, all classes together.
        queries: usize,
        /// Whether the caller writes the order as well, instead of having it drawn.
        ordered: bool,
    },
}

impl Origin {
    /// Training tasks whose examples the caller's own dispatches write, in the encoder that the meta-iteration is recorded
    /// into ([`crate::meta::Trainer::tasks`]); the order of their minibatches is drawn.
    pub fn filled() -> Self {
        Self::Rows { queries: 0, ordered: false }
    }

    /// Query examples of a task of `way` classes.
    pub fn queries(&self, way: usize) -> usize {
        match self {
            Self::Sine(spec) => spec.points,
            Self::Episodes { queries, .. }
            | Self::Listed { queries, .. }
            | Self::Arrays { queries, .. } => way.saturating_mul(*queries),
            Self::Glyphs(spec) => way.saturating_mul(spec.episodes.queries),
            Self::Rows { queries, .. } | Self::Functions { queries, .. } => *queries,
        }
    }

    /// Whether tasks are rows of numbers in the tasks' own buffers.
    pub(super) fn has_rows(&self) -> bool {
        !matches!(self, Self::Episodes { .. } | Self::Listed { .. })
    }

    /// `model` as it reads these tasks: images as bytes, where its first layer can.
    pub(super) fn read_by(&self, model: &Model) -> Model {
        if self.has_rows() { model.reading_numbers() } else { model.reading_bytes() }
    }

    /// Bytes of the data set that tasks are drawn from.
    pub fn data_bytes(&self) -> u64 {
        match self {
            Self::Episodes { images, .. } | Self::Listed { images, .. } => images.bytes(),
            Self::Arrays { arrays, .. } => arrays.bytes(),
            Self::Sine(_) | Self::Glyphs(_) | Self::Functions { .. } | Self::Rows { .. } => 0,
        }
    }

    /// Bytes of those that kernels read in a mirror.
    pub(super) fn mirrored_bytes(&self) -> u64 {
        match self {
            Self::Episodes { images, part, .. } | Self::Listed { images, part, .. } => {
                images.part(*part).words.size()
            }
            _ => 0,
        }
    }
}

/// Inner steps up to which a batch need not be full without other kernels: with few examples every minibatch is a pass
/// of the sampler over them.
const MOST_PASSES: usize = 1 << 14;

/// Buffers of a batch of tasks: their support and query sets and the order of their minibatches.
#[derive(Clone, Debug)]
pub struct TaskBuffers {
    origin: Origin,
    axis: Axis,
    batches: Batches,
    labels: bool,
    /// The device that the buffers are on.
    gpu: Gpu,
    /// Of an example.
    input: Shape,
    /// Classes, or numbers of a target.
    outputs: usize,
    /// Query examples of a task that the buffers have room for, all classes.
    queries: usize,
    /// Support and query examples of a task that are there: as many as there is room for, or fewer.
    used: [usize; 2],
    /// Whether kernels may be told how many are there.
    tellable: bool,
    /// Whether they are, instead of being made for all that there is room for.
    some: bool,
    /// How glyphs are laid out.
    glyphs: GlyphRows,
    /// How examples of arrays are laid out.
    rows: ExampleRows,
    /// How functions draw examples.
    drawn: OwnExamples,
    order: wgpu::Buffer,
    /// Rows: inputs and targets. Episodes: image numbers, and nothing, or labels beside `bytes`.
    support: [wgpu::Buffer; 2],
    query: [wgpu::Buffer; 2],
    /// Of tasks over arrays: numbers of the support and query examples.
    numbers: [wgpu::Buffer; 2],
    /// Of episodes: the images of the support sets as bytes, where minibatches are taken from them.
    bytes: Option<wgpu::Buffer>,
}

impl TaskBuffers {
    /// Allocates what tasks of `origin` need. `with_queries` is false in training.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a number is 0 or the tasks do not fit the network, [`crate::Error::Limit`] if the device has no
    /// room.
    pub fn new(
        gpu: &Gpu,
        model: &Model,
        origin: Origin,
        axis: Axis,
        batches: Batches,
        with_queries: bool,
    ) -> Result<Self> {
        checks::count("runs", axis.runs)?;
        checks::count("tasks", axis.per_run)?;
        checks::counted("runs × tasks", &[axis.runs, axis.per_run])?;
        origin.check(model, &batches, with_queries)?;
        let queries = if with_queries { origin.queries(batches.way) } else { 0 };
        let examples = batches.support().max(queries).max(batches.order_len());
        let largest = model.packed_len().max(model.inputs_padded()).max(model.target_words());
        checks::allocatable("tasks", &[axis.tasks(), examples, largest])?;
        let labels = model.loss() == Loss::CrossEntropy;
        let used = [batches.support(), queries];
        // Batch statistics are of as many examples as a kernel is made for.
        let tellable = matches!(origin, Origin::Rows { .. })
            && with_queries
            && !model.has_batch_statistics()
            && (batches.way, batches.tail) == (1, 0)
            && batches.batch <= batches.group
            && batches.steps <= MOST_PASSES;
        let [order, support_x, support_y, query_x, query_y, support, query, bytes] =
            own_buffers(gpu, model, &origin, axis, &batches, queries).allocate(gpu)?;
        Ok(Self {
            order,
            support: [support_x, support_y],
            query: [query_x, query_y],
            numbers: [support, query],
            bytes: makes_bytes(gpu, model, &origin, axis, &batches).then_some(bytes),
            origin,
            axis,
            batches,
            labels,
            gpu: gpu.clone(),
            input: model.layers()[0].input,
            outputs: model.outputs(),
            queries,
            used,
            tellable,
            some: false,
            glyphs: GlyphRows::of(model),
            rows: ExampleRows::of(model),
            drawn: OwnExamples::of(model),
        })
    }

    /// Adds the large buffers of [`TaskBuffers::new`], and those of the queries' batches in each of
    /// `modes` to `memory`; none in training.
    pub fn plan(
        memory: &mut Memory,
        gpu: &Gpu,
        model: &Model,
        origin: &Origin,
        axis: Axis,
        batches: &Batches,
        modes: &[QueryBatches],
    ) {
        let queries = modes.first().map_or(0, |mode| mode.queries);
        let own = own_buffers(gpu, model, origin, axis, batches, queries);
        let [.., (_, bytes)] = own.0;
        memory.read(size_of_f32s(bytes));
        own.plan(memory);
        for mode in modes.iter().filter(|mode| !holds(origin, **mode)) {
            batch_buffers(model, *mode).plan(memory);
        }
    }

    /// The batch axis.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// How support examples become minibatches.
    pub fn batches(&self) -> &Batches {
        &self.batches
    }

    /// Query examples of a task.
    pub fn queries(&self) -> usize {
        self.used[1]
    }

    /// [T, order length]: indices of support examples. What a kernel of the caller's own writes there is not checked: it
    /// must be below their number.
    pub fn order(&self) -> &wgpu::Buffer {
        &self.order
    }

    /// Support rows (inputs, targets), where tasks are rows of numbers: inputs as [`Model::pack_inputs`] lays them out,
    /// `[T, N, inputs_padded]` floats; targets `[T, N, out]` floats, a row padded with zeros to a multiple of 4, or labels
    /// `[T, N]` of 32 bits.
    ///
    /// Kernels of the caller's own may write them, those of origin [`Origin::Rows`] in any encoder before the inner loops. What they write is
    /// not checked: labels must be below the network's outputs, padding must be 0.
    pub fn support_rows(&self) -> Option<[&wgpu::Buffer; 2]> {
        self.origin.has_rows().then(|| [&self.support[0], &self.support[1]])
    }

    /// Query rows (inputs, targets) likewise, where tasks are rows of numbers.
    pub fn query_rows(&self) -> Option<[&wgpu::Buffer; 2]> {
        self.origin.has_rows().then(|| [&self.query[0], &self.query[1]])
    }

    /// Whether targets are class labels.
    pub fn labels(&self) -> bool {
        self.labels
    }
}

/// The minibatches' order, the support sets and the query sets of the tasks: inputs and targets each; the numbers of their
/// examples, and the images of the support sets as bytes.
fn own_buffers(
    gpu: &Gpu,
    model: &Model,
    origin: &Origin,
    axis: Axis,
    batches: &Batches,
    queries: usize,
) -> BufferList<8> {
    let (tasks, sets) = (axis.tasks(), "support and query sets");
    let [x, y] = example_floats(model, origin);
    let of = |examples: usize, floats: usize| tasks.saturating_mul(examples).saturating_mul(floats);
    let support = batches.support();
    let arrays = matches!(origin, Origin::Arrays { .. });
    let bytes = usize::from(makes_bytes(gpu, model, origin, axis, batches));
    BufferList([
        ("minibatch order", tasks.saturating_mul(batches.order_len())),
        (sets, of(support, x)),
        (sets, of(support, y.max(bytes))),
        (sets, of(queries, x)),
        (sets, of(queries, y)),
        ("example numbers", of(if arrays { support } else { 0 }, 1)),
        ("example numbers", of(if arrays { queries } else { 0 }, 1)),
        (sets, bytes * of(support, model.input_words())),
    ])
}

/// Floats that the tasks' buffers hold of an example: inputs and target, or an image's number.
fn example_floats(model: &Model, origin: &Origin) -> [usize; 2] {
    match origin {
        Origin::Episodes { .. } | Origin::Listed { .. } => [1, 0],
        _ => [model.inputs_padded(), model.target_words()],
    }
}
