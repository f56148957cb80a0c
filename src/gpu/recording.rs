//! A list of dispatches, built once and replayed into any encoder.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::kernel::Kernel;
use crate::gpu::mirror::Mirror;
use crate::gpu::passes::Passes;
use crate::gpu::waiting::{Wait, now};
use crate::gpu::work::Work;

/// Where a binding with an offset per dispatch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// So many bytes behind the place of the repeat ([`Recording::repeat`]); of the buffer, where there
    /// is none.
    Step(u32),
    /// So many bytes behind the place given to [`Recording::replay`].
    Iteration(u32),
}

/// Which part of every parameter set a dispatch reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, or of a buffer of something else.
    Whole,
    /// What begins at this place of a set: a layer's parameters.
    At(usize),
}

/// What a dispatch reads in mirrors, and what it writes.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// Mirrors, which must be as their buffers are.
    pub reads: Vec<(Arc<Mirror>, Part)>,
    /// Buffers.
    pub writes: Vec<(wgpu::Buffer, Part)>,
}

#[derive(Clone, Debug)]
struct Dispatch {
    kernel: Arc<Kernel>,
    group: wgpu::BindGroup,
    offsets: Vec<Offset>,
    grid: [u32; 3],
    work: Work,
    /// Mirrors that it reads, and whether their buffers may have changed since they were copied.
    mirrors: Vec<(Arc<Mirror>, bool)>,
}

/// One dispatch of the list.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its place in [`Recording::dispatches`].
    dispatch: u32,
    /// Where its bindings with [`Offset::Step`] start, in bytes.
    step: u32,
}

/// A dispatch and how often it is in a list, for reports.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeldDispatch {
    /// Name of the shader's file.
    pub kernel: &'static str,
    /// Which of the kernel's variants it is, where there are several.
    pub variant: Option<String>,
    /// Workgroups along each dimension.
    pub grid: [u32; 3],
    /// Of one dispatch.
    pub work: Work,
    /// How often it is in the list.
    pub repeats: usize,
    /// Of all repeats.
    pub seconds: f64,
}

/// Dispatches in order. Building it allocates; replaying it does not.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Each once, however often it is repeated.
    dispatches: Vec<Dispatch>,
    order: Vec<Entry>,
    /// Mirrors that were copied, and what of their buffers was written since.
    copied: Vec<(Arc<Mirror>, Vec<Part>)>,
}

impl Recording {
    /// Appends a dispatch of `grid` workgroups that do `work`. `offsets` belong to the kernel's bindings with an
    /// offset per dispatch, in order. Before it, mirrors that it reads are copied where their buffers may have changed since
    /// the list began. An empty grid appends nothing.
    pub fn dispatch(
        &mut self,
        kernel: Arc<Kernel>,
        group: wgpu::BindGroup,
        offsets: &[Offset],
        grid: [u32; 3],
        work: Work,
        touched: Touched,
    ) {
        if grid.contains(&0) {
            return;
        }
        let mut mirrors = Vec::new();
        for (mirror, part) in touched.reads {
            let copied = self.is_copied(&mirror, part);
            if !copied {
                self.copied.retain(|(copied, _)| !Arc::ptr_eq(copied, &mirror));
                self.copied.push((mirror.clone(), Vec::new()));
            }
            mirrors.push((mirror, !copied));
        }
        for (buffer, part) in touched.writes {
            let of_buffer = self.copied.iter_mut().filter(|(mirror, _)| mirror.buffer == buffer);
            of_buffer.for_each(|(_, written)| written.push(part));
        }
        self.order.push(Entry { dispatch: self.dispatches.len() as u32, step: 0 });
        let offsets = offsets.to_vec();
        self.dispatches.push(Dispatch { kernel, group, offsets, grid, work, mirrors });
    }

    /// Whether `part` of the buffer is in its mirror.
    fn is_copied(&self, mirror: &Arc<Mirror>, part: Part) -> bool {
        let changes =
            |written: &Part| part == Part::Whole || *written == Part::Whole || part == *written;
        mirror.fixed
            || self.copied.iter().any(|(copied, written)| {
                Arc::ptr_eq(copied, mirror) && !written.iter().any(changes)
            })
    }

    /// Appends all of `part` once for each of `places`, where its bindings with [`Offset::Step`] then
    /// start (in bytes). Kernels and bind groups are held once for all.
    pub fn repeat(&mut self, part: &Self, places: impl IntoIterator<Item = u32>) {
        let first = self.dispatches.len() as u32;
        self.dispatches.extend_from_slice(&part.dispatches);
        // Each time it begins, it copies what it reads.
        self.copied.clear();
        for place in places {
            self.order.extend(
                part.order.iter().map(|entry| Entry {
                    dispatch: first + entry.dispatch,
                    step: place + entry.step,
                }),
            );
        }
    }

    /// The same list with `kernel`, which has a single binding, in the place of every kernel that
    /// `replaced` names: as many dispatches with the same grids, all of which have `buffer`.
    pub fn with_replaced(
        &self,
        gpu: &Gpu,
        (kernel, buffer): (&Arc<Kernel>, &wgpu::Buffer),
        replaced: impl Fn(&str) -> bool,
    ) -> Self {
        let group = kernel.bind(gpu.device(), &[buffer.as_entire_binding()]);
        let dispatches = self.dispatches.iter().map(|dispatch| {
            if replaced(dispatch.kernel.name()) {
                let (kernel, group) = (kernel.clone(), group.clone());
                Dispatch { kernel, group, offsets: Vec::new(), ..dispatch.clone() }
            } else {
                dispatch.clone()
            }
        });
        Self { dispatches: dispatches.collect(), ..self.clone() }
    }

