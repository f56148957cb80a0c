//! Jobs that are killed at random moments, without a warning, once or several times, or that their driver crashes, come to the files of a job that never was.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use reptile::rng::{Draws, Part, Phase, Stream};
use serde_json::Value;

use crate::common::sweep_file::write;
use crate::program::{SMALL, bytes_of_parameters, program, without_times};

/// Kills in all, in `make test`; `REPTILE_CRASHES` is another number (`make crash-test`: a thousand).
const KILLS: usize = 4;

/// A kind of job: its command, that of going on with it, and what it comes to.
struct Kind {
    name: &'static str,
    start: fn(folder: &Path) -> Command,
    result: fn(out: &Path) -> Vec<Value>,
}

const KINDS: [Kind; 4] = [
    Kind { name: "train", start: train, result: trained },
    Kind { name: "sweep", start: sweep, result: swept },
    Kind { name: "reproduce", start: reproduce, result: reproduced },
    Kind { name: "online", start: online, result: learned },
];

fn train(_: &Path) -> Command {
    let mut command = program();
    command.args(["train", "--preset", "sine", "--iterations", "40", "--no-autotune"]).args(SMALL);
    // A line's losses are means since the line before, or since the checkpoint that the run goes on from.
    let log = ["log.every=3", "log.checkpoint_every=3", "log.keep=2"];
    for setting in log.into_iter().chain(["eval.every=8", "eval.validation_tasks=4"]) {
        command.args(["--set", setting]);
    }
    command
}

fn trained(out: &Path) -> Vec<Value> {
    let state = |name: &str| {
        let tensors = bytes_of_parameters(&out.join("checkpoints").join(name));
        Value::from(format!("{tensors:?}"))
    };
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter_mut().for_each(without_times);
    lines.push(state("0000000040.safetensors"));
    lines.push(state("best.safetensors"));
    lines
}

fn sweep(folder: &Path) -> Command {
    let file = write(folder, "[values]\ninner.rate = [0.001, 0.02]\nouter.rate = [0.1, 0.5]");
    let mut command = program();
    command.arg("sweep").arg(file).arg("--no-autotune");
    command
}

fn swept(out: &Path) -> Vec<Value> {
    vec![json(&out.join("results.json"))]
}

fn reproduce(_: &Path) -> Command {
    let mut command = program();
    command.args(["reproduce", "sine", "--scale", "0.001", "--tasks", "4", "--seeds", "2"]);
    command.arg("--no-autotune").args(SMALL).args(["--set", "log.checkpoint_every=4"]);
    command
}

fn reproduced(out: &Path) -> Vec<Value> {
    let mut table = json(&out.join("table.json"));
    without_times(&mut table);
    vec![table]
}

fn online(_: &Path) -> Command {
    let mut command = program();
    command.args(["online", "--preset", "sine", "--set", "outer.meta_batch=2"]).args(SMALL);
    command.args(["--tasks", "4", "--meta-steps", "3", "--samples", "2"]);
    command
}

fn learned(out: &Path) -> Vec<Value> {
    vec![json(&out.join("online.json"))]
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Lets `command` run for `time`; whether it was over by then. Its words are kept in `log`.
fn run_for(mut command: Command, time: Duration, log: &Path) -> bool {
    let log = std::fs::File::create(log).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// `command` with so little memory that a software driver may crash the process, or wait for ever.
fn limited(command: &Command, mib: u32) -> Command {
    let mut shell = Command::new("sh");
    let line = format!("ulimit -c 0; ulimit -v {}; exec \"$@\"", mib << 10);
    shell.args(["-c", &line, "sh"]).arg(command.get_program()).args(command.get_args());
    let environment = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.envs(environment);
    shell
}

/// The command that goes on with what lies in `out`, or begins where nothing does yet.
fn next(kind: &Kind, folder: &Path, out: &Path) -> Command {
    let state = match kind.name {
        "train" => "config.toml",
        "sweep" => "state.json",
        "reproduce" => "reproduce.json",
        _ => "state.safetensors",
    };
    if !out.join(state).exists() {
        let mut command = (kind.start)(folder);
        command.arg("--out").arg(out);
        return command;
    }
    let mut command = program();
    command.args([kind.name, "--resume", "--out"]).arg(out);
    if kind.name != "online" {
        command.arg("--no-autotune");
    }
    command
}

/// Kills a job of this kind so many times, and has it go on each time; how often it was killed.
fn crash(kind: &Kind, kills: usize, draws: &mut Draws) {
    let folder = tempfile::tempdir().unwrap();
    let (log, whole) = (folder.path().join("log"), folder.path().join("whole"));
    let start = Instant::now();
    let ended = run_for(next(kind, folder.path(), &whole), Duration::from_secs(120), &log);
    assert!(ended, "{}: {}", kind.name, std::fs::read_to_string(&log).unwrap());
    let (time, wanted) = (start.elapsed(), (kind.result)(&whole));
    let mut left = kills;
    while left > 0 {
        let out = tempfile::tempdir_in(folder.path()).unwrap().path().join("out");
        std::fs::create_dir(out.parent().unwrap()).unwrap();
        let mut moments = Vec::new();
        loop {
            // After a kill, the next one as often as not.
            let again = left > 0 && (moments.is_empty() || draws.random_range(0..2) == 0);
            let part = draws.random_range(0..1000);
            let moment = if again { time * part / 1000 } else { Duration::from_secs(120) };
            moments.push(moment);
            let mut command = next(kind, folder.path(), &out);
            // Every fourth time less memory than it needs, or a little more.
            if again && draws.random_range(0..4) == 0 {
                command = limited(&command, draws.random_range(900..1300));
            }
            let ended = run_for(command, moment, &log);
            if ended || !again {
                break;
            }
            left -= 1;
        }
        let said = std::fs::read_to_string(&log).unwrap();
        let done = match kind.name {
            "train" => out.join("checkpoints/0000000040.safetensors"),
            "sweep" => out.join("results.json"),
            "reproduce" => out.join("table.json"),
            _ => out.join("online.json"),
        };
        assert!(done.exists(), "{} after {moments:?}: {said}", kind.name);
        if (kind.result)(&out) != wanted {
            // Kept to be looked at.
            let kept = std::env::temp_dir().join(format!("reptile-crash-{}", std::process::id()));
            std::fs::rename(&out, &kept).unwrap();
            panic!("{} after {moments:?} came to something else: {}", kind.name, kept.display());
        }
        std::fs::remove_dir_all(out.parent().unwrap()).unwrap();
    }
}

#[test]
fn killed_jobs_come_to_the_same_files() {
    let kills = std::env::var("REPTILE_CRASHES").ok().map(|text| text.parse().unwrap());
    let kills: usize = kills.unwrap_or(KILLS);
    std::thread::scope(|scope| {
        for (number, kind) in (0..).zip(&KINDS) {
            let stream = Stream::new(number, Phase::Test, 0, 0);
            let own = kills / KINDS.len();
            scope.spawn(move || crash(kind, own, &mut stream.draws(Part::Task)));
        }
    });
}
