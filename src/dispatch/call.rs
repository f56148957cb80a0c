//! From a kernel's source and its buffers to a dispatch in a recording.

use crate::dispatch::host::{InnerStep, InnerSteps, RunSteps};
use crate::error::{Error, Result};
use crate::gpu::{
    Access, Global, Gpu, Kernel, Loads, Offset, Part, Recording, Source, Touched, Work,
};

/// What is bound to a name of a kernel's text.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// A whole buffer, under this name; the text says whether it is read or written.
    Buffer(&'static str, &'a wgpu::Buffer),
    /// The same, of a buffer that already holds what it will always hold.
    Fixed(&'static str, &'a wgpu::Buffer),
    /// A buffer of parameter sets, of which the kernel knows what begins at this place of each.
    Sets(&'static str, &'a wgpu::Buffer, usize),
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
            Self::Buffer(name, _) | Self::Fixed(name, _) | Self::Sets(name, ..) => name,
            Self::Runs(_) => DYNAMIC[0],
            Self::Inner(..) => DYNAMIC[1],
        }
    }

    /// The buffer under a name of the text's own, and which part of it.
    fn buffer(self) -> Option<(&'a wgpu::Buffer, Part)> {
        match self {
            Self::Buffer(_, buffer) | Self::Fixed(_, buffer) => Some((buffer, Part::Whole)),
            Self::Sets(_, buffer, at) => Some((buffer, Part::At(at))),
            Self::Runs(_) | Self::Inner(..) => None,
        }
    }

    fn resource(self) -> wgpu::BufferBinding<'a> {
        match self {
            Self::Buffer(_, buffer) | Self::Fixed(_, buffer) | Self::Sets(_, buffer, _) => {
                buffer.as_entire_buffer_binding()
            }
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
        let times = if access == Access::ReadWrite { 2 } else { 1 };
        self.buffer().map_or(0, |(buffer, _)| times * buffer.size())
    }

    fn offset(self) -> Option<Offset> {
        match self {
            Self::Buffer(..) | Self::Fixed(..) | Self::Sets(..) => None,
            Self::Runs(runs) => Some(Offset::Iteration(runs.offset())),
            Self::Inner(inner, index) => Some(Offset::Step(inner.offset_of(index))),
        }
    }
}

/// The argument of each buffer that the kernel uses.
fn in_order<'a>(kernel: &Kernel, arguments: &[Argument<'a>]) -> Result<Vec<Argument<'a>>> {
    let wrong = |message| Error::Shader { kernel: kernel.name().to_string(), message };
    let of = |global: &Global| {
        let found = arguments.iter().find(|argument| argument.name() == global.name);
        found.copied().ok_or_else(|| wrong(format!("nothing is bound to `{}`", global.name)))
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
    let mirrored = reads_mirrors(gpu, source, arguments).then(|| source.clone().mirrored());
    let kernel = gpu.kernel(mirrored.as_ref().unwrap_or(source), &DYNAMIC)?;
    let arguments = in_order(&kernel, arguments)?;
    for (buffer, _) in arguments.iter().filter_map(|argument| argument.buffer()) {
        check("a buffer", "bytes", buffer.size(), gpu.profile().largest_binding)?;
    }
    let bound = || arguments.iter().zip(kernel.globals());
    let most: u64 = bound().map(|(argument, global)| argument.most_bytes(global.access)).sum();
    debug_assert!(work.bytes <= most, "{}: {work:?}, but {most} bytes are bound", source.name());
    let mut touched = Touched::default();
    for (argument, global) in bound() {
        let Some((buffer, part)) = argument.buffer() else { continue };
        match global.access {
            Access::Mirror { words } => {
                let fixed = matches!(argument, Argument::Fixed(..));
                touched.reads.push((gpu.mirror(buffer, words, fixed)?, part));
            }
            Access::ReadWrite => touched.writes.push((buffer.clone(), part)),
            Access::Read | Access::Uniform => {}
        }
    }
    let mut mirrors = touched.reads.iter();
    let resources: Vec<_> = bound()
        .map(|(argument, global)| match (global.access, argument) {
            (Access::Mirror { .. }, _) => {
                let (mirror, _) = mirrors.next().expect("one for each");
                wgpu::BindingResource::TextureView(mirror.view())
            }
            _ => wgpu::BindingResource::Buffer(argument.resource()),
        })
        .collect();
    let offsets: Vec<_> = arguments.iter().filter_map(|argument| argument.offset()).collect();
    let group = kernel.bind(gpu.device(), &resources);
    drop(resources);
    recording.dispatch(kernel, group, &offsets, grid.map(|size| size as u32), work, touched);
    Ok(())
}

/// Whether the kernel of `source` reads mirrors here.
pub fn reads_mirrors(gpu: &Gpu, source: &Source, arguments: &[Argument<'_>]) -> bool {
    let fits = |argument: &Argument<'_>| match argument.buffer() {
        Some((buffer, _)) if source.element(argument.name()).is_some() => {
            gpu.can_mirror(buffer.size())
        }
        _ => true,
    };
    source.has_reads() && gpu.loads() == Loads::Mirrors && arguments.iter().all(fits)
}
