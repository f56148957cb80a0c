//! Values on their way to the host: asked for in an encoder, there some time after its submission.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use web_time::Instant;

use crate::error::{Error, Result};
use crate::gpu::context::Gpu;

/// How long another thread may take to say that values are there.
const HEARD: Duration = Duration::from_secs(10);

/// What the device says of a staging buffer, and who waits for it.
#[derive(Debug, Default)]
struct Arrival {
    mapped: Option<Result<(), wgpu::BufferAsyncError>>,
    /// Whether the device will say nothing any more.
    over: bool,
    waker: Option<Waker>,
}

/// What the encoder holds: it goes once the device has answered, or with an encoder that is not submitted.
struct Answer(Arc<Mutex<Arrival>>);

impl Drop for Answer {
    fn drop(&mut self) {
        let waker = {
            let mut arrival = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            arrival.over = true;
            arrival.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What makes values of the bytes.
type Make<T> = Box<dyn FnOnce(&[u8]) -> Result<T> + Send>;

/// Values that the device will have written: asked for when they are recorded, and never waited for unless its owner says so.
/// They arrive after the submission of their encoder while the device is polled, which a program that presents frames does by
/// itself ([`wgpu::Queue::submit`] does), and a browser too.
///
/// [`Pending::try_take`] looks whether they are there; as a future it can be awaited, and then polls the device without
/// blocking; [`Pending::wait`] blocks.
pub struct Pending<T> {
    device: wgpu::Device,
    staging: wgpu::Buffer,
    bytes: u64,
    arrival: Arc<Mutex<Arrival>>,
    /// Until it is taken.
    make: Option<Make<T>>,
    /// Whether it has been awaited.
    gave_way: bool,
}

impl<T> Debug for Pending<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pending").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<T: bytemuck::Pod> Pending<Vec<T>> {
    /// Records the copy of `count` values of `source` from number `offset` on.
    ///
    /// # Errors
    /// [`Error::Config`] if the buffer ends before, [`Error::Limit`] if the device has no room for the staging buffer.
    pub fn record(
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        offset: usize,
        count: usize,
    ) -> Result<Self> {
        Self::record_parts(gpu, encoder, &[(source, offset, count)])
    }

    /// The same of several parts, each of a buffer from a number on and so long, one after the other.
    ///
    /// # Errors
    /// As [`Pending::record`].
    pub fn record_parts(
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        parts: &[(&wgpu::Buffer, usize, usize)],
    ) -> Result<Self> {
        let size = size_of::<T>() as u64;
        for (source, offset, count) in parts {
            let end = (*offset as u64).saturating_add(*count as u64).saturating_mul(size);
            if end > source.size() {
                let bytes = source.size();
                let message =
                    format!("{end} bytes are to be read of a buffer of {bytes}; read fewer");
                return Err(Error::config("buffer", message));
            }
        }
        let bytes = parts.iter().map(|(.., count)| *count as u64 * size).sum();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.buffer("values for the host", bytes, usage)?;
        let mut place = 0;
        for (source, offset, count) in parts {
            let (offset, bytes) = (*offset as u64 * size, *count as u64 * size);
            encoder.copy_buffer_to_buffer(source, offset, &staging, place, Some(bytes));
            place += bytes;
        }
        let arrival = Arc::<Mutex<Arrival>>::default();
        let answer = Answer(arrival.clone());
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
            answer.0.lock().unwrap_or_else(PoisonError::into_inner).mapped = Some(result);
        });
        let make = Some(Box::new(|bytes: &[u8]| Ok(bytemuck::pod_collect_to_vec(bytes))) as _);
        Ok(Self { device: gpu.device().clone(), staging, bytes, arrival, make, gave_way: false })
    }
}

impl<T: 'static> Pending<T> {
    /// The same values as `then` makes of them.
    pub fn and_then<U: 'static>(
        mut self,
        then: impl FnOnce(T) -> Result<U> + Send + 'static,
    ) -> Pending<U> {
        let make = self.make.take();
        let make = make.map(|make| Box::new(move |bytes: &[u8]| then(make(bytes)?)) as Make<U>);
        let Self { device, staging, bytes, arrival, .. } = self;
        Pending { device, staging, bytes, arrival, make, gave_way: false }
    }
}

