//! The configuration of a run: one TOML file, every key with its default (docs/config.md), and what runs by it.

mod families;
#[cfg(feature = "files")]
mod job;
pub mod overrides;
pub mod presets;
mod reading;
mod settings;
#[cfg(test)]
mod tests;
mod validate;

#[cfg(feature = "files")]
pub use job::{Data, Job, Purpose};
pub use settings::{Config, LogSpec};
