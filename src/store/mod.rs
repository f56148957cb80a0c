//! What is kept: checkpoints, adapted and compressed models; on disk also weights to start from, the folder of a run, its metrics,
//! caches.

pub mod adapted;
pub mod checkpoint;
pub mod compressed;
pub(crate) mod digests;
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

use std::collections::BTreeMap;

use crate::disk::tensor_file::TensorFile;

#[cfg(feature = "files")]
pub use directory::RunDirectory;
#[cfg(feature = "files")]
pub use model_files::sha256_file;
#[cfg(feature = "files")]
pub use pipelines::keep_pipelines;
#[cfg(feature = "files")]
pub use weights::Weights;

/// The metadata of a file of tensors: its `format` ([`checkpoint::FORMAT`], [`adapted::FORMAT`], [`compressed::FORMAT`] or another)
/// and what those say they have.
///
/// # Errors
/// A sentence that says whether `bytes` are truncated, damaged or no safetensors file at all.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    Ok(TensorFile::parse(bytes)?.metadata)
}