impl<T> Pending<T> {
    /// The values, once they are there; nothing before. Neither polls nor waits.
    ///
    /// # Errors
    /// [`Error::Config`] if they were taken before, or their encoder was dropped and not submitted; [`Error::DeviceLost`].
    pub fn try_take(&mut self) -> Option<Result<T>> {
        let (mapped, over) = {
            let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
            (arrival.mapped.take(), arrival.over)
        };
        Some(match mapped {
            Some(Ok(())) => self.make(),
            Some(Err(error)) => Err(Error::DeviceLost(error.to_string())),
            None if self.make.is_none() => Err(taken()),
            None if over => {
                let message = "the encoder that asks for the values was dropped and not submitted; ask in \
                               another";
                Err(Error::config("pending", message))
            }
            None => return None,
        })
    }

    fn make(&mut self) -> Result<T> {
        let lost = |message: String| Error::DeviceLost(message);
        let make = self.make.take().ok_or_else(taken)?;
        let view = self
            .staging
            .slice(..self.bytes)
            .get_mapped_range()
            .map_err(|error| lost(error.to_string()))?;
        make(&view)
    }

    /// Waits for `submission` (or for everything) and hands the values over.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device does not answer, or the encoder was not submitted.
    pub fn wait(mut self, gpu: &Gpu, submission: Option<wgpu::SubmissionIndex>) -> Result<T> {
        gpu.poll(submission)?;
        // Where another thread polls the same device, it may be about to say that they are there.
        let began = Instant::now();
        loop {
            match self.try_take() {
                Some(taken) => return taken,
                None if began.elapsed() < HEARD => std::thread::yield_now(),
                None => return Err(Error::DeviceLost("the values never arrived".into())),
            }
        }
    }
}

fn taken() -> Error {
    Error::config("pending", "the values were taken before; ask again")
}

impl<T> Unpin for Pending<T> {}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // However fast the device is, other tasks run in between.
        if !std::mem::replace(&mut this.gave_way, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Err(error) = this.device.poll(wgpu::PollType::Poll) {
            return Poll::Ready(Err(Error::DeviceLost(error.to_string())));
        }
        this.arrival.lock().unwrap_or_else(PoisonError::into_inner).waker =
            Some(context.waker().clone());
        match this.try_take() {
            Some(values) => Poll::Ready(values),
            None => {
                // Nobody else may poll the device; a browser does by itself.
                #[cfg(not(target_arch = "wasm32"))]
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
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
        self.answer(|encoder| Pending::record(self, encoder, buffer, offset, count))
    }

    /// The async twin of [`Gpu::read`]: submits, and awaits the values.
    ///
    /// # Errors
    /// [`Error::Config`] if the buffer ends before, [`Error::DeviceLost`] if the device is lost.
    pub async fn read_async<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        offset: usize,
        count: usize,
    ) -> Result<Vec<T>> {
        self.answer_async(|encoder| Pending::record(self, encoder, buffer, offset, count)).await
    }

    /// Submits what `ask` records, and waits for what it asks for.
    ///
    /// # Errors
    /// Those of `ask`, and [`Error::DeviceLost`] if the device does not answer.
    pub fn answer<T>(
        &self,
        ask: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Pending<T>>,
    ) -> Result<T> {
        let (pending, submission) = self.ask(ask)?;
        pending.wait(self, Some(submission))
    }

    /// Submits what `ask` records; a device that is lost is an error here, and not the program's end.
    pub(crate) fn ask<T>(
        &self,
        ask: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<T>,
    ) -> Result<(T, wgpu::SubmissionIndex)> {
        self.guarded(|| {
            let mut encoder = self.device().create_command_encoder(&Default::default());
            let asked = ask(&mut encoder)?;
            Ok((asked, self.submit(encoder.finish())))
        })
    }

    /// The async twin of [`Gpu::answer`].
    ///
    /// # Errors
    /// Those of `ask`, and [`Error::DeviceLost`] if the device is lost.
    pub async fn answer_async<T>(
        &self,
        ask: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Pending<T>>,
    ) -> Result<T> {
        self.ask(ask)?.0.await
    }
}
