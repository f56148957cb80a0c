//! `shaders/sample_glyphs.wgsl`: tasks over glyphs from random numbers, with the order of their
//! minibatches.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::sample::{Drawing, with_order};
use crate::kernels::{Argument, Axis, PRECISE_SIN, RunSteps, call};
use crate::model::{Layout, Model};
use crate::tasks::{Batches, GlyphsSpec};

/// How a kernel lays out the one-channel images of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlyphRows {
    /// Vectors of an image.
    columns: usize,
    /// Pixels of a vector.
    per_vector: usize,
}

impl GlyphRows {
    /// The layout that `model` reads.
    pub fn of(model: &Model) -> Self {
        Self {
            columns: model.inputs_padded() / 4,
            per_vector: match model.input_layout() {
                Layout::Row => 4,
                Layout::Image => 1,
            },
        }
    }
}

/// Records tasks over glyphs: support rows `[T, N]` with labels, `queries` query rows a class
/// [T, way · `queries`] with labels, and `order`. Images are `size` × `size`, 1 = paper, 0 = ink.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn sample_glyphs(
    gpu: &Gpu,
    recording: &mut Recording,
    spec: &GlyphsSpec,
    rows: GlyphRows,
    axis: Axis,
    batches: &Batches,
    queries: usize,
    runs: &RunSteps,
    order: &wgpu::Buffer,
    [support_x, support_y]: [&wgpu::Buffer; 2],
    [query_x, query_y]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let variation = &spec.variation;
    let source = Source::new("sample_glyphs", shader!("sample_glyphs.wgsl"))
        .library(PRECISE_SIN)
        .constant("SIZE", spec.size)
        .constant("IN4", rows.columns)
        .constant("PER_VECTOR", rows.per_vector)
        .constant("QUERIES", queries)
        .constant("JITTER", variation.jitter)
        .constant("ROTATION", variation.rotation)
        .constant("SCALE", variation.scale)
        .constant("SHEAR", variation.shear)
        .constant("SHIFT", variation.shift)
        .constant("WIDTH_LOW", variation.width[0])
        .constant("WIDTH_HIGH", variation.width[1]);
    let images = batches.support() + batches.way * queries;
    let (source, grid) =
        with_order(gpu, source, axis, batches, Drawing::Workgroups(images), false)?;
    let arguments = [
        Argument::Runs(runs),
        Argument::Buffer("order", order),
        Argument::Buffer("support_x", support_x),
        Argument::Buffer("support_y", support_y),
        Argument::Buffer("query_x", query_x),
        Argument::Buffer("query_y", query_y),
    ];
    let values = images * (4 * rows.columns + 1);
    let work = Work::words(axis.tasks() * (batches.order_len() + values));
    call(gpu, recording, &source, &arguments, grid, work)
}
