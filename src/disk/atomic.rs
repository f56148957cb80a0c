//! Files that are there whole or not at all, also after a crash or a loss of power.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

const PREFIX: &str = ".reptile-";
const SUFFIX: &str = ".tmp";

/// Writes `bytes` to `path`, in place of what was there: into a temporary file of the same
/// folder, synced, renamed, and the folder synced.
///
/// # Errors
/// [`Error::Io`]; the old file, if any, is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Like [`write()`], with the bytes that `fill` writes.
///
/// # Errors
/// As [`write()`].
pub fn write_with(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let temporary = temporary(path, fill).map_err(Error::io(path))?;
    temporary.persist(path).map_err(|error| Error::io(path)(error.error))?;
    sync_folder(folder_of(path))
}

/// Like [`write()`], but never in place of an existing file.
///
/// # Errors
/// [`Error::Data`] if `path` exists, [`Error::Io`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path, |file| file.write_all(bytes)).map_err(Error::io(path))?;
    temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::io(path)(error.error),
    })?;
    sync_folder(folder_of(path))
}

/// Refuses a `path` at which something lies: to be asked before long work whose result
/// [`write_new`] will store.
///
/// # Errors
/// [`Error::Data`] if `path` exists, or its folder does not or takes no files.
pub fn check_new(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        let message = match folder.exists() {
            true => format!("{} is a file, not a folder; name another place", folder.display()),
            false => format!("the folder {} does not exist; make it first", folder.display()),
        };
        return Err(Error::data(path, message));
    }
    let probe = tempfile::tempfile_in(folder).map_err(|error| {
        let message =
            format!("the folder {} takes no files ({error}); name another", folder.display());
        Error::data(path, message)
    })?;
    drop(probe);
    Ok(())
}

/// Makes the names in `folder` last: a rename is on disk only once its folder is.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Windows has no handle of a folder to sync; there the rename itself is journalled.
    if cfg!(unix) {
        File::open(folder).and_then(|handle| sync(&handle)).map_err(Error::io(folder))?;
    }
    Ok(())
}

/// Removes the file at `path`, if there is one.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

/// Removes the temporary files of a process that was killed while it wrote into `folder`.
/// Only for a folder into which no other process writes.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if is_temporary(&path) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Whether `path` is named like a temporary file of this module.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// The folder that holds `path`.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What `fill` writes, in a synced temporary file beside `path`; it is removed again if it is
/// dropped.
fn temporary(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        // What any new file gets; the process's umask takes its part off.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder_of(path))?;
    fill(file.as_file_mut())?;
    sync(file.as_file())?;
    Ok(file)
}

/// Waits until a file or a folder is on disk.
fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with(|synced| synced.borrow_mut().push(file.metadata().unwrap().is_dir()));
    file.sync_all()
}

fn exists(path: &Path) -> Error {
    Error::data(path, "exists already and is not written over; give another name")
}

#[cfg(test)]
pub mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// What this thread has synced: whether it was a folder.
        pub static SYNCED: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }

    /// What `write` syncs: whether it is a folder, in order.
    pub fn synced(write: impl FnOnce()) -> Vec<bool> {
        SYNCED.take();
        write();
        SYNCED.take()
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_on_disk_before_its_name_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(synced(|| write(&path, b"first").unwrap()), [false, true]);
        assert_eq!(synced(|| write_new(&path.with_extension("new"), b"").unwrap()), [false, true]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn write_replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn write_new_never_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        check_new(&path).unwrap();
        write_new(&path, b"first").unwrap();
        let message = write_new(&path, b"second").unwrap_err().to_string();
        assert!(message.contains("file: exists already"), "{message}");
        assert!(message.contains("another name"), "{message}");
        assert_eq!(check_new(&path).unwrap_err().to_string(), message);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_failed_write_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(matches!(write(&path, b"bytes"), Err(Error::Io { .. })));
        assert_eq!(names(folder.path()), ["taken"]);
        let missing = folder.path().join("no/such/file");
        assert!(matches!(write(&missing, b"bytes"), Err(Error::Io { .. })));
        assert!(check_new(&missing).unwrap_err().to_string().contains("does not exist"));
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".reptile-a1.tmp", "0000000001.safetensors", ".other.tmp"] {
            fs::write(folder.path().join(name), b"half").unwrap();
        }
        remove_leftovers(folder.path()).unwrap();
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [".other.tmp", "0000000001.safetensors"]);
    }

    #[cfg(unix)]
    #[test]
    fn files_get_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
