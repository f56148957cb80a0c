//! Resized images on disk: one safetensors file for each folder, size and number of channels, with
//! a hash of what it was made from: the contents of all files. It may be deleted at any time.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorInfo};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::{Error, Result};
use crate::tasks::spec::ImagesSpec;
use crate::tasks::stored_split::ImageDigest;
use crate::tensor_file::{self, TensorFile, little_endian};

use super::layout::{Layout, Listing};

/// Changes with what is done to an image.
const VERSION: &str = "2";

/// Name of the tensor: u8 `[words · 4]`, the images one after another.
const IMAGES: &str = "images";

/// The place of one set of images, and what it must have been made from.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    contents: String,
}

impl Cache {
    /// The place in the folder `cache` for the data set in `folder`, whose files have these `digests`.
    pub fn new(
        cache: &Path,
        folder: &Path,
        listing: &Listing,
        digests: &[ImageDigest],
        spec: &ImagesSpec,
    ) -> Self {
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        let own = &hex(Sha256::digest(folder.as_os_str().as_encoded_bytes()))[..16];
        let name = format!("images-{own}-{}x{1}x{1}.safetensors", spec.channels, spec.size);
        Self { path: cache.join(name), contents: hash(listing, digests, spec) }
    }

    /// Fills `words` with what is stored; false if nothing, something older or a damaged file is.
    pub fn load(&self, words: &mut [u32]) -> bool {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                tracing::warn!("{}: {error}; the images are read anew", self.path.display());
                return false;
            }
        };
        match self.fill(&bytes, words) {
            Ok(fresh) => fresh,
            Err(message) => {
                let path = self.path.display();
                tracing::warn!("{path}: {message}; the images are read anew");
                false
            }
        }
    }

    /// Whether `bytes` are of the same contents; then `words` are theirs.
    fn fill(&self, bytes: &[u8], words: &mut [u32]) -> Result<bool, String> {
        let file = TensorFile::parse(bytes)?;
        if file.metadata.get("contents") != Some(&self.contents) {
            return Ok(false);
        }
        let data = match file.tensors.get(IMAGES) {
            Some(tensor) if tensor.data().len() == size_of_val(words) => tensor.data(),
            _ => return Err(format!("tensor `{IMAGES}` is missing or of another size")),
        };
        if file.metadata.get("sha256") != Some(&hex(Sha256::digest(data))) {
            return Err("damaged: its checksum is wrong".into());
        }
        for (word, stored) in words.iter_mut().zip(little_endian(data, u32::from_le_bytes)) {
            *word = stored;
        }
        Ok(true)
    }

    /// Stores `words`; if that fails, it only says so.
    pub fn store(&self, words: &[u32]) {
        if let Err(error) = self.try_store(words) {
            tracing::warn!("{error}; the resized images are not kept for the next time");
        }
    }

    fn try_store(&self, words: &[u32]) -> Result<()> {
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
        let metadata = BTreeMap::from([
            ("contents".to_string(), self.contents.clone()),
            ("sha256".to_string(), hex(sum.finalize())),
        ]);
        let length = size_of_val(words);
        let info = TensorInfo { dtype: Dtype::U8, shape: vec![length], data_offsets: (0, length) };
        let header = tensor_file::header(&metadata, BTreeMap::from([(IMAGES, info)]));
        atomic::write_with(&self.path, |file| {
            file.write_all(&header)?;
            blocks().try_for_each(|block| file.write_all(&block))
        })
    }
}

/// A hash of the layout, of every file's name and bytes, and of what is done to them.
fn hash(listing: &Listing, digests: &[ImageDigest], spec: &ImagesSpec) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(VERSION.as_bytes());
    add(&spec.background.0);
    add(match listing.layout {
        Layout::Folders => b"folders",
        Layout::Strips { .. } => b"strips",
    });
    let mut files = digests.iter();
    for class in &listing.classes {
        add(class.part.name().as_bytes());
        add(class.name.as_bytes());
        files.by_ref().take(class.sources.len()).for_each(|digest| add(digest));
    }
    hex(hash.finalize())
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
