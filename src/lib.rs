//! Reptile meta-learning on the GPU: WGSL kernels do the arithmetic and the sampling of tasks, the host builds buffers and
//! a list of dispatches once and replays it.
//!
//! - [`meta::Trainer`] records meta-iterations into an encoder of yours or runs them itself;
//!   [`meta::Adaptation`] adapts given parameters to many tasks at once.
//! - [`gpu::Gpu`] opens an adapter or takes your device; [`gpu::Pending`] is what comes back from it.
//! - [`model::ModelSpec`] describes a network of [`mod@layers`], [`mod@optimizers`] are what makes steps.
//! - [`session::Session`] trains a [`config::Config`] into a folder, with checkpoints and metrics.
//! - [`mod@reference`] is the float64 twin of the kernels, which the tests compare them with.
//!
//! ```
//! use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
//! use reptile::config::{Config, Job, presets};
//!
//! let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default())?;
//! let config = Config::from_toml(presets::get("sine")?, "preset sine")?;
//! let job = Job::new(&gpu, config, &mut |_, _| {})?;
//! let mut trainer = job.trainer(&gpu)?;
//! trainer.advance(100, |iteration| {
//!     println!("{}: {:?}", iteration.iteration, iteration.losses);
//!     true
//! })?;
//! let parameters = trainer.snapshot()?.parameters;
//! assert_eq!(parameters[0].len(), 4353);
//! # Ok::<(), reptile::Error>(())
//! ```

#![warn(missing_docs)]
// A print panics where its words cannot be written; the program has `src/cli/words.rs` for them, the library has none.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[macro_use]
mod shaders;

mod checks;
/// The program's commands: no public API.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "checkpoints")]
pub mod cluster;
#[cfg(feature = "checkpoints")]
pub mod config;
#[cfg(feature = "data")]
pub mod data;
#[cfg(any(feature = "checkpoints", feature = "data"))]
#[cfg_attr(not(feature = "files"), allow(dead_code))] // readers do not write
mod disk;
/// What dispatches are made of: no public API, but for what [`meta`] passes on.
#[doc(hidden)]
pub mod dispatch;
pub mod error;
#[cfg(feature = "experiments")]
pub mod experiments;
#[cfg(any(test, feature = "reference"))]
mod float64;
pub mod gpu;
/// Kernels that belong to no layer and no optimiser: no public API.
#[doc(hidden)]
pub mod kernels;
pub mod layers;
pub mod meta;
pub mod model;
#[cfg(feature = "onnx")]
mod onnx;
pub mod optimizers;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "reference")]
pub mod reference;
pub mod rng;
#[cfg(test)]
mod rooms;
#[cfg(feature = "files")]
pub mod session;
#[cfg(feature = "checkpoints")]
pub mod store;
pub mod tasks;
#[cfg(feature = "tune")]
pub mod tune;

pub use error::{Error, Result};
pub use wgpu;

/// The README's example compiles and runs.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct Readme;
