//! Where a data set lies.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folder `data`, or else the folder `set` below REPTILE_DATA; `content` is what it should hold,
/// for messages.
///
/// # Errors
/// [`Error::Config`] if neither is known, [`Error::Data`] if there is no such folder.
pub(super) fn find(data: Option<&Path>, set: Option<&str>, content: &str) -> Result<PathBuf> {
    let (folder, source) = match (data, set, std::env::var_os("REPTILE_DATA")) {
        (Some(folder), ..) => (folder.to_path_buf(), "tasks.data"),
        (None, Some(set), Some(root)) => (Path::new(&root).join(set), "REPTILE_DATA"),
        (None, set, _) => {
            let below = match set {
                Some(set) => format!("set REPTILE_DATA to the folder above `{set}`"),
                None => "set tasks.set to the name of a folder below REPTILE_DATA".into(),
            };
            let message = format!(
                "no data set is given: name the folder with {content} in tasks.data, or {below}"
            );
            return Err(Error::config("tasks.data", message));
        }
    };
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Error::data(&folder, format!("no such folder ({source}); give the one with {content}")))
}
