//! Pipelines that are compiled one by one, so that a program can show how far it is and keeps drawing.

use std::sync::Arc;
use std::task::Poll;

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::kernel::Kernel;

/// Something whose kernels are recorded and not all compiled yet.
///
/// A program that draws frames calls [`Preparing::step`] once a frame; one with an async runtime awaits
/// [`Preparing::ready`]; [`Preparing::finish`] compiles the rest at once.
#[derive(Debug)]
pub struct Preparing<T> {
    gpu: Gpu,
    made: T,
    waiting: Vec<Arc<Kernel>>,
    all: usize,
}

impl<T> Preparing<T> {
    /// What `make` makes of a device that does not compile kernels at once; it must not let them run.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn new(gpu: &Gpu, make: impl FnOnce(&Gpu) -> Result<T>) -> Result<Self> {
        let made = make(&gpu.deferring())?;
        let waiting = gpu.waiting_kernels();
        Ok(Self { gpu: gpu.clone(), made, all: waiting.len(), waiting })
    }

    /// The same after `change`, which must not let kernels run.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) async fn with(
        mut self,
        change: impl AsyncFnOnce(&mut T) -> Result<()>,
    ) -> Result<Self> {
        change(&mut self.made).await?;
        Ok(self)
    }

    /// How many pipelines are compiled, and of how many.
    pub fn progress(&self) -> (usize, usize) {
        (self.all - self.waiting.len(), self.all)
    }

    /// Compiles one more pipeline, and says whether all are: some milliseconds on a real GPU, up to some hundred on a
    /// software driver.
    ///
    /// # Errors
    /// [`Error::Shader`](crate::Error::Shader) if the device refuses a kernel, then and at every further call.
    pub fn step(&mut self) -> Result<bool> {
        if let Some(kernel) = self.waiting.last() {
            self.gpu.compile(kernel)?;
            self.waiting.pop();
        }
        Ok(self.waiting.is_empty())
    }

    /// Compiles the rest.
    ///
    /// # Errors
    /// As [`Preparing::step`].
    pub fn finish(mut self) -> Result<T> {
        while !self.step()? {}
        Ok(self.made)
    }

    /// Compiles the rest, and lets other tasks run between one pipeline and the next; `progress` is told how many are done,
    /// and of how many.
    ///
    /// # Errors
    /// As [`Preparing::step`].
    pub async fn ready(mut self, mut progress: impl FnMut(usize, usize)) -> Result<T> {
        loop {
            let done = self.step()?;
            let (compiled, all) = self.progress();
            progress(compiled, all);
            if done {
                break;
            }
            other_tasks().await;
        }
        self.gpu.settled().await?;
        Ok(self.made)
    }
}

/// Gives way once.
async fn other_tasks() {
    let mut given_way = false;
    std::future::poll_fn(|context| {
        if given_way {
            return Poll::Ready(());
        }
        given_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
