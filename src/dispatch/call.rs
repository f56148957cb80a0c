//! From a kernel's source and its buffers to a dispatch in a recording.

use crate::dispatch::host::{InnerStep, InnerSteps, RunStep, RunSteps};
use crate::error::{Error, Result};
use crate::gpu::{Access, Global, Gpu, Kernel, Offset, Recording, Source, Work};

/// What is bound to a name of a kernel's text.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// A whole buffer, under this name; the text says whether it is read or written.
    Buffer(&'static str, &'a wgpu::Buffer),
    /// `runs`: the iteration's slot of the ring.
    Runs(&'a RunSteps),
    /// `inner`: one inner step, of those behind the place of a repeat.
    Inner(&'a InnerSteps, usize),
}

/// The names whose offset is given at each dispatch.
const DYNAMIC: [&str; 2] = ["runs", "inner"];

impl<'a> Argument<'a> {
    fn name(self) -> &'static str {
        match self {
            Self::Buffer(name, _) => name,
            Self::Runs(_) => DYNAMIC[0],
            Self::Inner(..) => DYNAMIC[1],
        }
    }

    fn resource(self) -> wgpu::BufferBinding<'a> {
        match self {
            Self::Buffer(_, buffer) => buffer.as_entire_buffer_binding(),
            Self::Runs(runs) => runs.binding(),
            Self::Inner(inner, _) => wgpu::BufferBinding {
                buffer: &inner.buffer,
                offset: 0,
                size: wgpu::BufferSize::new(size_of::<InnerStep>() as u64),
            },
        }
    }

    /// Bytes that can be read and written, each once.
    fn most_bytes(self, access: Access) -> u64 {
        match self {
            Self::Buffer(_, buffer) if access == Access::ReadWrite => 2 * buffer.size(),
            Self::Buffer(_, buffer) => buffer.size(),
            Self::Runs(_) | Self::Inner(..) => 0,
        }
    }

    fn offset(self) -> Option<Offset> {
        match self {
            Self::Buffer(..) => None,
            Self::Runs(runs) => Some(Offset::Iteration(runs.offset())),
            Self::Inner(inner, index) => Some(Offset::Step(inner.offset_of(index))),
        }
    }

    /// Bytes of what the host writes there, where the text has a struct of the same fields.
    fn stride(self) -> Option<usize> {
        match self {
            Self::Buffer(..) => None,
            Self::Runs(_) => Some(size_of::<RunStep>()),
            Self::Inner(..) => Some(size_of::<InnerStep>()),
        }
    }
}

/// The argument of each buffer that the kernel uses.
fn in_order<'a>(kernel: &Kernel, arguments: &[Argument<'a>]) -> Result<Vec<Argument<'a>>> {
    let wrong = |message| Error::Shader { kernel: kernel.name().to_string(), message };
    let of = |global: &Global| {
        let found = arguments.iter().find(|argument| argument.name() == global.name);
        let argument =
            *found.ok_or_else(|| wrong(format!("nothing is bound to `{}`", global.name)))?;
        match argument.stride() {
            Some(bytes) if bytes != global.stride as usize => Err(wrong(format!(
                "`{}` has {} bytes in the text, and the host writes {bytes}",
                global.name, global.stride
            ))),
            _ => Ok(argument),
        }
    };
    kernel.globals().iter().map(of).collect()
}

/// Appends the kernel of `source` on `arguments`, each bound to its name, with `grid` workgroups, which do `work`. What the
/// kernel's text does not use is not bound.
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
    let check = |what: &str, unit, needed: u64, available: u64| match needed <= available {
        true => Ok(()),
        false => Err(Error::Limit {
            what: format!("{what} of `{}`", source.name()),
            unit,
            needed,
            available,
            remedy: "lower outer.meta_batch, runs, the size of a task, or the layers' sizes".into(),
        }),
    };
    for size in grid {
        check("one dispatch", "workgroups", size as u64, gpu.profile().largest_grid.into())?;
    }
    let kernel = gpu.kernel(source, &DYNAMIC)?;
    let arguments = in_order(&kernel, arguments)?;
    for argument in &arguments {
        if let Argument::Buffer(_, buffer) = argument {
            check("a buffer", "bytes", buffer.size(), gpu.profile().largest_binding)?;
        }
    }
    let bound = arguments.iter().zip(kernel.globals());
    let most: u64 = bound.map(|(argument, global)| argument.most_bytes(global.access)).sum();
    debug_assert!(work.bytes <= most, "{}: {work:?}, but {most} bytes are bound", source.name());
    let resources: Vec<_> = arguments.iter().map(|argument| argument.resource()).collect();
    let offsets: Vec<_> = arguments.iter().filter_map(|argument| argument.offset()).collect();
    let group = kernel.bind(gpu.device(), &resources);
    recording.dispatch(kernel, group, &offsets, grid.map(|size| size as u32), work);
    Ok(())
}
