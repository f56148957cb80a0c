//! One code for methods that block and for their async twins.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::pending::Pending;

/// How a method waits for the device. Its code is an `async fn` that is told which; where that blocks, it is ready at once,
/// for [`now`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until the device is done.
    Blocking,
    /// As a future, which polls the device.
    Awaiting,
}

impl Wait {
    /// [`Gpu::wait`] or its twin.
    pub async fn until_done(self, gpu: &Gpu) -> Result<()> {
        match self {
            Self::Blocking => gpu.wait(),
            Self::Awaiting => gpu.wait_async().await,
        }
    }

    /// As [`Gpu::answer`] or its twin.
    pub async fn answer<T>(
        self,
        gpu: &Gpu,
        ask: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Pending<T>>,
    ) -> Result<T> {
        let (pending, submission) = gpu.ask(ask)?;
        self.take(gpu, pending, submission).await
    }

    /// The values that `submission` brings.
    pub async fn take<T>(
        self,
        gpu: &Gpu,
        pending: Pending<T>,
        submission: wgpu::SubmissionIndex,
    ) -> Result<T> {
        match self {
            Self::Blocking => pending.wait(gpu, Some(submission)),
            Self::Awaiting => pending.await,
        }
    }

    /// [`Gpu::read`] or its twin.
    pub async fn read<T: bytemuck::Pod>(
        self,
        gpu: &Gpu,
        buffer: &wgpu::Buffer,
        offset: usize,
        count: usize,
    ) -> Result<Vec<T>> {
        self.answer(gpu, |encoder| Pending::record(gpu, encoder, buffer, offset, count)).await
    }
}

/// What a future comes to that waits by [`Wait::Blocking`].
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("what blocks is ready at once"),
    }
}

impl Gpu {
    /// The async twin of [`Gpu::wait`]: everything submitted so far has run then.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if the device is lost.
    pub async fn wait_async(&self) -> Result<()> {
        // The device does what is submitted in its order: a copy from one buffer to another comes last.
        let moment = self.buffer("a moment", 4, wgpu::BufferUsages::COPY_SRC)?;
        self.read_async::<u32>(&moment, 0, 1).await.map(|_| ())
    }
}
