//! What the program says: the one place that writes to stdout and stderr.
//!
//! Results go to stdout: where they cannot be written, the program ends with an error once its work is done
//! ([`all_said`]). All else goes to stderr, and no reader of it, no full disk and no closed descriptor
//! ends or fails a job.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

/// Why something could not be written to stdout.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// Whether another process says all there is to say.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Says nothing from now on, or speaks again.
pub fn silence(silent: bool) {
    SILENT.store(silent, Ordering::SeqCst);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::SeqCst)
}

/// Prints a line of a result to stdout. A reader that has gone (`| head`) is no error; what else goes wrong
/// [`all_said`] tells.
pub fn say(text: impl Display) {
    if !is_silent()
        && let Err(error) = writeln!(std::io::stdout(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = UNWRITTEN.set(error);
    }
}

/// Refuses where not all that was to be said could be written.
pub fn all_said() -> Result<()> {
    match UNWRITTEN.get() {
        None => Ok(()),
        Some(error) => bail!("stdout: {error}; what was to be printed is not all there"),
    }
}

/// Prints a line of progress, a warning or an error to stderr, if anybody takes it.
pub fn note(text: impl Display) {
    if is_silent() {
        return;
    }
    // In one go, so that lines of several threads and processes stay whole.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// [`note`] with a text that is put together as by `format!`.
macro_rules! note {
    ($($text:tt)*) => {
        $crate::cli::words::note(format_args!($($text)*))
    };
}

/// Whether somebody watches stderr on a terminal.
pub fn watched() -> bool {
    std::io::stderr().is_terminal() && !is_silent()
}
