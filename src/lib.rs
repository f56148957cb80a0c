//! Reptile meta-learning that lives on the GPU: WGSL kernels do the arithmetic and the sampling of
//! tasks, a thin host builds buffers and a list of dispatches once and replays it.
//!
//! - [`meta::Trainer`] records meta-iterations into an encoder of yours or runs them itself;
//!   [`meta::Adaptation`] adapts given parameters to many tasks at once.
//! - [`gpu::Gpu`] opens an adapter or takes your device.
//! - [`run::Session`] trains a [`run::Config`] into a folder, with checkpoints and metrics.
//! - [`mod@reference`] is the float64 twin of the kernels, which the tests compare them with.
//!
//! ```
//! use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
//! use reptile::run::{Config, Job, presets};
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

mod atomic;
pub mod bench;
mod cache;
pub mod cli;
pub mod error;
pub mod gpu;
pub mod kernels;
pub mod meta;
pub mod model;
pub mod plot;
pub mod reference;
pub mod rng;
pub mod run;
mod shell;
pub mod sweep;
pub mod tasks;
mod tensor_file;
mod text_file;

pub use error::{Error, Result};
pub use wgpu;
