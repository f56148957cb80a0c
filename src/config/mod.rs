//! The configuration of a run: one TOML file, every key with its default (docs/config.md), and what runs by it.

#[cfg(feature = "files")]
mod families;
#[cfg(feature = "files")]
mod job;
#[cfg(feature = "files")]
pub mod overrides;
#[cfg(feature = "files")]
pub mod presets;
#[cfg(feature = "files")]
mod reading;
mod settings;
#[cfg(feature = "files")]
mod stored;
#[cfg(test)]
mod tests;
mod validate;

#[cfg(feature = "files")]
pub use job::{Data, Job, Purpose};
pub use settings::{Config, LogSpec};
