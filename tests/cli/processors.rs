//! Each thread of Mesa's software driver that computes has a processor of its own.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use crate::program::{SMALL, program, signal, wait_for};

/// The processors of a thread, by the folder that the system keeps of it: `0-3,5` is five.
fn processors(thread: &Path) -> Option<Vec<usize>> {
    let status = std::fs::read_to_string(thread.join("status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let range = |part: &str| {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    Some(list.split(',').flat_map(range).collect())
}

#[test]
fn each_thread_that_computes_has_a_processor_of_its_own() {
    let all = processors(Path::new("/proc/self")).unwrap();
    // With more processors Mesa has fewer threads.
    if !(2..=16).contains(&all.len()) {
        eprintln!("skipped: {} processors", all.len());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = program();
    command.args(["train", "--preset", "sine", "--device", "llvmpipe", "--iterations", "10000000"]);
    command.args(SMALL).arg("--out").arg(&out).stderr(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let metrics = out.join("metrics.jsonl");
    wait_for(|| std::fs::metadata(&metrics).is_ok_and(|about| about.len() > 0));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let threads: Vec<_> = tasks.map(|entry| entry.unwrap().path()).collect();
    let named = |thread: &Path, name: &str| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|own| own.trim_end() == name)
    };
    // Mesa has as many threads for pictures as it has to compute.
    let last = format!("llvmpipe-{}", all.len() - 1);
    let pools = threads.iter().filter(|thread| named(thread, &last)).count();
    let more = format!("llvmpipe-{}", all.len());
    let fits = !threads.iter().any(|thread| named(thread, &more));
    let mut bound: BTreeMap<usize, usize> = BTreeMap::new();
    for own in threads.iter().filter_map(|thread| processors(thread)) {
        if let [processor] = own[..] {
            *bound.entry(processor).or_default() += 1;
        }
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    assert!(pools > 0 && fits, "{pools} times {} threads for pictures", all.len());
    assert_eq!(bound, all.into_iter().map(|processor| (processor, pools)).collect());
}
