//! The device's own ceilings: multiply-adds and bytes a second.

use crate::bench::report::Ceilings;
use crate::bench::timing::{Effort, Timing};
use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::kernels::{ceiling_copy, ceiling_multiply_add};

/// Workgroups and rounds of the multiply-adds: enough invocations to fill a large GPU.
const MULTIPLY_ADDS: [usize; 2] = [2048, 256];
/// Vectors that are copied: 60 MiB, more than caches hold, in one grid.
const COPIED: usize = 60 << 16;

impl Ceilings {
    /// Measures both; the fastest repeat counts.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room, [`crate::Error::DeviceLost`].
    pub fn measure(gpu: &Gpu, effort: Effort) -> Result<Self> {
        let mut products = Recording::default();
        let result = gpu.storage("multiply-adds", (MULTIPLY_ADDS[0] * 64 * 16) as u64)?;
        ceiling_multiply_add(gpu, &mut products, MULTIPLY_ADDS, &result)?;
        let mut copies = Recording::default();
        let buffers = [
            gpu.storage("copied from", 16 * COPIED as u64)?,
            gpu.storage("copied to", 16 * COPIED as u64)?,
        ];
        ceiling_copy(gpu, &mut copies, COPIED, [&buffers[0], &buffers[1]])?;
        let flops = products.work().operations as f64;
        let bytes = copies.work().bytes as f64;
        let time = |recording: &Recording| {
            Timing::of(effort, |iterations| recording.run_times(gpu, iterations))
        };
        let (products, copies) = (time(&products)?, time(&copies)?);
        Ok(Self {
            flops: flops / products.minimum,
            bytes: bytes / copies.minimum,
            by_processor_time: gpu
                .profile()
                .software
                .then(|| [flops / products.cpu, bytes / copies.cpu]),
        })
    }
}
