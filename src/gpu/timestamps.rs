//! Device time of single dispatches.

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::recording::Recording;

/// Dispatches that one query set times: two timestamps each.
const DISPATCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

impl Recording {
    /// Replays every dispatch in a pass of its own, waits, and returns how long the device took for
    /// each, in seconds; none if the device has no timestamps. The list is run once, as by
    /// [`Recording::replay`].
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device does not answer.
    pub fn time_each(&self, gpu: &Gpu, iteration_offset: u32) -> Result<Option<Vec<f64>>> {
        if !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let period = 1e-9 * f64::from(gpu.queue().get_timestamp_period());
        let mut seconds = Vec::with_capacity(self.len());
        for first in (0..self.len()).step_by(DISPATCHES) {
            let part = first..self.len().min(first + DISPATCHES);
            let queries = 2 * part.len() as u32;
            let set = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("dispatch times"),
                ty: wgpu::QueryType::Timestamp,
                count: queries,
            });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let resolved = gpu.buffer("dispatch times", 8 * u64::from(queries), usage)?;
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            for (place, dispatch) in part.enumerate() {
                let begin = 2 * place as u32;
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some("one dispatch"),
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &set,
                        beginning_of_pass_write_index: Some(begin),
                        end_of_pass_write_index: Some(begin + 1),
                    }),
                });
                self.replay_part(&mut pass, iteration_offset, dispatch..dispatch + 1);
            }
            encoder.resolve_query_set(&set, 0..queries, &resolved, 0);
            gpu.queue().submit([encoder.finish()]);
            let times: Vec<u64> = gpu.read(&resolved, 0, queries as usize)?;
            let pairs = times.chunks_exact(2);
            seconds.extend(pairs.map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period));
        }
        Ok(Some(seconds))
    }
}
