//! Compiled pipelines of the device's driver, kept in the user's cache directory between processes: a
//! file for each adapter and driver. It may be deleted at any time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use crate::disk::{atomic, read};
use crate::gpu::{Gpu, PipelineKeeper};

/// Bytes of the hash in front of the driver's data.
const HASH: usize = 32;

/// The driver's cache, written back when the last user of the device is gone.
#[derive(Debug)]
struct PipelineStore {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// The hash of what the file holds.
    stored: Mutex<Option<Vec<u8>>>,
}

/// The same device, whose driver's compiled pipelines are kept in the folder `cache` between processes, if it has
/// such a thing.
pub fn keep_pipelines(gpu: Gpu, cache: &Path) -> Gpu {
    match PipelineStore::open(gpu.device(), gpu.info(), cache) {
        Some(store) => gpu.with_pipelines(Arc::new(store)),
        None => gpu,
    }
}

impl PipelineKeeper for PipelineStore {
    fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }
}

impl PipelineStore {
    /// Opens the store of a device in the folder `cache`; none if the driver has no such thing.
    fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, cache: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(info)?;
        let name = [key.as_str(), &info.driver, &info.driver_info].join(", ");
        let name: String = Sha256::digest(name)[..8].iter().map(|b| format!("{b:02x}")).collect();
        let path = cache.join(format!("pipelines-{name}.bin"));
        let bytes = read::bytes(&path).ok().filter(|bytes| is_whole(bytes));
        let made = |data: Option<&[u8]>| {
            let label = Some("reptile");
            let descriptor = wgpu::PipelineCacheDescriptor { label, data, fallback: true };
            // wgpu refuses the header of another device's data as an error of the program.
            let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
            // SAFETY: the data is what `get_data` returned for the same adapter and driver, whole, by the
            // hash in front of it and the name of the file.
            let cache = unsafe { device.create_pipeline_cache(&descriptor) };
            pollster::block_on(scope.pop()).is_none().then_some(cache)
        };
        if let Some(bytes) = &bytes
            && let Some(cache) = made(Some(&bytes[HASH..]))
        {
            return Some(Self { cache, path, stored: Mutex::new(Some(bytes[..HASH].to_vec())) });
        }
        made(None).map(|cache| Self { cache, path, stored: Mutex::new(None) })
    }

    /// Writes the cache back if it has changed.
    fn store(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let hash = Sha256::digest(&data).to_vec();
        let Ok(mut stored) = self.stored.lock() else { return };
        if stored.as_ref() == Some(&hash) {
            return;
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder)
            .map_err(crate::Error::io(folder))
            .and_then(|()| atomic::write(&self.path, &[&hash[..], &data[..]].concat()));
        match written {
            Ok(()) => *stored = Some(hash),
            Err(error) => tracing::warn!("{error}; pipelines are compiled anew next time"),
        }
    }
}

impl Drop for PipelineStore {
    fn drop(&mut self) {
        self.store();
    }
}

/// Whether a file holds what was written.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() > HASH && Sha256::digest(&bytes[HASH..])[..] == bytes[..HASH]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_is_not_taken() {
        let data = b"pipelines";
        let whole = [&Sha256::digest(data)[..], data].concat();
        assert!(is_whole(&whole));
        assert!(!is_whole(&whole[..whole.len() - 1]));
        assert!(!is_whole(&whole[..HASH]));
        assert!(!is_whole(b""));
    }
}
