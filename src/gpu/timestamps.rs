//! Times by the device's own clock.

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::pending::Pending;
use crate::gpu::recording::Recording;
use crate::gpu::waiting::{Wait, now};

/// Dispatches that one query set times: two timestamps each.
const DISPATCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

/// Moments of an encoder.
pub(crate) struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    count: u32,
}

impl Gpu {
    /// Room for `count` moments; the device must have timestamps.
    pub(crate) fn stamps(&self, name: &'static str, count: u32) -> Result<Stamps> {
        let set = self.device().create_query_set(&wgpu::QuerySetDescriptor {
            label: Some(name),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        Ok(Stamps { set, resolved: self.buffer(name, 8 * u64::from(count), usage)?, count })
    }
}

impl Stamps {
    /// A pass whose begin (if it is given) and end are these moments.
    fn pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        begin: Option<u32>,
        end: u32,
    ) -> wgpu::ComputePass<'a> {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("one dispatch"),
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.set,
                beginning_of_pass_write_index: begin,
                end_of_pass_write_index: Some(end),
            }),
        })
    }

    /// Moment `index`, in a pass that does nothing.
    pub fn write(&self, encoder: &mut wgpu::CommandEncoder, index: u32) {
        drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("a moment"),
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.set,
                beginning_of_pass_write_index: Some(index),
                end_of_pass_write_index: None,
            }),
        }));
    }

    /// Asks for all moments, in periods of the queue's timestamps.
    pub fn ask(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> Result<Pending<Vec<u64>>> {
        encoder.resolve_query_set(&self.set, 0..self.count, &self.resolved, 0);
        Pending::record(gpu, encoder, &self.resolved, 0, self.count as usize)
    }
}

impl Recording {
    /// Replays every dispatch in a pass of its own, waits, and returns how long the device took for
    /// each (with the mirrors that are copied for it), in seconds; none if the device has no timestamps. The list is run once, as by
    /// [`Recording::replay`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn time_each(&self, gpu: &Gpu, iteration_offset: u32) -> Result<Option<Vec<f64>>> {
        now(self.time_each_by(Wait::Blocking, gpu, iteration_offset))
    }

    /// The async twin of [`Recording::time_each`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn time_each_async(
        &self,
        gpu: &Gpu,
        iteration_offset: u32,
    ) -> Result<Option<Vec<f64>>> {
        self.time_each_by(Wait::Awaiting, gpu, iteration_offset).await
    }

    /// Either of them.
    pub(crate) async fn time_each_by(
        &self,
        wait: Wait,
        gpu: &Gpu,
        iteration_offset: u32,
    ) -> Result<Option<Vec<f64>>> {
        if !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let period = 1e-9 * f64::from(gpu.queue().get_timestamp_period());
        let mut seconds = Vec::with_capacity(self.len());
        for first in (0..self.len()).step_by(DISPATCHES) {
            let part = first..self.len().min(first + DISPATCHES);
            let stamps = gpu.stamps("dispatch times", 2 * part.len() as u32)?;
            let ask = |encoder: &mut wgpu::CommandEncoder| {
                for (place, dispatch) in part.enumerate() {
                    let begin = 2 * place as u32;
                    let copies = self.has_copies(dispatch);
                    if copies {
                        stamps.write(encoder, begin);
                        self.copy_mirrors(encoder, dispatch);
                    }
                    let begin = (!copies).then_some(begin);
                    let mut pass = stamps.pass(encoder, begin, 2 * place as u32 + 1);
                    self.encode(&mut pass, iteration_offset, dispatch);
                }
                stamps.ask(gpu, encoder)
            };
            let times = wait.answer(gpu, ask).await?;
            let pairs = times.chunks_exact(2);
            seconds.extend(pairs.map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period));
        }
        Ok(Some(seconds))
    }
}
