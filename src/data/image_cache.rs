//! Decoded images on disk: one safetensors file for each data set, size and number of channels, with
//! a hash of what it was made from: the contents of all files. It may be deleted at any time.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorInfo};
use sha2::{Digest, Sha256};

use crate::data::stored_split::ImageDigest;
use crate::disk::tensor_file::{self, TensorFile, little_endian};
use crate::disk::{atomic, read};
use crate::error::{Error, Result};

/// Name of the tensor u8 `[words · 4]`, the images one after another.
const IMAGES: &str = "images";
/// Name of the tensor u8 `[images, 32]`: digests of the images' files, where they are kept as well.
const DIGESTS: &str = "digests";

/// The place of one set of images, and what it must have been made from.
#[derive(Debug)]
pub(super) struct ImageCache {
    path: PathBuf,
    contents: String,
}

impl ImageCache {
    /// The place in the folder `cache` for the data set in `folder`, as images `[channels, size, size]`, made from
    /// what has the hash `contents` ([`hash`]).
    pub fn new(
        cache: &Path,
        folder: &Path,
        [channels, size]: [usize; 2],
        contents: String,
    ) -> Self {
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        let own = &hex(Sha256::digest(folder.as_os_str().as_encoded_bytes()))[..16];
        let name = format!("images-{own}-{channels}x{size}x{size}.safetensors");
        Self { path: cache.join(name), contents }
    }

    /// Fills `words` and `digests` with what is stored; false if nothing, something older or a damaged
    /// file is.
    pub fn load(&self, words: &mut [u32], digests: &mut [ImageDigest]) -> bool {
        let bytes = match read::bytes(&self.path) {
            Ok(bytes) => bytes,
            Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return false;
            }
            Err(error) => {
                tracing::warn!("{error}; the images are read anew");
                return false;
            }
        };
        match self.fill(&bytes, words, digests) {
            Ok(fresh) => fresh,
            Err(message) => {
                let path = self.path.display();
                tracing::warn!("{path}: {message}; the images are read anew");
                false
            }
        }
    }

    /// Whether `bytes` are of the same contents; then `words` and `digests` are theirs.
    fn fill(
        &self,
        bytes: &[u8],
        words: &mut [u32],
        digests: &mut [ImageDigest],
    ) -> Result<bool, String> {
        let file = TensorFile::parse(bytes)?;
        if file.metadata.get("contents") != Some(&self.contents) {
            return Ok(false);
        }
        let tensor = |name, length| match file.tensors.get(name) {
            Some(tensor) if tensor.data().len() == length => Ok(tensor.data()),
            _ => Err(format!("tensor `{name}` is missing or of another size")),
        };
        let images = tensor(IMAGES, size_of_val(words))?;
        let stored_digests = match digests.len() {
            0 => &[],
            _ => tensor(DIGESTS, size_of_val(digests))?,
        };
        let sum = Sha256::new().chain_update(images).chain_update(stored_digests).finalize();
        if file.metadata.get("sha256") != Some(&hex(sum)) {
            return Err("damaged: its checksum is wrong".into());
        }
        for (word, stored) in words.iter_mut().zip(little_endian(images, u32::from_le_bytes)) {
            *word = stored;
        }
        digests.as_flattened_mut().copy_from_slice(stored_digests);
        Ok(true)
    }

    /// Stores `words` and `digests`; if that fails, it only says so.
    pub fn store(&self, words: &[u32], digests: &[ImageDigest]) {
        if let Err(error) = self.try_store(words, digests.as_flattened()) {
            tracing::warn!("{error}; the decoded images are not kept for the next time");
        }
    }

    fn try_store(&self, words: &[u32], digests: &[u8]) -> Result<()> {
        let folder = atomic::folder_of(&self.path);
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        // In blocks, so that the bytes of a large set are not in memory a second time.
        let blocks = || {
            words.chunks(1 << 16).map(|block| -> Vec<u8> {
                block.iter().flat_map(|word| word.to_le_bytes()).collect()
            })
        };
        let mut sum = Sha256::new();
        blocks().for_each(|block| sum.update(block));
        sum.update(digests);
        let metadata = BTreeMap::from([
            ("contents".to_string(), self.contents.clone()),
            ("sha256".to_string(), hex(sum.finalize())),
        ]);
        let length = size_of_val(words);
        let info = |shape, data_offsets| TensorInfo { dtype: Dtype::U8, shape, data_offsets };
        let mut tensors = BTreeMap::from([(IMAGES, info(vec![length], (0, length)))]);
        if !digests.is_empty() {
            let shape = vec![digests.len() / 32, 32];
            tensors.insert(DIGESTS, info(shape, (length, length + digests.len())));
        }
        let header = tensor_file::header(&metadata, tensors);
        atomic::write_with(&self.path, |file| {
            file.write_all(&header)?;
            blocks().try_for_each(|block| file.write_all(&block))?;
            file.write_all(digests)
        })
    }
}

/// A hash of `parts`, in order.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(hash.finalize())
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
