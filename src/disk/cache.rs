//! Where this program keeps what it can make again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// The bytes of a file in the cache; of what is no file (a pipe would never end) an error.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() {
        return fs::read(path);
    }
    Err(io::Error::other("is no file; remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, b"bytes").unwrap();
        assert_eq!(read(&path).unwrap(), b"bytes");
        assert!(read(folder.path()).unwrap_err().to_string().contains("no file"));
    }
}
