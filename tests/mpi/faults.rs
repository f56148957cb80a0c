//! Ranks that are stopped, lose their device or do another job: all end in time and say which it was.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::program::wait_for;
use crate::{Rank, done, mpirun, mpirun_each, parameters, refused, resume, train};

/// A training that does not end by itself, with its words in `log`.
pub fn endless(ranks: usize, out: &Path, more: &[&str]) -> (Child, std::path::PathBuf) {
    let log = out.with_extension("log");
    let flags = [&["--distributed", "--set", "outer.schedule.kind=constant"], more].concat();
    let mut command = mpirun(ranks, &train("outer.meta_batch=2", "1000000", &flags, out));
    let file = std::fs::File::create(&log).unwrap();
    let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
    (child, log)
}

/// The processes that `mpirun` has started, in the order of their ranks.
pub fn processes(of: &Child) -> Vec<u32> {
    let output = Command::new("pgrep").args(["-P", &of.id().to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Sends a signal, if the process is still there.
pub fn signal(process: u32, name: &str) {
    let arguments = [&format!("-{name}"), &process.to_string()];
    Command::new("kill").args(arguments).stderr(Stdio::null()).status().unwrap();
}

/// Waits for the end, that of all ranks too, which must come within `most`.
pub fn ends(mut child: Child, most: Duration) -> std::process::ExitStatus {
    let (began, ranks) = (Instant::now(), processes(&child));
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            // A rank that is ended may be there for a moment longer than `mpirun`.
            let is_there = |rank: &u32| Path::new(&format!("/proc/{rank}/exe")).exists();
            wait_for(|| !ranks.iter().any(is_there));
            return status;
        }
        if began.elapsed() > most {
            let _ = child.kill();
            panic!("it did not end within {} seconds", most.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn has_checkpoint(out: &Path) -> bool {
    out.join("checkpoints").read_dir().is_ok_and(|files| {
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("00000"))
    })
}

/// Goes on with `out` for some meta-iterations.
fn goes_on(out: &Path, ranks: usize) {
    let newest = newest(out);
    let said = resume(out, ranks, newest + 20);
    assert!(said.contains(&format!("resuming at iteration {newest}")), "{said}");
    assert!(parameters(out, newest + 20).iter().all(|number| number.is_finite()));
}

pub fn newest(out: &Path) -> u64 {
    let names = crate::program::numbers(out);
    names.iter().filter_map(|name| name.parse().ok()).max().unwrap()
}

/// Of each rank, the first one too: it is named with its host, and the others do not wait for longer than they were told.
#[test]
fn a_rank_that_hangs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for rank in [1, 0] {
        let out = folder.path().join(format!("hangs-{rank}"));
        let (child, log) = endless(3, &out, &["--timeout", "2"]);
        wait_for(|| has_checkpoint(&out));
        signal(processes(&child)[rank], "STOP");
        assert!(!ends(child, Duration::from_secs(20)).success());
        let said = std::fs::read_to_string(log).unwrap();
        let named = format!("rank {rank} on ");
        assert_eq!(said.matches(&named).count(), 1, "{said}");
        assert!(said.contains("no answer for 2 seconds; raise --timeout"), "{said}");
        assert!(rank == 0 || said.contains("the last checkpoint is"), "{said}");
        goes_on(&out, 2);
    }
}

#[test]
fn a_rank_that_loses_its_device_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for rank in [1, 0] {
        let out = folder.path().join(format!("lost-{rank}"));
        let flags = ["--distributed", "--timeout", "60"];
        let arguments = train("outer.meta_batch=2", "100000", &flags, &out);
        let lost = [("REPTILE_LOSE_DEVICE_AT", "90")];
        let mut ranks: Vec<Rank<'_>> = vec![(&arguments, &[]); 3];
        ranks[rank].1 = &lost;
        let began = Instant::now();
        let said = refused(mpirun_each(&ranks));
        assert!(began.elapsed() < Duration::from_secs(30), "{said}");
        let named = format!("rank {rank} on ");
        assert!(said.contains(&named) && said.contains("the device was lost"), "{said}");
        assert!(said.contains("the last checkpoint is"), "{said}");
        goes_on(&out, 3);
    }
}

#[test]
fn a_rank_that_is_killed_ends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("killed");
    let (child, log) = endless(3, &out, &[]);
    wait_for(|| has_checkpoint(&out));
    signal(processes(&child)[2], "KILL");
    assert!(!ends(child, Duration::from_secs(20)).success());
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("rank 2") && said.contains("Killed"), "{said}");
    goes_on(&out, 3);
}

/// Signals to `mpirun`, and what batch systems send ahead of the end, which it passes on.
#[test]
fn signals_stop_all_ranks_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["INT", "TERM", "USR1"] {
        let out = folder.path().join(name);
        let (child, log) = endless(2, &out, &["--local-steps", "3"]);
        wait_for(|| has_checkpoint(&out));
        signal(child.id(), name);
        ends(child, Duration::from_secs(20));
        let said = std::fs::read_to_string(log).unwrap();
        assert!(said.contains("interrupted: "), "{name}: {said}");
        assert!(said.contains("go on with: mpirun -n 2 reptile train --out "), "{name}: {said}");
        goes_on(&out, 2);
    }
}

