//! `shaders/noise.wgsl`: random words.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, BLOCK, RNG, call};

/// Records `words` random words of the stream `seed` into `buffer`.
///
/// # Errors
/// See [`call`].
pub fn noise(
    gpu: &Gpu,
    recording: &mut Recording,
    seed: u32,
    words: usize,
    buffer: &wgpu::Buffer,
) -> Result<()> {
    let blocks = words.div_ceil(BLOCK);
    let across = blocks.min(gpu.profile().largest_grid as usize);
    let source = Source::new("noise", shader!("noise.wgsl"))
        .library(RNG)
        .constant("BLOCK", BLOCK)
        .constant("GROUPS", across)
        .constant("WORDS", words)
        .constant("SEED", seed);
    let grid = [across, blocks.div_ceil(across.max(1)), 1];
    call(gpu, recording, &source, &[Argument::Buffer("words", buffer)], grid, Work::words(words))
}
