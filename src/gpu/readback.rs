//! Bringing bytes back to the host.

use std::sync::mpsc;

use crate::error::{Error, Result};
use crate::gpu::context::Gpu;

/// A staging buffer on its way back: filled by the submission that it was recorded into.
#[derive(Debug)]
pub struct Readback {
    staging: wgpu::Buffer,
    bytes: u64,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Records the copy of `bytes` from `source` at `offset`; mapping starts with the submission
    /// of `encoder`. Both numbers are multiples of four.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for the staging buffer.
    pub fn record(
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.buffer("readback", bytes, usage)?;
        encoder.copy_buffer_to_buffer(source, offset, &staging, 0, Some(bytes));
        let (sender, mapped) = mpsc::channel();
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only if nobody wants the bytes any more.
            let _ = sender.send(result);
        });
        Ok(Self { staging, bytes, mapped })
    }

    /// Waits for `submission` (or for everything) and hands the values over.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device does not answer.
    pub fn wait<T: bytemuck::Pod>(
        self,
        gpu: &Gpu,
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Result<Vec<T>> {
        gpu.poll(submission)?;
        match self.mapped.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Error::DeviceLost(error.to_string())),
            Err(_) => return Err(Error::DeviceLost("a readback never arrived".into())),
        }
        let view = self
            .staging
            .slice(..self.bytes)
            .get_mapped_range()
            .map_err(|error| Error::DeviceLost(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }
}

impl Gpu {
    /// Submits, waits and returns all values of `buffer` between `offset` and `offset + count`
    /// (in elements of `T`).
    ///
    /// # Errors
    /// [`Error::Config`] if the buffer ends before, [`Error::DeviceLost`] if the device does not answer.
    pub fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        offset: usize,
        count: usize,
    ) -> Result<Vec<T>> {
        let size = size_of::<T>() as u64;
        let end = (offset as u64).saturating_add(count as u64).saturating_mul(size);
        if end > buffer.size() {
            let message =
                format!("{end} bytes are to be read of a buffer of {}; read fewer", buffer.size());
            return Err(Error::config("buffer", message));
        }
        let mut encoder = self.device().create_command_encoder(&Default::default());
        let readback = Readback::record(
            self,
            &mut encoder,
            buffer,
            offset as u64 * size,
            count as u64 * size,
        )?;
        let submission = self.queue().submit([encoder.finish()]);
        readback.wait(self, Some(submission))
    }
}
