//! What the host tells the kernels: numbers of an iteration, of an inner step, and the task axis.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::rng::Phase;

/// The batch axis: runs × tasks of a run. Task t belongs to run t / `per_run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Independent runs R.
    pub runs: usize,
    /// Tasks of a run M.
    pub per_run: usize,
}

impl Axis {
    /// All tasks T = R · M.
    pub fn tasks(&self) -> usize {
        self.runs.saturating_mul(self.per_run)
    }
}

/// What one run needs to know about one meta-iteration; twin of the struct in
/// `shaders/lib/run_step.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RunStep {
    /// The run's seed: low and high word.
    pub seed: [u32; 2],
    /// Which stream the tasks are drawn from: a [`Phase`] as a number.
    pub phase: u32,
    /// The meta-iteration, counted from 0.
    pub iteration: u32,
    /// Inner Adam steps that the state has already seen.
    pub adam_steps: u32,
    /// Outer steps done, this one included.
    pub outer_steps: u32,
    /// Number of the batch's first task inside its run.
    pub first_task: u32,
    /// Row of the metrics ring.
    pub slot: u32,
    /// Inner rate α of this iteration, after its schedule.
    pub inner_rate: f32,
    /// Outer rate ε of this iteration, after its schedule.
    pub outer_rate: f32,
    /// Factor on all parameters before each inner step; 1 = off.
    pub weight_decay: f32,
    /// 1 / tasks of a run.
    pub tasks_inverse: f32,
    /// β: the step of a learned strategy.
    pub strategy_rate: f32,
    /// ARUBA: 1 / (iteration + 1)^p.
    pub strategy_prior: f32,
    /// Entries of the memory that hold something after this iteration.
    pub entries: u32,
    /// 1 / entries.
    pub entries_inverse: f32,
    /// Times that its tasks were there before: each time their minibatches have an order of its own.
    pub visit: u32,
    /// Support examples of a task, where a batch need not be full ([`crate::kernels::Rows`]).
    pub support: u32,
    /// Examples of its minibatches.
    pub rows: u32,
    /// Its queries.
    pub queries: u32,
    /// 1 / numbers that the loss of a minibatch is the mean of.
    pub loss_scale: f32,
    /// 1 / numbers that the loss of the queries is the mean of.
    pub query_scale: f32,
}

impl RunStep {
    /// The step of a run with `seed` that draws tasks of `phase`; rates are set by the caller.
    pub fn new(seed: u64, phase: Phase, axis: Axis) -> Self {
        Self {
            seed: [seed as u32, (seed >> 32) as u32],
            phase: phase as u32,
            iteration: 0,
            adam_steps: 0,
            outer_steps: 1,
            first_task: 0,
            slot: 0,
            inner_rate: 0.0,
            outer_rate: 0.0,
            weight_decay: 1.0,
            tasks_inverse: 1.0 / axis.per_run as f32,
            strategy_rate: 0.0,
            strategy_prior: 0.0,
            entries: 0,
            entries_inverse: 0.0,
            visit: 0,
            support: 0,
            rows: 0,
            queries: 0,
            loss_scale: 0.0,
            query_scale: 0.0,
        }
    }
}

/// A ring of slots; each holds the [`RunStep`] of every run for one meta-iteration.
#[derive(Clone, Debug)]
pub struct RunSteps {
    pub(in crate::dispatch) buffer: wgpu::Buffer,
    runs: usize,
    stride: u64,
    slots: usize,
    /// Slots between the one that a replay names and the one behind it that is read.
    behind: usize,
}

impl RunSteps {
    /// A ring of `slots` for `runs` runs.
    ///
    /// # Errors
    /// [`Error::Config`] for 0 runs, [`Error::Limit`] if the device has no room for it.
    pub fn new(gpu: &Gpu, runs: usize, slots: usize) -> Result<Self> {
        if runs == 0 {
            return Err(Error::config("runs", "is 0; give 1 or more"));
        }
        let stride = Self::stride(gpu, runs);
        let needed = stride.saturating_mul(slots as u64);
        if needed > u64::from(u32::MAX) {
            return Err(Error::Limit {
                unit: "bytes",
                what: "iteration settings".into(),
                needed,
                available: u32::MAX.into(),
                remedy: "lower the runs, or the tasks of a meta-iteration".into(),
            });
        }
        let buffer = gpu.storage("iteration settings", stride * slots as u64)?;
        Ok(Self { buffer, runs, stride, slots, behind: 0 })
    }

    /// The same ring, read so many slots behind the one that a replay names.
    pub fn behind(&self, slots: usize) -> Self {
        Self { behind: slots, ..self.clone() }
    }

    /// Bytes of a ring of `slots` for `runs` runs.
    pub fn bytes(gpu: &Gpu, runs: usize, slots: usize) -> u64 {
        Self::stride(gpu, runs) * slots as u64
    }

