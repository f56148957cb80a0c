//! What dispatches are made of, whatever their kernel: arguments, the numbers that the host tells, how work is cut for a
//! device, the inner step.

mod call;
mod columns;
mod host;
mod inner_rule;
mod tile;

pub use call::{Argument, call, reads_mirrors};
pub(crate) use columns::{BUSY, with_columns};
pub use host::{Axis, InnerStep, InnerSteps, RunStep, RunSteps};
pub use inner_rule::{InnerRule, InnerState, Statistic, Update};
pub(crate) use tile::{Blocks, Groups, at_once, key};
pub use tile::{Group, MOST_BATCHES, Tile, Tiles};

/// Invocations of the kernels that walk over vectors.
pub(crate) const BLOCK: usize = 64;

/// What a kernel needs to know about a meta-iteration.
pub(crate) const RUN_STEP: &str = shader!("lib/run_step.wgsl");
pub(crate) const ROW_OF: &str = shader!("lib/row_of.wgsl");
/// What a kernel needs to know about an inner step.
pub(crate) const INNER_STEP: &str = shader!("lib/inner_step.wgsl");
