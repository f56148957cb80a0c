//! Where this program keeps what it can make again.

use std::path::PathBuf;

/// The environment variable that names another folder.
pub const CACHE_VARIABLE: &str = "REPTILE_CACHE";

/// The program's folder in the user's cache directory (or the one that [`CACHE_VARIABLE`] names), if there
/// is such a directory. All that lies in it may be deleted at any time.
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(folder.into()),
        None => dirs::cache_dir().map(|folder| folder.join("reptile")),
    }
}
