//! A run on disk at work: its training, and what is done with what it stored.

pub mod adapting;
mod best;
#[cfg(feature = "plot")]
pub mod curves;
pub mod evaluation;
pub mod online;
mod opening;
pub mod predicting;
mod progress;
mod recorder;
pub mod replay;
mod training;

pub use progress::{Event, Outcome, Progress};
pub use training::Session;
