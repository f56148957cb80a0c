//! Searching for good settings: configurations × seeds are runs of one device batch.
//!
//! - [`spec`] reads the sweep's file and names its trials, whose `values` are lists or ranges;
//! - [`prepared`] is a sweep as its files say it, before it has a device;
//! - [`search`] trains them, a rung of successive halving after the other, into a folder;
//! - [`state`] is what that folder knows of finished rungs;
//! - [`report`] makes the table, the chart and the best configuration.

pub mod prepared;
pub mod report;
pub mod search;
pub mod spec;
pub mod state;
mod values;

pub use prepared::Prepared;
pub use report::Report;
pub use search::{Progress, Search};
pub use spec::{SweepSpec, Trial};
pub use state::{Rung, TrialScore};
