//! The configuration of a run: one TOML file, every key with its default (docs/config.md), and what runs by it.

mod families;
mod job;
pub mod overrides;
pub mod presets;
mod reading;
mod settings;
#[cfg(test)]
mod tests;
mod validate;

pub use job::{Data, Job, Purpose};
pub use settings::{Config, LogSpec};
