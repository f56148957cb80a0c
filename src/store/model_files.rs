//! Adapted and compressed models on disk.

use std::path::Path;

use crate::disk::{atomic, read};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::store::adapted::Adapted;
use crate::store::compressed::Compressed;
use crate::store::digests::sha256;

impl Adapted {
    /// Writes a new file at `path`, whole or not at all. Values may be non-finite: a task can
    /// diverge while the others do not.
    ///
    /// # Errors
    /// [`Error::Data`] if `path` exists, [`Error::Io`].
    ///
    /// # Panics
    /// If a parameter set is not the model's length or a tensor not T times its row.
    pub fn write_new(&self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        atomic::write_new(path.as_ref(), &self.to_bytes(model))
    }

    /// Reads the adapted models of `model` in the file at `path`.
    ///
    /// # Errors
    /// [`Error::Data`] that names the tensor or field that is missing, of a wrong shape or not finite;
    /// [`Error::Io`].
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read::bytes(path)?;
        Self::from_bytes(model, &bytes).map_err(|message| Error::data(path, message))
    }
}

impl Compressed {
    /// Writes a new file at `path` and returns its length in bytes.
    ///
    /// # Errors
    /// [`Error::Data`] if `path` exists, [`Error::Io`].
    pub fn write_new(&self, path: &Path) -> Result<u64> {
        let bytes = self.to_bytes();
        atomic::write_new(path, &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Reads the compressed models of `model` in the file at `path`.
    ///
    /// # Errors
    /// [`Error::Data`] if it is truncated, changed, of another model or another kind of file; [`Error::Io`].
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read::bytes(path)?;
        Self::from_bytes(model, &bytes).map_err(|message| Error::data(path, message))
    }
}

/// The SHA-256 of a file in lower-case hexadecimal digits.
///
/// # Errors
/// [`Error::Io`].
pub fn sha256_file(path: impl AsRef<Path>) -> Result<String> {
    Ok(sha256(&read::bytes(path.as_ref())?))
}