#[test]
fn ranks_of_different_jobs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("other");
    let [own, other] = ["outer.meta_batch=2", "outer.meta_batch=3"]
        .map(|tasks| train(tasks, "20", &["--distributed"], &out));
    let said = refused(mpirun_each(&[(&own, &[]), (&other, &[]), (&own, &[])]));
    assert!(said.contains("rank 1 on ") && said.contains("another configuration"), "{said}");
    assert!(said.contains("meta_batch = 3"), "{said}");
    assert!(!out.exists(), "nothing was begun");
    let missing =
        train("outer.meta_batch=2", "20", &["--distributed", "--device", "nowhere"], &out);
    let said = refused(mpirun_each(&[(&own, &[]), (&missing, &[])]));
    assert!(said.contains("rank 1 on ") && said.contains("nowhere"), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    // What is wrong with all of them is said once.
    let wrong = train("outer.meta_batch=0", "20", &["--distributed"], &out);
    let said = refused(mpirun(3, &wrong));
    assert_eq!(said.matches("outer.meta_batch").count(), 1, "{said}");
    let slot = ["--distributed", "--set", "memory.capacity=8"];
    let said = refused(mpirun(2, &train("outer.meta_batch=2", "20", &slot, &out)));
    assert_eq!(said.matches("memory.capacity").count(), 1, "{said}");
    let retry = ["--distributed", "--on-device-lost", "retry"];
    let said = refused(mpirun(2, &train("outer.meta_batch=2", "20", &retry, &out)));
    assert!(said.contains("--on-device-lost"), "{said}");
}

/// Also where they would wait for each other's words in another order.
#[test]
fn ranks_of_different_commands_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [out, run] = ["out", "run"].map(|name| folder.path().join(name));
    done(mpirun(2, &train("outer.meta_batch=2", "20", &["--distributed"], &run)));
    let begin = train("outer.meta_batch=2", "20", &["--distributed"], &out);
    let run = run.to_str().unwrap();
    let resume = ["train", "--resume", "--out", run, "--distributed"];
    let eval = ["eval", run, "--distributed"];
    for ranks in [[&begin[..], &resume], [&resume[..], &begin], [&begin[..], &eval]] {
        let began = Instant::now();
        let said = refused(mpirun_each(&ranks.map(|arguments| (arguments, &[][..]))));
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(said.contains("rank 1 on ") && said.contains("was started as"), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
    }
    assert!(!out.exists(), "nothing was begun");
}

/// What all ranks run into is said once.
#[test]
fn a_divergence_is_said_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for more in [&["--distributed"][..], &["--distributed", "--local-steps", "3"]] {
        let flags = [more, &["--set", "inner.rate=1e30"]].concat();
        let said = refused(mpirun(3, &train("outer.meta_batch=2", "20", &flags, &out)));
        assert_eq!(said.matches("diverged at iteration").count(), 1, "{said}");
        std::fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn an_exchange_is_measured_between_ranks() {
    let said = refused(mpirun(1, &["bench", "--exchange", "--distributed"]));
    assert!(said.contains("there is one rank"), "{said}");
    let output = mpirun(2, &["bench", "--exchange", "--distributed"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("| 1,000 | f32 | 4,000 |") && text.contains("µs a message"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("| 1024 | ")), "{text}");
}

/// Writes a file of lines y = a x, ten points of each.
fn lines(path: &Path, count: usize, factor: f32) {
    let x: Vec<f32> = (0..10 * count).map(|i| (i % 10) as f32 / 5.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().enumerate().map(|(i, x)| factor * (i / 10) as f32 * x).collect();
    let view = |values| {
        let bytes = bytemuck::cast_slice(values);
        TensorView::new(Dtype::F32, vec![count, 10, 1], bytes).unwrap()
    };
    let tensors = [("x", view(&x)), ("y", view(&y))];
    std::fs::write(path, serialize(tensors, None).unwrap()).unwrap();
}

/// Tasks over files: each rank reads its own copy.
#[test]
fn ranks_with_other_data_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let file = |name: &str, numbers: f32| {
        let path = folder.path().join(name);
        lines(&path, 30, numbers);
        format!("tasks.data={}", path.display())
    };
    let [own, same, other] =
        [("a.safetensors", 1.0), ("b.safetensors", 1.0), ("c.safetensors", 2.0)]
            .map(|(name, of)| file(name, of));
    let arguments = |data| {
        let more = [
            "--distributed",
            "--set",
            "tasks.kind=arrays",
            "--set",
            data,
            "--set",
            "tasks.shots=5",
        ];
        train("outer.meta_batch=2", "20", &more, &out)
            .into_iter()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let all = [own, same, other].map(|data| arguments(Box::leak(data.into_boxed_str())));
    let all: Vec<Vec<&str>> =
        all.iter().map(|one| one.iter().map(String::as_str).collect()).collect();
    let said = refused(mpirun_each(&[(&all[0], &[]), (&all[1], &[]), (&all[2], &[])]));
    assert!(said.contains("rank 2 on ") && said.contains("other data"), "{said}");
    assert!(!said.contains("rank 1 on vm has"), "the same data elsewhere are the same: {said}");
    done(mpirun_each(&[(&all[0], &[]), (&all[1], &[])]));
}
