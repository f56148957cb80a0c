//! `shaders/lib/ordered_sum.wgsl` and `ordered_sum_workgroup.wgsl`: how a kernel sums parameter sets in their order.

use crate::error::Result;
use crate::gpu::{Gpu, Source};
use crate::kernels::BLOCK;

/// Invocations of a workgroup whose loads are those of [`ACROSS`] sums.
const INVOCATIONS: usize = 256;

/// Its sums, of a vector each: a row of 128 bytes of each set.
const ACROSS: usize = 8;

/// Sets that its invocations load at once; they fill its 16 KiB of workgroup memory.
const ROUND: usize = 128;

/// Sets from which on that pays (docs/kernels.md).
const LEAST_SETS: usize = 32;

/// Sums that keep a GPU's memory busy with one load after the other of each.
const MOST_SUMS: usize = 1 << 15;

/// How a kernel sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderedSum {
    block: usize,
    across: usize,
    library: &'static str,
}

impl OrderedSum {
    /// For sums of so many sets, `vectors` of each run.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with `key` if the driver would end the sums early.
    pub fn new(
        gpu: &Gpu,
        kernel: &str,
        [runs, vectors, sets]: [usize; 3],
        key: &str,
    ) -> Result<Self> {
        let profile = gpu.profile();
        let shared = !profile.software
            && sets >= LEAST_SETS
            && runs * vectors <= MOST_SUMS
            && profile.largest_workgroup as usize >= INVOCATIONS;
        let rounds = if shared { sets + sets.div_ceil(ROUND) } else { sets };
        profile.check_rounds(kernel, rounds, key)?;
        Ok(if shared {
            let library = shader!("lib/ordered_sum_workgroup.wgsl");
            Self { block: INVOCATIONS, across: ACROSS, library }
        } else {
            Self { block: BLOCK, across: BLOCK, library: shader!("lib/ordered_sum.wgsl") }
        })
    }

    /// Workgroups for so many vectors.
    pub fn groups(self, vectors: usize) -> usize {
        vectors.div_ceil(self.across)
    }

    /// Vectors of these workgroups.
    pub fn filled(self, vectors: usize) -> usize {
        self.groups(vectors) * self.across
    }

    /// The source with the library and its constants.
    pub fn of(self, source: Source) -> Source {
        source.constant("BLOCK", self.block).constant("ACROSS", self.across).library(self.library)
    }
}
