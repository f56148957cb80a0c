//! Ctrl-C and the signals that ask a program to end: what is under way is saved, and the exit code says what came.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anyhow::{Context, Result};

/// Whether somebody asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// The number of the signal that asked.
    signal: Arc<AtomicU8>,
}

impl Stop {
    /// Asks at the first signal (Ctrl-C, `kill`, a terminal that is closed); the second one ends the process.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        let told = stop.clone();
        watch(move |signal| told.by(signal)).context("signals cannot be caught")?;
        Ok(stop)
    }

    /// The same, the first time; then what `slot` has by now.
    pub fn once(slot: &mut Option<Self>) -> Result<&Self> {
        Ok(match slot {
            Some(stop) => stop,
            none => none.insert(Self::on_signals()?),
        })
    }

    /// Whether it was asked for.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// What becomes true once it is asked for.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// What a shell is told of a job that was stopped: 128 and the signal's number, as where the signal ends the process
    /// itself: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 138 for SIGUSR1. 0 where nobody asked.
    pub fn code(&self) -> ExitCode {
        match self.signal.load(Ordering::SeqCst) {
            0 => ExitCode::SUCCESS,
            signal => ExitCode::from(128 + signal),
        }
    }

    fn by(&self, signal: u8) {
        self.signal.store(signal, Ordering::SeqCst);
        if self.asked.swap(true, Ordering::SeqCst) {
            std::process::exit(128 + i32::from(signal));
        }
        note!("\nfinishing what is under way; once more to quit at once");
    }
}

/// Has `asked` called with the number of each signal.
#[cfg(unix)]
fn watch(asked: impl Fn(u8) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    // A terminal that is closed is none of `nohup`'s. (Shells have what they start in the background ignore Ctrl-C; who sends
    // that signal there means it.)
    let closed = (!ignored(SIGHUP)).then_some(SIGHUP);
    // Which `mpirun` passes on to all ranks, and batch systems send ahead of the end.
    let wanted = [SIGINT, SIGTERM, SIGUSR1].into_iter().chain(closed);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let wait = move || signals.forever().filter_map(|it| u8::try_from(it).ok()).for_each(asked);
    std::thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Whether the process ignores a signal, where the system tells (Linux).
#[cfg(unix)]
fn ignored(signal: i32) -> bool {
    let status = crate::disk::read::bytes(std::path::Path::new("/proc/self/status"));
    let mask = status.ok().and_then(|bytes| {
        let text = String::from_utf8(bytes).ok()?;
        let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Where there is but Ctrl-C.
#[cfg(not(unix))]
fn watch(asked: impl Fn(u8) + Send + 'static) -> std::io::Result<()> {
    const SIGINT: u8 = 2;
    ctrlc::set_handler(move || asked(SIGINT)).map_err(std::io::Error::other)
}
