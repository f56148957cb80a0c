//! `shaders/gather_examples.wgsl`: examples of tasks from a set in device memory, by their numbers.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::gather_rows::targets;
use crate::kernels::{Argument, BLOCK, call};
use crate::model::Model;

/// How a network reads an example and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExampleRows {
    /// Vectors of an input.
    columns: usize,
    /// Elements of a target, their type, and its words.
    targets: usize,
    library: &'static str,
    target_words: usize,
}

impl ExampleRows {
    /// The layout that `model` reads.
    pub fn of(model: &Model) -> Self {
        let (library, targets) = targets(model);
        let columns = model.inputs_padded() / 4;
        Self { columns, targets, library, target_words: model.target_words() }
    }
}

/// Rows of a set that lie in one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Number of its first row in the set.
    pub first: usize,
    /// How many rows it has.
    pub rows: usize,
    /// `[rows, in]`, as kernels hold inputs.
    pub x: &'a wgpu::Buffer,
    /// `[rows, out]`, or labels `[rows]`; none where labels follow from the place of an example in its task.
    pub y: Option<&'a wgpu::Buffer>,
}

/// Records `examples` inputs and targets of each of `tasks` tasks: those of the examples `numbers` `[T, N]` that lie in
/// `piece`. Where it has no targets, a task has classes of `per_class` examples, one behind the other.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn gather_examples(
    gpu: &Gpu,
    recording: &mut Recording,
    layout: ExampleRows,
    [tasks, examples]: [usize; 2],
    per_class: usize,
    piece: Piece<'_>,
    numbers: &wgpu::Buffer,
    [x, y]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let ExampleRows { columns, targets, library, target_words } = layout;
    let source = Source::new("gather_examples", shader!("gather_examples.wgsl"))
        .library(library)
        .library(match piece.y {
            Some(_) => shader!("lib/example_target.wgsl"),
            None => shader!("lib/example_class.wgsl"),
        })
        .constant("BLOCK", BLOCK)
        .constant("IN4", columns)
        .constant("TARGETS", targets)
        .constant("EXAMPLES", examples)
        .constant("PER_CLASS", per_class.max(1))
        .constant("FIRST", piece.first)
        .constant("ROWS", piece.rows);
    let arguments = [
        Argument::Buffer("numbers", numbers),
        Argument::Buffer("rows", piece.x),
        Argument::Buffer("targets", piece.y.unwrap_or(piece.x)),
        Argument::Buffer("x", x),
        Argument::Buffer("y", y),
    ];
    let blocks = (examples * columns.max(targets)).div_ceil(BLOCK);
    let values = tasks * examples * (4 * columns + target_words);
    // An example may be in several tasks.
    let held = (piece.x.size() + piece.y.map_or(0, wgpu::Buffer::size)) as usize / 4;
    let work = Work::words(tasks * examples + values.min(held) + values);
    call(gpu, recording, &source, &arguments, [blocks, tasks, 1], work)
}
