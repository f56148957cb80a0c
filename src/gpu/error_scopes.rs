//! Error scopes: natively their errors are there at once, in a browser they arrive later and are kept until somebody awaits
//! them.

use crate::error::{Error, Result};

/// What became of the scopes of a device.
#[derive(Debug, Default)]
pub(super) struct ErrorScopes {
    /// Who they are of.
    #[cfg(target_arch = "wasm32")]
    owner: browser::Owner,
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
        // Popped now: what is made behind it is not in it.
        let popped = scope.pop();
        self.owner.keep(Box::pin(async move { popped.await.map(error) }));
        Ok(())
    }

    /// Awaits all scopes that ended, and returns the first error.
    pub async fn settled(&self) -> Result<()> {
        let mut first = Ok(());
        for waiting in self.owner.take() {
            if let Some(error) = waiting.await
                && first.is_ok()
            {
                first = Err(error);
            }
        }
        first
    }
}

/// A page's scopes stay on the thread that ended them, so that a device may be shared between threads.
#[cfg(target_arch = "wasm32")]
mod browser {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::error::Error;

    type Waiting = Pin<Box<dyn Future<Output = Option<Error>>>>;

    thread_local! {
        static WAITING: RefCell<Vec<(u32, Waiting)>> = const { RefCell::new(Vec::new()) };
    }

    /// A device, by its number.
    #[derive(Debug)]
    pub struct Owner(u32);

    impl Default for Owner {
        fn default() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            Self(NEXT.fetch_add(1, Ordering::Relaxed))
        }
    }

    impl Owner {
        pub fn keep(&self, waiting: Waiting) {
            WAITING.with_borrow_mut(|all| all.push((self.0, waiting)));
        }

        pub fn take(&self) -> Vec<Waiting> {
            WAITING.with_borrow_mut(|all| {
                let own = all.extract_if(.., |(owner, _)| *owner == self.0);
                own.map(|(_, waiting)| waiting).collect()
            })
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            drop(self.take());
        }
    }
}
