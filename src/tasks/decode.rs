//! Decoding a whole data set into memory, on all cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// Runs `decode` on every job, each with its own words of `packed` (as many as `words_of` says, in
/// the jobs' order). Each thread makes a reader with `open`. `progress` hears of the images decoded
/// and their number, an image being `words` words.
///
/// # Errors
/// That of the first job that fails; later ones are then not begun.
pub(super) fn on_all_cores<J: Sync, R>(
    jobs: &[J],
    words_of: impl Fn(&J) -> usize,
    (packed, words): (&mut [u32], usize),
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
    let (done, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    // The first of a thread's jobs that fails, by its index.
    let work = || -> Result<(), (usize, Error)> {
        let mut reader = open().map_err(|error| (0, error))?;
        while !failed.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, job, share)) = next else { break };
            let length = share.len();
            decode(&mut reader, job, share).map_err(|error| {
                failed.store(true, Ordering::Relaxed);
                (index, error)
            })?;
            done.fetch_add(length, Ordering::Relaxed);
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(jobs.len())).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            progress((done.load(Ordering::Relaxed) / words.max(1)) as u64, total);
            std::thread::sleep(Duration::from_millis(20));
        }
        workers.into_iter().map(|worker| worker.join().expect("decoding does not panic")).collect()
    });
    let errors = results.into_iter().filter_map(Result::err);
    if let Some((_, error)) = errors.min_by_key(|(index, _)| *index) {
        return Err(error);
    }
    progress(total, total);
    Ok(())
}
