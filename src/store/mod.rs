//! What is kept: checkpoints, adapted and compressed models; on disk also weights to start from, the folder of a run, its metrics,
//! caches.

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

use crate::disk::tensor_file::TensorFile;

#[cfg(feature = "files")]
pub use directory::RunDirectory;
#[cfg(feature = "files")]
pub use model_files::sha256_file;
#[cfg(feature = "files")]
pub use pipelines::keep_pipelines;
#[cfg(feature = "files")]
pub use weights::Weights;

/// Which format a file of tensors says that it has: [`checkpoint::FORMAT`], [`adapted::FORMAT`], [`compressed::FORMAT`] or
/// another; none if it does not say.
///
/// # Errors
/// A sentence that says whether `bytes` are truncated, damaged or no safetensors file at all.
pub fn format_of(bytes: &[u8]) -> Result<Option<String>, String> {
    Ok(TensorFile::parse(bytes)?.metadata.remove("format"))
}
