//! Where this program keeps what it can make again.

use std::path::PathBuf;

/// The program's folder in the user's cache directory, if there is such a directory. All that lies in it
/// may be deleted at any time.
pub fn cache_folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("reptile"))
}
