//! From a kernel's source and its buffers to a dispatch in a recording.

use crate::dispatch::host::{InnerStep, InnerSteps, RunSteps};
use crate::error::{Error, Result};
use crate::gpu::{Binding, Gpu, Offset, Recording, Source, Work};

/// A buffer in the place of one binding.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// Read only.
    In(&'a wgpu::Buffer),
    /// Read and written.
    Out(&'a wgpu::Buffer),
    /// The iteration's slot of the ring.
    Runs(&'a RunSteps),
    /// One inner step, of those behind the place of a repeat.
    Inner(&'a InnerSteps, usize),
}

impl<'a> Argument<'a> {
    fn binding(self) -> Binding {
        match self {
            Self::In(_) => Binding::Read,
            Self::Out(_) => Binding::ReadWrite,
            Self::Runs(_) => Binding::ReadAt,
            Self::Inner(..) => Binding::UniformAt,
        }
    }

    fn resource(self) -> wgpu::BufferBinding<'a> {
        match self {
            Self::In(buffer) | Self::Out(buffer) => buffer.as_entire_buffer_binding(),
            Self::Runs(runs) => runs.binding(),
            Self::Inner(inner, _) => wgpu::BufferBinding {
                buffer: &inner.buffer,
                offset: 0,
                size: wgpu::BufferSize::new(size_of::<InnerStep>() as u64),
            },
        }
    }

    /// Bytes that can be read and written, each once.
    fn most_bytes(self) -> u64 {
        match self {
            Self::In(buffer) => buffer.size(),
            Self::Out(buffer) => 2 * buffer.size(),
            Self::Runs(_) | Self::Inner(..) => 0,
        }
    }

    fn offset(self) -> Option<Offset> {
        match self {
            Self::In(_) | Self::Out(_) => None,
            Self::Runs(runs) => Some(Offset::Iteration(runs.offset())),
            Self::Inner(inner, index) => Some(Offset::Step(inner.offset_of(index))),
        }
    }
}

/// Appends the kernel of `source` on `arguments` (binding 0, 1, …) with `grid` workgroups, which do `work`.
///
/// # Errors
/// [`Error::Limit`] if the grid or a buffer is larger than the device takes, [`Error::Shader`] if it
/// refuses the kernel.
pub fn call(
    gpu: &Gpu,
    recording: &mut Recording,
    source: &Source,
    arguments: &[Argument<'_>],
    grid: [usize; 3],
    work: Work,
) -> Result<()> {
    let check = |what, needed: u64, available: u64| match needed <= available {
        true => Ok(()),
        false => Err(Error::Limit {
            what: format!("{what} of `{}`", source.name()),
            needed,
            available,
            remedy: "lower outer.meta_batch, runs or the size of a task".to_string(),
        }),
    };
    for size in grid {
        check("one dispatch (in workgroups)", size as u64, gpu.profile().largest_grid.into())?;
    }
    for argument in arguments {
        if let Argument::In(buffer) | Argument::Out(buffer) = argument {
            check("a buffer (in bytes)", buffer.size(), gpu.profile().largest_binding)?;
        }
    }
    let most: u64 = arguments.iter().map(|argument| argument.most_bytes()).sum();
    debug_assert!(work.bytes <= most, "{}: {work:?}, but {most} bytes are bound", source.name());
    let bindings: Vec<Binding> = arguments.iter().map(|argument| argument.binding()).collect();
    let resources: Vec<_> = arguments.iter().map(|argument| argument.resource()).collect();
    let offsets: Vec<_> = arguments.iter().filter_map(|argument| argument.offset()).collect();
    let kernel = gpu.kernel(source, &bindings)?;
    let group = kernel.bind(gpu.device(), &resources);
    recording.dispatch(kernel, group, &offsets, grid.map(|size| size as u32), work);
    Ok(())
}
