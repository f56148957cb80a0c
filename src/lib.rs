//! Reptile meta-learning that lives on the GPU.
pub mod error;
pub mod model;
pub mod rng;
pub use error::{Error, Result};
pub use wgpu;