    /// Bytes of a slot.
    fn stride(gpu: &Gpu, runs: usize) -> u64 {
        let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
        ((runs * size_of::<RunStep>()) as u64).next_multiple_of(alignment.max(16))
    }

    /// Writes `slot`, or as many consecutive slots as there are steps for every run; they are seen by
    /// what is submitted afterwards. Returns the first one's offset in bytes, as
    /// [`crate::gpu::Recording::replay`] takes it.
    ///
    /// # Panics
    /// If `steps` are not whole slots inside the ring.
    pub fn write(&self, gpu: &Gpu, slot: usize, steps: &[RunStep]) -> u32 {
        let bytes = self.bytes_of(slot, steps);
        gpu.queue().write_buffer(&self.buffer, self.offset_of(slot).into(), &bytes);
        self.offset_of(slot)
    }

    /// As [`RunSteps::write`], but as a copy in `encoder`: seen by what is recorded into it afterwards alone, whatever is
    /// submitted in between.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device is gone.
    ///
    /// # Panics
    /// If `steps` are not whole slots inside the ring.
    pub fn record(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        slot: usize,
        steps: &[RunStep],
    ) -> Result<u32> {
        let bytes = self.bytes_of(slot, steps);
        let offset = self.offset_of(slot);
        if bytes.is_empty() {
            return Ok(offset);
        }
        let size = bytes.len() as u64;
        let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("iteration settings on their way"),
            size,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        staging
            .get_mapped_range_mut(..)
            .map_err(|error| Error::DeviceLost(error.to_string()))?
            .copy_from_slice(&bytes);
        staging.unmap();
        encoder.copy_buffer_to_buffer(&staging, 0, &self.buffer, offset.into(), Some(size));
        Ok(offset)
    }

    /// Consecutive slots from `slot` on as they lie in the ring.
    fn bytes_of(&self, slot: usize, steps: &[RunStep]) -> Vec<u8> {
        let slots = steps.len() / self.runs;
        assert!(slots * self.runs == steps.len() && slot + slots <= self.slots, "whole slots");
        let mut bytes = vec![0; self.stride as usize * slots];
        let places = bytes.chunks_exact_mut(self.stride as usize);
        for (place, steps) in places.zip(steps.chunks_exact(self.runs)) {
            place[..size_of_val(steps)].copy_from_slice(bytemuck::cast_slice(steps));
        }
        bytes
    }

    /// Where `slot` starts, in bytes.
    pub fn offset_of(&self, slot: usize) -> u32 {
        (self.stride * slot as u64) as u32
    }

    /// Bytes between the slot that a replay names and the one that is read.
    pub(crate) fn offset(&self) -> u32 {
        (self.stride * self.behind as u64) as u32
    }

    pub(crate) fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: 0,
            size: wgpu::BufferSize::new((self.runs * size_of::<RunStep>()) as u64),
        }
    }
}

/// What the kernels of one inner step need to know; twin of the struct in
/// `shaders/lib/inner_step.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct InnerStep {
    /// k: the step inside the inner loop, counted from 0.
    pub index: u32,
    /// Where its minibatch starts in a task's order.
    pub order_start: u32,
    /// 1 if no step of the same segment follows, else 0.
    pub last: u32,
    /// The task of the first batch: tasks may be taken in chunks.
    pub first_task: u32,
}

/// The [`InnerStep`]s of a plan, written once.
#[derive(Clone, Debug)]
pub struct InnerSteps {
    pub(in crate::dispatch) buffer: wgpu::Buffer,
    stride: u64,
}

impl InnerSteps {
    /// Uploads `steps`.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for it.
    pub fn new(gpu: &Gpu, steps: &[InnerStep]) -> Result<Self> {
        let alignment = gpu.device().limits().min_uniform_buffer_offset_alignment as usize;
        let stride = size_of::<InnerStep>().next_multiple_of(alignment);
        let (needed, available) = ((stride * steps.len()) as u64, u64::from(u32::MAX));
        if needed > available {
            let what = "the settings of the inner steps".into();
            let remedy = "lower the inner steps or the tasks".into();
            return Err(Error::Limit { unit: "bytes", what, needed, available, remedy });
        }
        let mut bytes = vec![0; stride * steps.len()];
        for (slot, step) in bytes.chunks_exact_mut(stride).zip(steps) {
            slot[..size_of::<InnerStep>()].copy_from_slice(bytemuck::bytes_of(step));
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("inner steps", bytes.len() as u64, usage)?;
        gpu.queue().write_buffer(&buffer, 0, &bytes);
        Ok(Self { buffer, stride: stride as u64 })
    }

    /// Where step `index` starts, in bytes: what [`crate::gpu::Recording::repeat`] takes.
    pub fn offset_of(&self, index: usize) -> u32 {
        (self.stride * index as u64) as u32
    }
}
