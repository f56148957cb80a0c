//! On which processors the threads of Mesa's software Vulkan driver run.
//!
//! That driver cuts every dispatch into equal parts, one for each of its threads, and waits for the last. Linux may wake two of them on
//! one processor, where they take turns while another is idle; a thread that has a processor of its own does not wait
//! (docs/kernels.md).

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The name of the driver's threads for pictures, with a number behind it. Those that compute are made right after them.
const PICTURES: &str = "llvmpipe-";

/// A thread of this process: its number and name.
type Thread = (i32, String);

/// Gives each thread of the driver that computes a processor of its own, where it has as many threads as this process may use
/// processors. Threads of drivers that name them in another way stay as they are.
pub fn keep_apart() {
    if let Err(error) = try_keep_apart() {
        tracing::debug!("the threads of the software driver stay where they are: {error}");
    }
}

fn try_keep_apart() -> std::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let processors: Vec<usize> =
        (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).collect();
    for pool in pools(&threads()?).into_iter().filter(|pool| pool.len() == processors.len()) {
        for (thread, processor) in pool.into_iter().zip(&processors) {
            let mut own = CpuSet::new();
            own.set(*processor);
            sched_setaffinity(Pid::from_raw(thread), &own)?;
        }
    }
    Ok(())
}

/// The threads of this process in the order in which they were made, the first one first.
fn threads() -> std::io::Result<Vec<Thread>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        // One that has ended meanwhile has no name.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            all.push((number, name.trim_end().to_string()));
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// The threads that compute, of each time that the driver was opened: as many as those for pictures, right behind them, with the name
/// of the thread that opened it.
fn pools(threads: &[Thread]) -> Vec<Vec<i32>> {
    let Some((_, own)) = threads.first() else { return Vec::new() };
    let pictures = |threads: &[Thread]| {
        let numbered = |number: &usize| threads[*number].1 == format!("{PICTURES}{number}");
        (0..threads.len()).take_while(numbered).count()
    };
    let pool = |start: usize| {
        let count = pictures(&threads[start..]);
        let computing = threads.get(start + count..start + 2 * count)?;
        let found = count > 0 && computing.iter().all(|(_, name)| name == own);
        found.then(|| computing.iter().map(|(number, _)| *number).collect())
    };
    (0..threads.len()).filter_map(pool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Thread> {
        names.iter().zip(100..).map(|(name, number)| (number, (*name).to_string())).collect()
    }

    #[test]
    fn threads_that_compute_follow_those_for_pictures() {
        let [zero, one] = ["llvmpipe-0", "llvmpipe-1"];
        let opened = [zero, one, "reptile", "reptile", "reptile:disk$0"];
        let twice = [&["reptile"][..], &opened, &["reptile"], &opened, &["signals"]].concat();
        assert_eq!(pools(&named(&twice)), [[103, 104], [109, 110]]);
        for other in [
            &["reptile"][..],
            &["reptile", zero],
            &["reptile", zero, one, "reptile"],
            &["reptile", zero, one, "reptile", "signals"],
            &["reptile", one, "reptile"],
            &[],
        ] {
            assert!(pools(&named(other)).is_empty(), "{other:?}");
        }
    }
}
