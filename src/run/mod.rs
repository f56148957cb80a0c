//! A run on disk: its configuration, checkpoints and metrics, and the session that trains it.

pub mod adapted;
pub mod adapting;
mod best;
pub mod checkpoint;
pub mod compressed;
pub mod config;
pub mod curves;
pub mod directory;
pub mod evaluation;
mod job;
mod journal;
pub mod metrics;
pub mod online;
pub mod overrides;
pub mod presets;
mod recorder;
pub mod replay;
pub mod reproduce;
mod session;
pub(crate) mod split_file;
mod stored;
pub mod tensorboard;
mod validate;

pub(crate) use crate::atomic;
pub use config::{Config, LogSpec};
pub use directory::RunDirectory;
pub use job::{Data, Job, Purpose};
pub use session::{Event, Outcome, Progress, Session};
pub(crate) use stored::checkpoint_of;
pub use stored::{memory_points, snapshot_of, starting_point};
