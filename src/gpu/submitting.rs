//! The one place that submits commands.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::gpu::context::Gpu;

/// The environment variable under which the process loses its device, for tests: right before the submission of this
/// number, counted from 1.
const LOSE_AT: &str = "REPTILE_LOSE_DEVICE_AT";

impl Gpu {
    /// Submits `commands`.
    pub(crate) fn submit(&self, commands: wgpu::CommandBuffer) -> wgpu::SubmissionIndex {
        if let Some(at) = lost_at() {
            static SUBMITTED: AtomicU64 = AtomicU64::new(0);
            if SUBMITTED.fetch_add(1, Ordering::Relaxed) + 1 == at {
                self.device().destroy();
            }
        }
        self.queue().submit([commands])
    }
}

/// What [`LOSE_AT`] says.
fn lost_at() -> Option<u64> {
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    *AT.get_or_init(|| std::env::var(LOSE_AT).ok()?.parse().ok())
}
