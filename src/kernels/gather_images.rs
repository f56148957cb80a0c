//! `shaders/gather_images.wgsl`: batches of every task from an image set.

use crate::error::Result;
use crate::gpu::{Element, Gpu, Profile, Recording, Source, Work};
use crate::kernels::{Argument, BLOCK, BatchRows, InnerSteps, call};
use crate::model::{Layout, Model};

/// Sizes of an image set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Channels C of an image.
    pub channels: usize,
    /// Pixels along a column.
    pub height: usize,
    /// Pixels along a row.
    pub width: usize,
    /// Bits of a pixel: 1 or 8.
    pub bits: usize,
    /// Words of 32 bits of an image, the unused bits of the last one included.
    pub words_per_image: usize,
}

impl ImageShape {
    /// `[C, H, W]`.
    pub fn sides(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }
}

/// Units of a row of `columns` that an invocation writes: one on real GPUs, where neighbours write side by side, and several on
/// software devices, where finding the image costs more than a unit.
pub(super) fn units_at_once(profile: &Profile, columns: usize) -> usize {
    let most = if profile.software { 8 } else { 1 };
    (1..=most).rev().find(|units| columns.is_multiple_of(*units)).unwrap_or(1)
}

/// Records batch_x `[G, B, …input]` (0..1, or bytes where the first layer reads them) and labels
/// `[G, B]`. `support` `[T, N]` and `queries`
/// `[T, Q]` are image numbers with the rotation in the two high bits, `words` the images.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn gather_images(
    gpu: &Gpu,
    recording: &mut Recording,
    model: &Model,
    shape: ImageShape,
    rows: BatchRows,
    (inner, step): (&InnerSteps, usize),
    order: &wgpu::Buffer,
    [support, queries, words]: [&wgpu::Buffer; 3],
    [batch_x, labels]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let columns = model.inputs_padded() / 4;
    let vectors = units_at_once(gpu.profile(), columns);
    let source = Source::new("gather_images", shader!("gather_images.wgsl"))
        .reads("words", Element::Word)
        .constant("BLOCK", BLOCK)
        .constant("IMAGE_ROWS", model.input_layout() == Layout::Image)
        .constant("IN4", columns)
        .constant("VECTORS", vectors)
        .constant("CHANNELS", shape.channels)
        .constant("HEIGHT", shape.height)
        .constant("WIDTH", shape.width)
        .constant("BITS", shape.bits)
        .constant("WORDS", shape.words_per_image)
        .library(match model.layers()[0].bytes {
            true => shader!("lib/images_bytes.wgsl"),
            false => shader!("lib/images_floats.wgsl"),
        });
    let arguments = [
        Argument::Inner(inner, step),
        Argument::Buffer("order", order),
        Argument::Buffer("support", support),
        Argument::Buffer("queries", queries),
        Argument::Fixed("words", words),
        Argument::Buffer("batch_x", batch_x),
        Argument::Buffer("batch_y", labels),
    ];
    let blocks = (rows.rows * columns / vectors).div_ceil(BLOCK);
    let images = rows.count * rows.rows;
    // An image may be in several batches.
    let read = (images * shape.words_per_image).min(words.size() as usize / 4);
    let work = Work::words(read + images * (model.input_words() + 3));
    call(gpu, recording, &rows.library(source), &arguments, [blocks, rows.count, 1], work)
}
