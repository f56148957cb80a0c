//! How many invocations share a column of the kernels that sum along columns (`shaders/lib/column_sums.wgsl`).

use crate::error::Result;
use crate::gpu::{Gpu, Profile, Source};

/// Workgroups below which a large GPU has idle multiprocessors.
pub(crate) const BUSY: usize = 128;

/// Adds the sums along `columns` columns of `rows` rows each, which a kernel walks down twice in each of `count` batches,
/// and says how many workgroups a batch takes. An invocation may keep `kept` vectors of a row between its two walks.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end a walk down a column early.
pub(crate) fn with_columns(
    gpu: &Gpu,
    source: Source,
    [count, rows, columns]: [usize; 3],
    kept: usize,
) -> Result<(Source, usize)> {
    let rounds = |slices: usize| 2 * rows.div_ceil(slices) + slices;
    let profile = gpu.profile();
    // On a CPU that plays GPU a lane walks down its whole column, if it may; elsewhere many share one.
    let (lanes, slices) = match profile.broadcast_lanes() {
        Some(lanes) => {
            let most = profile.loop_rounds.unwrap_or(usize::MAX);
            let enough = (0..5).map(|n| 1_usize << n).find(|slices| rounds(*slices) <= most);
            (lanes as usize, enough.unwrap_or(32).min(256 / lanes as usize))
        }
        None if profile.software => (8, 32),
        // Vectors of four columns are read at once, and fewer where workgroups are few: columns alone have no order.
        None => {
            let large = profile.largest_workgroup >= 1024 && profile.workgroup_memory >= 32 << 10;
            let lanes = [4, 2].into_iter().find(|lanes| count * columns.div_ceil(*lanes) >= BUSY);
            let slices = rows.next_power_of_two().clamp(32, if large { 256 } else { 64 });
            (lanes.unwrap_or(1), slices)
        }
    };
    profile.check_rounds(source.name(), rounds(slices), "inner.batch or tasks.shots")?;
    let source = source
        .library(shader!("lib/column_sums.wgsl"))
        .constant("COLUMN_LANES", lanes)
        .constant("SLICES", slices)
        .constant("HELD", held(profile, rows.div_ceil(slices), lanes * slices, kept));
    Ok((source, columns.div_ceil(lanes)))
}

/// Rows of its column that an invocation keeps, of `rows` rows and `kept` vectors of each: on a real GPU as many as have room
/// in registers.
fn held(profile: &Profile, rows: usize, invocations: usize, kept: usize) -> usize {
    let vectors = if invocations > 512 { 8 } else { 16 };
    match kept {
        1.. if !profile.software => rows.min(vectors / kept),
        _ => 0,
    }
}
