//! What is kept on disk: checkpoints, weights to start from, adapted and compressed models, the folder of a run, its metrics, caches.

pub mod adapted;
pub mod checkpoint;
pub mod compressed;
#[cfg(feature = "files")]
pub mod directory;
#[cfg(feature = "files")]
pub(crate) mod journal;
#[cfg(feature = "files")]
pub mod metrics;
#[cfg(feature = "files")]
mod model_files;
#[cfg(feature = "files")]
mod pipelines;
#[cfg(feature = "files")]
pub(crate) mod split_file;
#[cfg(feature = "files")]
pub mod tensorboard;
#[cfg(feature = "files")]
mod variants;
#[cfg(feature = "files")]
mod weights;

#[cfg(feature = "files")]
pub use directory::RunDirectory;
#[cfg(feature = "files")]
pub use model_files::sha256_file;
#[cfg(feature = "files")]
pub use pipelines::keep_pipelines;
#[cfg(feature = "files")]
pub use weights::Weights;
