//! The device's own ceilings: multiply-adds and bytes a second.

use crate::error::Result;
use crate::experiments::bench::report::Ceilings;
use crate::experiments::bench::timing::{Effort, Timing};
use crate::gpu::{Gpu, Recording};
use crate::kernels::{ceiling_copy, ceiling_multiply_add};

/// Workgroups of the multiply-adds: enough invocations to fill a large GPU.
const WORKGROUPS: usize = 2048;
/// Their rounds: a millisecond on a GPU, 0.1 s on a CPU that plays GPU.
const ROUNDS: usize = 256;
const SOFTWARE_ROUNDS: usize = 32;
/// Vectors that are copied: 60 MiB, more than caches hold, in one grid.
const COPIED: usize = 60 << 16;

impl Ceilings {
    /// Measures both; the fastest repeat counts.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room, [`crate::Error::DeviceLost`].
    pub fn measure(gpu: &Gpu, effort: Effort) -> Result<Self> {
        let mut products = Recording::default();
        let result = gpu.storage("multiply-adds", (WORKGROUPS * 64 * 16) as u64)?;
        let rounds = if gpu.profile().software { SOFTWARE_ROUNDS } else { ROUNDS };
        ceiling_multiply_add(gpu, &mut products, [WORKGROUPS, rounds], &result)?;
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