    /// Number of dispatches, repeats included.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Number of dispatches that are held: those of [`Recording::repeat`] count once.
    pub fn held(&self) -> usize {
        self.dispatches.len()
    }

    /// Compute passes that a replay takes: a copy ends one.
    pub fn passes(&self) -> usize {
        1 + (0..self.len()).filter(|index| self.has_copies(*index)).count()
    }

    /// Whether there is nothing to replay.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Encodes every dispatch; `iteration_offset` (bytes) is where the bindings with [`Offset::Iteration`] start.
    pub fn replay(&self, passes: &mut Passes<'_>, iteration_offset: u32) {
        self.replay_part(passes, iteration_offset, 0..self.len());
    }

    /// As [`Recording::replay`], but only the dispatches of `part`.
    ///
    /// # Panics
    /// If there are no such dispatches.
    pub fn replay_part(&self, passes: &mut Passes<'_>, iteration_offset: u32, part: Range<usize>) {
        for index in part {
            if self.has_copies(index) {
                self.copy_mirrors(passes.encoder(), index);
            }
            self.encode(passes.pass(), iteration_offset, index);
        }
    }

    /// Whether mirrors are copied for dispatch `index`.
    pub(super) fn has_copies(&self, index: usize) -> bool {
        self.at(index).mirrors.iter().any(|(_, copied)| *copied)
    }

    /// Copies them.
    pub(super) fn copy_mirrors(&self, encoder: &mut wgpu::CommandEncoder, index: usize) {
        let copied = self.at(index).mirrors.iter().filter(|(_, copied)| *copied);
        copied.for_each(|(mirror, _)| mirror.copy(encoder));
    }

    fn at(&self, index: usize) -> &Dispatch {
        &self.dispatches[self.order[index].dispatch as usize]
    }

    /// Encodes dispatch `index`.
    pub(super) fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        iteration_offset: u32,
        index: usize,
    ) {
        let (entry, dispatch) = (&self.order[index], self.at(index));
        let mut offsets = [0; 4];
        for (slot, offset) in offsets.iter_mut().zip(&dispatch.offsets) {
            *slot = match *offset {
                Offset::Step(bytes) => entry.step + bytes,
                Offset::Iteration(bytes) => iteration_offset + bytes,
            };
        }
        pass.set_pipeline(dispatch.kernel.pipeline());
        pass.set_bind_group(0, &dispatch.group, &offsets[..dispatch.offsets.len()]);
        let [x, y, z] = dispatch.grid;
        pass.dispatch_workgroups(x, y, z);
    }

    /// Replays the list so many times, in a submission of its own, and waits for the device.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn run_times(&self, gpu: &Gpu, times: u64) -> Result<()> {
        now(self.run_times_by(Wait::Blocking, gpu, times))
    }

    /// The async twin of [`Recording::run_times`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn run_times_async(&self, gpu: &Gpu, times: u64) -> Result<()> {
        self.run_times_by(Wait::Awaiting, gpu, times).await
    }

    /// Either of them.
    pub(crate) async fn run_times_by(&self, wait: Wait, gpu: &Gpu, times: u64) -> Result<()> {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut passes = Passes::new(&mut encoder, "reptile");
        for _ in 0..times {
            self.replay(&mut passes, 0);
        }
        drop(passes);
        gpu.submit(encoder.finish());
        wait.until_done(gpu).await
    }

    /// What all dispatches do together.
    pub fn work(&self) -> Work {
        self.order.iter().fold(Work::default(), |sum, entry| {
            let Work { operations, bytes, .. } = self.dispatches[entry.dispatch as usize].work;
            Work { layer: None, operations: sum.operations + operations, bytes: sum.bytes + bytes }
        })
    }

    /// Each dispatch once, however often it is repeated, in the order of their first: with its number
    /// of repeats and, of `seconds` (one for each of [`Recording::len`]), the sum over them.
    ///
    /// # Panics
    /// If there are not as many seconds as dispatches.
    pub fn held_dispatches(&self, seconds: &[f64]) -> Vec<HeldDispatch> {
        assert_eq!(seconds.len(), self.len(), "a time for each dispatch");
        let mut held: Vec<HeldDispatch> = self
            .dispatches
            .iter()
            .map(|dispatch| HeldDispatch {
                kernel: dispatch.kernel.name(),
                variant: dispatch.kernel.variant().map(str::to_string),
                grid: dispatch.grid,
                work: dispatch.work.clone(),
                repeats: 0,
                seconds: 0.0,
            })
            .collect();
        for (entry, seconds) in self.order.iter().zip(seconds) {
            let one = &mut held[entry.dispatch as usize];
            one.repeats += 1;
            one.seconds += seconds;
        }
        held
    }

    /// The variants of its kernels, where there are several: by kernel, each once.
    pub fn kernel_variants(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for kernel in self.dispatches.iter().map(|dispatch| &dispatch.kernel) {
            if let Some(variant) = kernel.variant() {
                all.entry(kernel.name().into()).or_default().insert(variant.into());
            }
        }
        all
    }

    /// The kernels in order, for tests and reports.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.order.iter().map(|entry| self.dispatches[entry.dispatch as usize].kernel.name())
    }
}
