//! `shaders/compress.wgsl`, `shaders/decompress.wgsl` and `shaders/largest.wgsl`: T parameter sets as
//! differences from a base.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::{Argument, BLOCK, call};

/// Invocations that look for the largest differences: one a digit.
const DIGITS: usize = 256;
/// Groups in a row of the grid.
const GROUPS_X: usize = 1 << 15;

/// How differences are cut into groups, and of how many bits they are.
#[derive(Clone, Copy, Debug)]
pub struct Coding<'a> {
    /// 16, 8, 4 or 1.
    pub bits: usize,
    /// Parameter sets T.
    pub sets: usize,
    /// Numbers of a set.
    pub parameters: usize,
    /// Groups of a set, each of consecutive numbers of one tensor.
    pub groups: usize,
    /// Elements of the largest group.
    pub largest: usize,
    /// Words of a coded set.
    pub words: usize,
    /// `[parameters]`
    pub base: &'a wgpu::Buffer,
    /// [groups + 1]: first element and first word of each.
    pub table: &'a wgpu::Buffer,
    /// `[T, words]`
    pub codes: &'a wgpu::Buffer,
    /// `[T, groups]`
    pub scales: &'a wgpu::Buffer,
    /// `[T, parameters]`
    pub values: &'a wgpu::Buffer,
}

impl Coding<'_> {
    fn source(&self, name: &'static str, text: &'static str) -> Source {
        Source::new(name, text)
            .constant("BLOCK", BLOCK)
            .constant("BITS", self.bits)
            .constant("PARAMETERS", self.parameters)
            .constant("GROUPS", self.groups)
            .constant("GROUPS_X", GROUPS_X.min(self.groups))
            .constant("WORDS", self.words)
    }

    fn grid(&self) -> [usize; 3] {
        let row = GROUPS_X.min(self.groups);
        [row, self.groups.div_ceil(row), self.sets]
    }

    /// The base and, for each set, values, codes and scales.
    fn work(&self) -> Work {
        Work::words(self.parameters + self.sets * (self.parameters + self.words + self.groups))
    }

    fn check_rounds(&self, gpu: &Gpu, name: &'static str) -> Result<()> {
        let rounds = self.largest.div_ceil(BLOCK) * (2 + 32 / self.bits);
        gpu.profile().check_rounds(name, rounds, "the layers' sizes, or take another codec")
    }
}

/// Records codes and scales of the differences of `values` from the base.
///
/// # Errors
/// See [`call`].
pub fn compress(gpu: &Gpu, recording: &mut Recording, c: &Coding<'_>) -> Result<()> {
    c.check_rounds(gpu, "compress")?;
    let source = c.source("compress", shader!("compress.wgsl"));
    let arguments = [
        Argument::Buffer("base", c.base),
        Argument::Buffer("sets", c.values),
        Argument::Buffer("groups", c.table),
        Argument::Buffer("codes", c.codes),
        Argument::Buffer("scales", c.scales),
    ];
    call(gpu, recording, &source, &arguments, c.grid(), c.work())
}

/// Records the `values` that codes and scales stand for.
///
/// # Errors
/// See [`call`].
pub fn decompress(gpu: &Gpu, recording: &mut Recording, c: &Coding<'_>) -> Result<()> {
    c.check_rounds(gpu, "decompress")?;
    let source = c.source("decompress", shader!("decompress.wgsl"));
    let arguments = [
        Argument::Buffer("base", c.base),
        Argument::Buffer("groups", c.table),
        Argument::Buffer("codes", c.codes),
        Argument::Buffer("scales", c.scales),
        Argument::Buffer("sets", c.values),
    ];
    call(gpu, recording, &source, &arguments, c.grid(), c.work())
}

/// Records the bits of the size of the `kept`-th largest difference of each of `sets` sets of `parameters`
/// numbers: `values` `[T, parameters]`, `base` `[parameters]`, `thresholds` `[T]`.
///
/// # Errors
/// See [`call`].
pub fn largest(
    gpu: &Gpu,
    recording: &mut Recording,
    [sets, parameters, kept]: [usize; 3],
    base: &wgpu::Buffer,
    values: &wgpu::Buffer,
    thresholds: &wgpu::Buffer,
) -> Result<()> {
    let rounds = 4 * (parameters.div_ceil(DIGITS) + DIGITS + 1);
    gpu.profile().check_rounds("largest", rounds, "the layers' sizes, or take another codec")?;
    let source = Source::new("largest", shader!("largest.wgsl"))
        .constant("BLOCK", DIGITS)
        .constant("PARAMETERS", parameters)
        .constant("KEPT", kept);
    let arguments = [
        Argument::Buffer("base", base),
        Argument::Buffer("sets", values),
        Argument::Buffer("thresholds", thresholds),
    ];
    let work = Work::words((1 + sets) * parameters + sets);
    call(gpu, recording, &source, &arguments, [sets, 1, 1], work)
}
