//! `shaders/gather_bytes.wgsl`: minibatches of images that were made bytes once for all steps.

use crate::error::Result;
use crate::gpu::{Element, Gpu, Recording, Source, Work};
use crate::kernels::gather_images::units_at_once;
use crate::kernels::{Argument, BLOCK, BatchRows, InnerSteps, call};
use crate::model::Model;

/// Records batch_x `[G, B, in]` and labels `[G, B]` from `images` `[T, N, in]` of the support sets, all of them bytes, four to a
/// word, as `gather_images` makes them.
///
/// # Errors
/// See [`call`].
pub fn gather_bytes(
    gpu: &Gpu,
    recording: &mut Recording,
    model: &Model,
    rows: BatchRows,
    (inner, step): (&InnerSteps, usize),
    [order, images]: [&wgpu::Buffer; 2],
    [batch_x, labels]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let words = model.input_words();
    let (columns, unit, element) = match words % 4 {
        0 => (words / 4, shader!("lib/unit_four_words.wgsl"), Element::Words),
        _ => (words, shader!("lib/unit_word.wgsl"), Element::Word),
    };
    let at_once = units_at_once(gpu.profile(), columns);
    let source = Source::new("gather_bytes", shader!("gather_bytes.wgsl"))
        .reads("images", element)
        .library(unit)
        .constant("BLOCK", BLOCK)
        .constant("COLUMNS", columns)
        .constant("AT_ONCE", at_once);
    let arguments = [
        Argument::Inner(inner, step),
        Argument::Buffer("order", order),
        Argument::Buffer("images", images),
        Argument::Buffer("batch_x", batch_x),
        Argument::Buffer("batch_y", labels),
    ];
    let blocks = (rows.rows * columns / at_once).div_ceil(BLOCK);
    let examples = rows.count * rows.rows;
    // An example may be in several batches.
    let read = (examples * words).min(images.size() as usize / 4);
    let work = Work::words(read + examples * (words + 2));
    call(gpu, recording, &rows.library(source), &arguments, [blocks, rows.count, 1], work)
}
