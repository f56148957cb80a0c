//! Damaged files for every reader of reptile. A reader may take what it is given, or refuse it with a sentence; it must not
//! panic, wait for ever, or take more memory than a small multiple of the file.
//!
//! `targets` are the readers, `seeds` are files that the program wrote, `mutate` damages them, and `driver` counts.

pub mod driver;
pub mod mutate;
pub mod seeds;
pub mod targets;

/// Reads `bytes` with the reader `name`, for cargo-fuzz; whether it takes them does not matter.
///
/// # Panics
/// If there is no such reader, or it panics itself.
pub fn read(name: &str, bytes: &[u8]) {
    thread_local! {
        static ROOM: targets::Room = targets::Room::new();
    }
    let (_, read) = targets::TARGETS.iter().find(|(own, _)| *own == name).expect("a reader's name");
    let _ = ROOM.with(|room| read(room, bytes));
}
