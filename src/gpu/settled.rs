//! Error scopes: natively their errors are there at once, in a browser they arrive later and are kept until somebody awaits
//! them.

use crate::error::{Error, Result};
use crate::gpu::context::Gpu;

/// Errors that have not arrived yet.
#[cfg(target_arch = "wasm32")]
#[derive(Default)]
pub(super) struct Unsettled {
    scopes: std::sync::Mutex<Vec<Scope>>,
}

/// A scope, and what an error in it means.
#[cfg(target_arch = "wasm32")]
type Scope = (
    std::pin::Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>,
    Box<dyn FnOnce(wgpu::Error) -> Error>,
);

#[cfg(target_arch = "wasm32")]
impl std::fmt::Debug for Unsettled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Unsettled")
    }
}

impl Gpu {
    /// Ends `scope`: an error in it is the one that `error` makes of it. In a browser [`Gpu::settled`] has it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn settle(
        &self,
        scope: wgpu::ErrorScopeGuard,
        error: impl FnOnce(wgpu::Error) -> Error + 'static,
    ) -> Result<()> {
        // Ready at once: the native device keeps its errors itself.
        match pollster::block_on(scope.pop()) {
            None => Ok(()),
            Some(found) => Err(error(found)),
        }
    }

    /// Ends `scope`: an error in it is the one that `error` makes of it, which [`Gpu::settled`] has.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn settle(
        &self,
        scope: wgpu::ErrorScopeGuard,
        error: impl FnOnce(wgpu::Error) -> Error + 'static,
    ) -> Result<()> {
        let mut scopes =
            self.unsettled().scopes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        scopes.push((Box::pin(scope.pop()), Box::new(error)));
        Ok(())
    }

    /// Waits in a browser for what the device says of the buffers and kernels that were made so far. Natively every call
    /// returns its errors itself.
    ///
    /// # Errors
    /// The first of them.
    pub async fn settled(&self) -> Result<()> {
        #[cfg(target_arch = "wasm32")]
        {
            let scopes = std::mem::take(
                &mut *self
                    .unsettled()
                    .scopes
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
            );
            let mut first = Ok(());
            for (scope, error) in scopes {
                if let Some(found) = scope.await
                    && first.is_ok()
                {
                    first = Err(error(found));
                }
            }
            return first;
        }
        #[cfg(not(target_arch = "wasm32"))]
        Ok(())
    }
}
