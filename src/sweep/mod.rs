//! Searching for good settings: configurations × seeds are runs of one device batch.
//!
//! - [`spec`] reads the sweep's file and names its trials;
//! - [`search`] trains them, a rung of successive halving after the other, into a folder;
//! - [`state`] is what that folder knows of finished rungs;
//! - [`report`] makes the table, the chart and the best configuration.

pub mod report;
pub mod search;
pub mod spec;
pub mod state;

pub use report::Report;
pub use search::{Prepared, Progress, Search};
pub use spec::{SweepSpec, Trial};
pub use state::{Rung, TrialScore};
