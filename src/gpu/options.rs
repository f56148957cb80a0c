//! How kernels are made.

/// How kernels are made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GpuOptions {
    /// Compiles kernels with bounds checks and loop bounds, and zeroes workgroup memory.
    pub checked: bool,
    /// Keeps marked loops as loops instead of repeating their bodies.
    pub rolled: bool,
    /// Takes the variants that need no optional feature even where better ones could run.
    pub baseline: bool,
    /// Takes the variants for real GPUs on a software device too: slow, and for testing them where no GPU is.
    pub hardware: bool,
}
