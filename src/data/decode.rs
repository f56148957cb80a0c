//! Decoding a whole data set into memory, on all cores.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use image::Limits;

use crate::disk::read::IMAGE;
use crate::error::{Error, Result};

/// Zeros for `images` images of `bits` bits, each a whole number of words.
///
/// # Errors
/// [`Error::Limit`] for more words than the device can count, [`Error::Config`] for more than this
/// machine has.
pub(super) fn room(images: usize, bits: u128) -> Result<Vec<u32>> {
    let words = (images as u128).saturating_mul(bits.div_ceil(32));
    let Ok(len) = u32::try_from(words) else {
        return Err(Error::Limit {
            unit: "bytes",
            what: format!("the set of {images} images"),
            needed: u64::try_from(words.saturating_mul(4)).unwrap_or(u64::MAX),
            available: 4 * u64::from(u32::MAX),
            remedy: "lower tasks.size".into(),
        });
    };
    let mut packed = Vec::new();
    packed.try_reserve_exact(len as usize).map_err(|error| {
        let message = format!("{images} images of this size are too large ({error}); lower it");
        Error::config("tasks.size", message)
    })?;
    packed.resize(len as usize, 0);
    Ok(packed)
}

/// What the decoder of an image may take.
///
/// # Errors
/// [`Error::Config`] if the user set a limit that is no number.
pub(super) fn limits() -> Result<Limits> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(IMAGE.bytes()?);
    Ok(limits)
}

/// How many broken files a message lists.
const LISTED: usize = 20;

/// Runs `decode` on every job, each with its own words of `packed` (as many as `words_of` says, in
/// the jobs' order). Each thread makes a reader with `open`. `progress` hears of the images decoded
/// and their number, an image being `words` words.
///
/// # Errors
/// All that fail, in the jobs' order: one as it is, several as a list for the data set in `folder`.
pub(super) fn on_all_cores<J: Sync, R>(
    jobs: &[J],
    words_of: impl Fn(&J) -> usize,
    (packed, words): (&mut [u32], usize),
    folder: &Path,
    open: impl Fn() -> Result<R> + Sync,
    decode: impl Fn(&mut R, &J, &mut [u32]) -> Result<()> + Sync,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let total = (packed.len() / words.max(1)) as u64;
    let mut rest = packed;
    let mut shares = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        let (share, others) = rest.split_at_mut(words_of(job));
        shares.push((index, job, share));
        rest = others;
    }
    let queue = Mutex::new(shares.into_iter());
    let done = AtomicUsize::new(0);
    // A thread's jobs that fail, by their index.
    let work = || -> Vec<(usize, Error)> {
        let mut failed = Vec::new();
        let mut reader = match open() {
            Ok(reader) => reader,
            Err(error) => return vec![(0, error)],
        };
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, job, share)) = next else { return failed };
            let length = share.len();
            failed.extend(decode(&mut reader, job, share).err().map(|error| (index, error)));
            done.fetch_add(length, Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failed: Vec<(usize, Error)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(jobs.len())).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            progress((done.load(Ordering::Relaxed) / words.max(1)) as u64, total);
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = workers.into_iter().map(|it| it.join().expect("decoding does not panic"));
        ended.flatten().collect()
    });
    failed.sort_by_key(|(index, _)| *index);
    if !failed.is_empty() {
        return Err(error_of_all(failed.into_iter().map(|(_, error)| error).collect(), folder));
    }
    progress(total, total);
    Ok(())
}

/// One error for all that `failed` in `folder`, at least one: that one, or a line each, the first ones.
pub(super) fn error_of_all(mut failed: Vec<Error>, folder: &Path) -> Error {
    let mut lines: Vec<String> = failed.iter().map(Error::to_string).collect();
    lines.dedup();
    if lines.len() == 1 {
        // A single one, or every thread failed to open the same thing.
        return failed.swap_remove(0);
    }
    let count = lines.len();
    lines.truncate(LISTED);
    if count > LISTED {
        lines.push(format!("and {} more", count - LISTED));
    }
    Error::data(folder, format!("{count} files cannot be used:\n  {}", lines.join("\n  ")))
}
