//! Reads what others wrote: regular files alone, and never more bytes than a stated limit, whatever a file says of itself.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// A limit in MiB that the user may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The environment variable that sets another one.
    pub variable: &'static str,
    default: u64,
    what: &'static str,
}

/// Of a file that is read whole, or an array that an archive unfolds to.
pub(crate) const FILE: Limit =
    Limit { variable: "REPTILE_FILE_LIMIT_MIB", default: 16 << 10, what: "a file may have" };

/// Of what an image unfolds to.
pub(crate) const IMAGE: Limit =
    Limit { variable: "REPTILE_IMAGE_LIMIT_MIB", default: 512, what: "an image may take" };

impl Limit {
    /// In bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if the variable holds no number above 0.
    pub fn bytes(self) -> Result<u64> {
        let Some(text) = std::env::var_os(self.variable).filter(|text| !text.is_empty()) else {
            return Ok(self.default << 20);
        };
        let number = text.to_str().and_then(|text| text.trim().parse::<u64>().ok());
        match number.filter(|mib| *mib > 0) {
            Some(mib) => Ok(mib.saturating_mul(1 << 20)),
            None => {
                let text = text.to_string_lossy();
                let message = format!("is `{text}`; give a number of MiB, 1 or more");
                Err(Error::config(self.variable, message))
            }
        }
    }

    /// Refuses so many `bytes` of `what` in the file at `path`.
    ///
    /// # Errors
    /// [`Error::Data`] that names the limit and the variable.
    pub fn check(self, path: &Path, what: &str, bytes: u64) -> Result<()> {
        let most = self.bytes()?;
        if bytes <= most {
            return Ok(());
        }
        Err(Error::data(
            path,
            format!(
                "{what} {bytes} bytes, more than the {} MiB that {}; {} sets another limit",
                most >> 20,
                self.what,
                self.variable
            ),
        ))
    }
}

/// The file at `path`, open to be read.
///
/// # Errors
/// [`Error::Data`] if it is a folder, a pipe, a socket or a device; [`Error::Io`].
pub(crate) fn open(path: &Path) -> Result<File> {
    // Before it is opened: a pipe would wait for somebody who writes.
    let about = fs::metadata(path).map_err(Error::io(path))?;
    if about.is_dir() {
        return Err(Error::data(path, "is a folder; name a file"));
    }
    if !about.is_file() {
        return Err(Error::data(path, "is a pipe, a socket or a device; name a file"));
    }
    File::open(path).map_err(Error::io(path))
}

/// The bytes of the file at `path`.
///
/// # Errors
/// As [`open`]; [`Error::Data`] above the [`FILE`] limit.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    unfolded(file, path, "has", length, FILE)
}

/// What `reader`, a part of the file at `path`, gives: `declared` bytes, it says.
///
/// # Errors
/// [`Error::Data`] for more than `limit`, declared or not; [`Error::Io`].
pub(crate) fn unfolded(
    reader: impl Read,
    path: &Path,
    what: &str,
    declared: u64,
    limit: Limit,
) -> Result<Vec<u8>> {
    limit.check(path, what, declared)?;
    let mut bytes = Vec::new();
    let room = usize::try_from(declared).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(room).map_err(|error| {
        Error::data(
            path,
            format!("{what} {declared} bytes, for which there is no memory ({error})"),
        )
    })?;
    let most = limit.bytes()?;
    reader.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
    limit.check(path, what, bytes.len() as u64)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(matches!(bytes(&path), Err(Error::Io { .. })));
        fs::write(&path, b"bytes").unwrap();
        assert_eq!(bytes(&path).unwrap(), b"bytes");
        let message = bytes(folder.path()).unwrap_err().to_string();
        assert!(message.ends_with("is a folder; name a file"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_before_anybody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = folder.path().join("socket");
        let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&*pipe, &socket, Path::new("/dev/zero")] {
            let message = bytes(path).unwrap_err().to_string();
            assert!(message.contains(&*path.to_string_lossy()), "{message}");
            assert!(message.contains("is a pipe, a socket or a device"), "{message}");
        }
    }

    #[test]
    fn a_file_of_a_size_that_nobody_has_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        // A hole: it takes no room on the disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let message = bytes(&path).unwrap_err().to_string();
        assert!(message.contains("more than the 16384 MiB"), "{message}");
        assert!(message.contains("REPTILE_FILE_LIMIT_MIB"), "{message}");
    }

    #[test]
    fn what_unfolds_to_more_than_it_says_is_stopped_at_the_limit() {
        const SMALL: Limit =
            Limit { variable: "REPTILE_NO_SUCH_LIMIT", default: 1, what: "it may have" };
        let path = Path::new("some.zip");
        let read = |bytes: u64, declared| {
            unfolded(std::io::repeat(7).take(bytes), path, "unfolds to", declared, SMALL)
        };
        assert_eq!(read(1 << 20, 10).unwrap().len(), 1 << 20);
        for (bytes, declared) in [((1 << 20) + 1, 10), (u64::MAX, 0), (1, 1 << 60)] {
            let message = read(bytes, declared).unwrap_err().to_string();
            assert!(message.contains("some.zip: unfolds to"), "{message}");
            assert!(message.contains("more than the 1 MiB"), "{message}");
        }
    }
}
