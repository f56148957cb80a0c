//! The variants that were found to be the fastest on a device, kept in the user's cache directory: a
//! file for each adapter, driver, version of this crate and way of making kernels. It may be deleted at any time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk::{atomic, read};
use crate::error::Result;
use crate::gpu::{Gpu, Variants};

#[derive(Serialize, Deserialize)]
struct File {
    /// What they are for: adapter, driver, version.
    device: String,
    variants: Variants,
}

/// Adapter, driver, version of this crate, and how kernels are made.
fn device(gpu: &Gpu) -> String {
    let info = gpu.info();
    let parts = [&info.name, &info.backend.to_string(), &info.driver, &info.driver_info];
    let parts: Vec<&str> = parts.into_iter().map(String::as_str).collect();
    let options = gpu.options();
    let named = [
        (options.checked, ", checked"),
        (options.baseline, ", baseline"),
        (options.hardware, ", hardware"),
    ];
    let options: String = named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    format!("{}, reptile {}{options}", parts.join(", "), env!("CARGO_PKG_VERSION"))
}

fn path(folder: &Path, device: &str) -> PathBuf {
    let hash = Sha256::digest(device);
    let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("variants-{name}.json"))
}

impl Gpu {
    /// Takes the variants that the folder `cache` knows of this device, if any.
    pub fn load_variants(&self, cache: &Path) {
        let device = device(self);
        let path = path(cache, &device);
        let bytes = match read::bytes(&path) {
            Ok(bytes) => bytes,
            Err(crate::Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return;
            }
            Err(error) => {
                tracing::warn!("{error}; kernels are timed anew");
                return;
            }
        };
        match serde_json::from_slice::<File>(&bytes) {
            Ok(file) if file.device == device => self.set_variants(file.variants),
            _ => tracing::warn!("{}: not this device's; kernels are timed anew", path.display()),
        }
    }

    /// Keeps this device's variants in the folder `cache`, together with those that are there.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn store_variants(&self, cache: &Path) -> Result<()> {
        let device = device(self);
        let path = path(cache, &device);
        let stored = read::bytes(&path).ok();
        let stored = stored.and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
        let mut variants = stored.map_or_else(Variants::new, |file| file.variants);
        variants.extend(self.tuned_variants());
        let text = serde_json::to_string_pretty(&File { device, variants });
        fs::create_dir_all(cache).map_err(crate::Error::io(cache))?;
        atomic::write(&path, text.expect("names are valid JSON").as_bytes())
    }
}
