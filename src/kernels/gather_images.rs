//! `shaders/gather_images.wgsl`: one minibatch of every task from an image set.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source};
use crate::kernels::{Argument, BLOCK, INNER_STEP, InnerSteps, call, vectors};

/// Sizes of an image set and of a batch of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageBatch {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Bits of a pixel: 1 or 8.
    pub bits: usize,
    pub words_per_image: usize,
    pub tasks: usize,
    /// Rows B of the batch.
    pub batch: usize,
    /// Examples of a task, all classes.
    pub examples: usize,
    /// Examples of a class: an example's label is its number divided by this.
    pub per_class: usize,
    /// Length of a task's order, or none: row b is then example b.
    pub order_len: Option<usize>,
}

/// Records batch_x `[T, B, C·H·W]` (0..1) and labels `[T, B]`. `numbers` `[T, examples]` are image
/// numbers with the rotation in the two high bits.
///
/// # Errors
/// See [`call`].
pub fn gather_images(
    gpu: &Gpu,
    recording: &mut Recording,
    c: &ImageBatch,
    (inner, step): (&InnerSteps, usize),
    [order, numbers, words]: [&wgpu::Buffer; 3],
    [batch_x, labels]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let [channels, height, width] = c.shape;
    let columns = vectors(channels * height * width);
    let source = Source::new("gather_images", include_str!("../../shaders/gather_images.wgsl"))
        .library(INNER_STEP)
        .constant("BLOCK", BLOCK)
        .constant("BATCH", c.batch)
        .constant("IN4", columns)
        .constant("CHANNELS", channels)
        .constant("HEIGHT", height)
        .constant("WIDTH", width)
        .constant("BITS", c.bits)
        .constant("WORDS", c.words_per_image)
        .constant("EXAMPLES", c.examples)
        .constant("PER_CLASS", c.per_class)
        .constant("ORDERED_ROWS", c.order_len.is_some())
        .constant("ORDER_STRIDE", c.order_len.unwrap_or(0));
    let arguments = [
        Argument::Inner(inner, step),
        Argument::In(order),
        Argument::In(numbers),
        Argument::In(words),
        Argument::Out(batch_x),
        Argument::Out(labels),
    ];
    call(gpu, recording, &source, &arguments, [(c.batch * columns).div_ceil(BLOCK), c.tasks, 1])
}
