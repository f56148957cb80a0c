//! Files of a folder, and which of them are images.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::names::{composed, is_hidden};
use crate::error::{Error, Result};

/// Extensions of what is decoded.
pub(super) const FORMATS: [&str; 13] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "jif", "webp", "bmp", "dib", "tif", "tiff", "gif", "apng",
];

/// What is in `folder` and not hidden, sorted by name in Unicode's composed form.
pub(super) fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name();
        if !is_hidden(&name.to_string_lossy()) {
            paths.push((composed(&name.to_string_lossy()), entry.path()));
        }
    }
    paths.sort();
    Ok(paths.into_iter().map(|(_, path)| path).collect())
}

pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    extensions.contains(&extension.as_str())
}

/// `name`, of the file or folder at `path`, as text.
pub(super) fn utf8(name: Option<&std::ffi::OsStr>, path: &Path) -> Result<String> {
    let name = name.and_then(|name| name.to_str());
    name.map(composed).ok_or_else(|| Error::data(path, "has no UTF-8 name; rename it"))
}
