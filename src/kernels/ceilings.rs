//! `shaders/ceiling_multiply_add.wgsl`, `shaders/ceiling_copy.wgsl` and `shaders/empty.wgsl`: what
//! benchmarks compare with.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Kernel, Recording, Source, Work};
use crate::kernels::{Argument, BLOCK, call};

/// Multiply-adds of [`ceiling_multiply_add`] a workgroup and round: 64 invocations, 16 times eight
/// vectors.
const MULTIPLY_ADDS: u64 = 64 * 16 * 8 * 4;

/// Records `rounds` rounds of independent multiply-adds in `workgroups` workgroups of 64; `result`
/// holds four floats an invocation.
///
/// # Errors
/// See [`call`].
pub fn ceiling_multiply_add(
    gpu: &Gpu,
    recording: &mut Recording,
    [workgroups, rounds]: [usize; 2],
    result: &wgpu::Buffer,
) -> Result<()> {
    let text = shader!("ceiling_multiply_add.wgsl");
    let source = Source::new("ceiling_multiply_add", text).constant("ROUNDS", rounds);
    let work = Work::words(workgroups * 64 * 4)
        .multiply_adds(MULTIPLY_ADDS * (workgroups * rounds) as u64);
    call(gpu, recording, &source, &[Argument::Buffer("result", result)], [workgroups, 1, 1], work)
}

/// Records a copy of `vectors` vectors of four floats from one buffer to another.
///
/// # Errors
/// See [`call`].
pub fn ceiling_copy(
    gpu: &Gpu,
    recording: &mut Recording,
    vectors: usize,
    [from, to]: [&wgpu::Buffer; 2],
) -> Result<()> {
    let source = Source::new("ceiling_copy", shader!("ceiling_copy.wgsl"))
        .constant("BLOCK", BLOCK)
        .constant("VECTORS", vectors);
    let arguments = [Argument::Buffer("from_here", from), Argument::Buffer("to_there", to)];
    let work = Work::words(2 * 4 * vectors);
    call(gpu, recording, &source, &arguments, [vectors.div_ceil(BLOCK), 1, 1], work)
}

/// A kernel that does nothing, with one binding, a buffer that it could write, for any grid.
///
/// # Errors
/// [`crate::Error::Shader`] if the device refuses it.
pub fn empty(gpu: &Gpu) -> Result<Arc<Kernel>> {
    gpu.kernel(&Source::new("empty", shader!("empty.wgsl")), &[])
}
