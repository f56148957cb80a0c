//! Error scopes: natively their errors are there at once, in a browser they arrive later and are kept until somebody awaits
//! them.

use crate::error::{Error, Result};

/// What became of the scopes of a device.
#[derive(Default)]
pub(super) struct ErrorScopes {
    /// Those whose errors have not arrived yet.
    #[cfg(target_arch = "wasm32")]
    waiting: std::sync::Mutex<Vec<Waiting>>,
}

/// A scope, and what an error in it means.
#[cfg(target_arch = "wasm32")]
type Waiting = (
    std::pin::Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>,
    Box<dyn FnOnce(wgpu::Error) -> Error>,
);

impl std::fmt::Debug for ErrorScopes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ErrorScopes")
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl ErrorScopes {
    /// Ends `scope`: an error in it is the one that `error` makes of it.
    pub fn end(
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

    /// Natively [`ErrorScopes::end`] has returned all.
    pub async fn settled(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
impl ErrorScopes {
    /// Ends `scope`: an error in it is the one that `error` makes of it, which [`ErrorScopes::settled`] returns.
    pub fn end(
        &self,
        scope: wgpu::ErrorScopeGuard,
        error: impl FnOnce(wgpu::Error) -> Error + 'static,
    ) -> Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        waiting.push((Box::pin(scope.pop()), Box::new(error)));
        Ok(())
    }

    /// Awaits all scopes that ended, and returns the first error.
    pub async fn settled(&self) -> Result<()> {
        let waiting = std::mem::take(
            &mut *self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        let mut first = Ok(());
        for (scope, error) in waiting {
            if let Some(found) = scope.await
                && first.is_ok()
            {
                first = Err(error(found));
            }
        }
        first
    }
}
