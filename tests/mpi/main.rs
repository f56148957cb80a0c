//! The program on several ranks of this machine, which `mpirun` starts (Open MPI): `make mpi-test`.

#[path = "../common/mod.rs"]
mod common;

#[path = "../cli/program.rs"]
mod program;

mod faults;
mod kills;
mod spread;
mod training;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::SMALL;

/// A command that starts `ranks` processes of the program with `arguments`, on as many cores as there are.
fn mpirun(ranks: usize, arguments: &[&str]) -> Command {
    let mut command = mpirun_each(&[]);
    command.args(["-n", &ranks.to_string()]).arg(env!("CARGO_BIN_EXE_reptile")).args(arguments);
    command
}

/// Arguments and environment variables of one process.
type Rank<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

/// The same, each process with its own.
fn mpirun_each(ranks: &[Rank<'_>]) -> Command {
    let mut command = Command::new("mpirun");
    command.env("REPTILE_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.args(["--oversubscribe", "--bind-to", "none"]);
    for (place, (arguments, variables)) in ranks.iter().enumerate() {
        if place > 0 {
            command.arg(":");
        }
        command.args(["-n", "1"]);
        for (name, value) in *variables {
            command.args(["-x", &format!("{name}={value}")]);
        }
        command.arg(env!("CARGO_BIN_EXE_reptile")).args(*arguments);
    }
    command
}

/// The arguments of a training of sine waves by a small network, `tasks` a rank, with more of them; into `out`.
fn train<'a>(tasks: &'a str, iterations: &'a str, more: &[&'a str], out: &'a Path) -> Vec<&'a str> {
    let out = out.to_str().unwrap();
    let mut all = vec!["train", "--preset", "sine", "--iterations", iterations, "--no-autotune"];
    all.extend(SMALL);
    all.extend(["--set", tasks, "--set", "log.every=10", "--set", "log.checkpoint_every=20"]);
    all.extend(["--out", out]);
    all.extend(more);
    all
}

/// What a command that ends well has said on stderr.
fn done(mut command: Command) -> String {
    let output = command.output().expect("mpirun is installed: scripts/setup.sh --mpi");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// What one that does not end well has said.
fn refused(mut command: Command) -> String {
    let output = command.output().expect("mpirun is installed: scripts/setup.sh --mpi");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{command:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Goes on with a run of `ranks` ranks up to so many meta-iterations.
fn resume(out: &Path, ranks: usize, iterations: u64) -> String {
    let (path, iterations) = (out.to_str().unwrap(), iterations.to_string());
    let mut all = vec!["train", "--out", path, "--resume", "--iterations", &iterations];
    all.extend(["--distributed", "--no-autotune"]);
    done(mpirun(ranks, &all))
}

fn checkpoint(out: &Path, iteration: u64) -> PathBuf {
    out.join("checkpoints").join(format!("{iteration:010}.safetensors"))
}

/// The numbers of the newest checkpoint of a run, which has done `iteration` meta-iterations.
fn parameters(out: &Path, iteration: u64) -> Vec<f32> {
    let tensors = program::bytes_of_parameters(&checkpoint(out, iteration));
    let numbers = tensors.values().flat_map(|bytes| bytes.as_chunks().0);
    numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
