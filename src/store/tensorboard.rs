//! TensorBoard's event files: scalars over iterations.
//!
//! A file is a sequence of records (TFRecord): the length as u64, its checksum, the bytes, their
//! checksum, all little-endian. The bytes are an `Event` of tensorflow/core/util/event.proto in
//! protobuf's encoding, of which scalars need six fields. The checksum is CRC-32C, rotated and offset
//! ("masked") so that the checksum of data that holds checksums stays sound.
//!
//! A run that goes on writes a new file, which begins with a session start at the first iteration that
//! is done again; from there on TensorBoard forgets what earlier files of the folder say.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};

use crate::error::{Error, Result};

/// Castagnoli's polynomial, which the tables call by iSCSI's name.
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What TensorBoard looks for in names.
const PREFIX: &str = "events.out.tfevents.";

/// An event file that is being written. Each record is handed to the system as a whole.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a new file in `folder`, behind the ones that are there. `iteration` is the last one
    /// of which they are still right.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(folder: &Path, iteration: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        // TensorBoard reads the files of a folder in the order of their names.
        let last = starts(folder)?.into_iter().max();
        let now = now() as u64;
        let start = last.map_or(now, |last| now.max(last + 1));
        let path = folder.join(format!("{PREFIX}{start:010}.reptile"));
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let mut events = Self { path, file };
        events.write(&event(self::now(), 0, &file_version()))?;
        if last.is_some() {
            events.write(&event(self::now(), iteration + 1, &session_start()))?;
        }
        Ok(events)
    }

    /// Appends the values of `iteration`, each with its name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalars(&mut self, iteration: u64, values: &[(&str, f64)]) -> Result<()> {
        self.write(&event(now(), iteration, &summary(values)))
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).map_err(Error::io(&self.path))
    }
}

/// The seconds in the names of the event files of `folder`.
fn starts(folder: &Path) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let seconds = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next());
        found.extend(seconds.and_then(|seconds| seconds.parse::<u64>().ok()));
    }
    Ok(found)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// `data` in its frame.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// `Event { double wall_time = 1; int64 step = 2; … }`
fn event(time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x09];
    bytes.extend(time.to_le_bytes());
    bytes.push(0x10);
    varint(&mut bytes, step);
    bytes.extend(what);
    bytes
}

/// `string file_version = 3`
fn file_version() -> Vec<u8> {
    field(3, b"brain.Event:2")
}

/// `SessionLog session_log = 7 { SessionStatus status = 1 }` with the status START = 1.
fn session_start() -> Vec<u8> {
    field(7, &[0x08, 1])
}

/// `Summary summary = 5 { repeated Value value = 1 { string tag = 1; float simple_value = 2 } }`
fn summary(values: &[(&str, f64)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (tag, value) in values {
        let mut one = field(1, tag.as_bytes());
        one.push(0x15);
        one.extend((*value as f32).to_le_bytes());
        all.extend(field(1, &one));
    }
    field(5, &all)
}

/// A field that holds bytes: texts and messages.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    varint(&mut bytes, content.len() as u64);
    bytes.extend(content);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a file, their checksums tested.
    fn records(path: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            assert_eq!(after[..4], masked_crc(length));
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let (data, after) = after[4..].split_at(length);
            assert_eq!(after[..4], masked_crc(data));
            found.push(data.to_vec());
            rest = &after[4..];
        }
        found
    }

    #[test]
    fn checksums_are_castagnolis() {
        assert_eq!(CRC_32C.checksum(b"123456789"), 0xe306_9283, "the catalogue's check value");
        assert_eq!(CRC_32C.checksum(&[0; 32]), 0x8a91_36aa, "RFC 3720, B.4");
    }

    /// The second record as TensorBoard's own protobuf and checksum make it.
    #[test]
    fn known_bytes() {
        let version = event(0.0, 0, &file_version());
        assert_eq!(version, b"\x09\0\0\0\0\0\0\0\0\x10\0\x1a\x0dbrain.Event:2");
        let scalar = record(&event(1.5, 300, &summary(&[("loss", 0.25)])));
        let wanted = b"\x1b\0\0\0\0\0\0\0\x1a\x0d\x9e\x13\
                       \x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\
                       \x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\x80\x3e\x99\x08\xde\xed";
        assert_eq!(scalar, wanted);
        assert_eq!(session_start(), [0x3a, 2, 8, 1]);
    }

    #[test]
    fn a_run_that_goes_on_begins_a_file_behind_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        let mut paths = Vec::new();
        for iteration in [0, 20, 10] {
            let mut events = EventFile::create(&folder, iteration).unwrap();
            events.scalars(iteration + 5, &[("loss", 0.5), ("not a number", f64::NAN)]).unwrap();
            paths.push(events.path);
        }
        assert!(paths.is_sorted(), "{paths:?}");
        assert_eq!(records(&paths[0]).len(), 2, "the first file has nothing to forget");
        for (path, step) in [(&paths[1], 21), (&paths[2], 11)] {
            let found = records(path);
            assert_eq!(found.len(), 3);
            assert_eq!(found[1][9..], [0x10, step, 0x3a, 2, 8, 1]);
        }
    }
}
