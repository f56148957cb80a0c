//! What is kept on disk: checkpoints, weights to start from, adapted and compressed models, the folder of a run, its metrics, caches.

pub mod adapted;
pub mod checkpoint;
pub mod compressed;
pub mod directory;
pub(crate) mod journal;
pub mod metrics;
mod pipelines;
pub(crate) mod split_file;
pub mod tensorboard;
mod variants;
mod weights;

pub use directory::RunDirectory;
pub use pipelines::keep_pipelines;
pub use weights::Weights;
