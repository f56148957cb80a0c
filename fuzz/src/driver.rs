//! Gives the readers damaged files, and counts what comes of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::targets::{Room, TARGETS, Target};
use super::{mutate, seeds};

/// Time that a file may take.
const LONGEST: Duration = Duration::from_secs(5);

/// What came of the files of one reader.
#[derive(Clone, Debug)]
pub struct Count {
    /// The reader.
    pub name: &'static str,
    /// Files that it was given.
    pub files: u32,
    /// Of them those that it took.
    pub taken: u32,
    /// The longest time that one took.
    pub longest: Duration,
}

/// Gives each reader its seeds, which it must take, and `files` damaged ones. A file under which it panics is kept, and so is
/// one that takes longer than five seconds, where the process ends at once.
///
/// # Errors
/// A sentence that names the reader and the file.
pub fn run(files: u32) -> Result<Vec<Count>, String> {
    let room = Room::new();
    TARGETS.iter().zip(0..).map(|(target, number)| one(&room, target, number, files)).collect()
}

fn one(room: &Room, (name, read): &Target, number: u64, files: u32) -> Result<Count, String> {
    let own = seeds::of(name);
    for (file, bytes) in &own {
        let read = read(room, bytes);
        read.map_err(|message| format!("{name}: the seed {file} is refused: {message}"))?;
    }
    let seeds: Vec<Vec<u8>> = own.into_iter().map(|(_, bytes)| bytes).collect();
    let mut count = Count { name, files, taken: 0, longest: Duration::ZERO };
    let current = &Mutex::new(Vec::new());
    let (begun, watched) = channel::<()>();
    std::thread::scope(|scope| {
        // A file that takes too long cannot be stopped, but told of.
        scope.spawn(move || {
            loop {
                match watched.recv_timeout(LONGEST) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        let bytes = current.lock().map(|bytes| bytes.clone()).unwrap_or_default();
                        let path = keep(name, &bytes);
                        write_line(&format!("{name}: {} takes longer than 5 s", path.display()));
                        std::process::abort();
                    }
                }
            }
        });
        let begun = begun;
        for index in 0..files {
            let bytes = mutate::damaged(&seeds, number, index);
            if let Ok(mut current) = current.lock() {
                current.clone_from(&bytes);
            }
            let _ = begun.send(());
            let start = Instant::now();
            let taken = catch_unwind(AssertUnwindSafe(|| read(room, &bytes).is_ok()));
            count.longest = count.longest.max(start.elapsed());
            match taken {
                Ok(taken) => count.taken += u32::from(taken),
                Err(_) => {
                    let path = keep(name, &bytes);
                    return Err(format!(
                        "{name}: panics, given {} (number {index})",
                        path.display()
                    ));
                }
            }
        }
        Ok(count)
    })
}

/// Keeps a file that a reader failed with.
fn keep(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("reptile-fuzz-{name}-{}", std::process::id()));
    let _ = std::fs::write(&path, bytes);
    path
}

fn write_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
