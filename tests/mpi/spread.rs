//! `eval`, `sweep` and `reproduce` on several ranks: the results of one process, to the byte.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::common::sweep_file::write;
use crate::faults::{ends, processes, signal};
use crate::program::{ONE_HIDDEN, bytes_of_parameters, has_data, program, wait_for, without_times};
use crate::{done, mpirun, train};

fn stdout(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn test_tasks_are_shared_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let mut command = program();
    command.args(train("outer.meta_batch=2", "40", &["--runs", "2"], &folder.path().join("run")));
    done(command);
    let (run, one, three) = (at("run"), at("one.csv"), at("three.csv"));
    let arguments = |file| ["eval", &run, "--tasks", "50", "--json", "--per-task", file];
    let mut alone = program();
    alone.args(arguments(&one));
    let wanted = stdout(alone);
    let mut all = arguments(&three).to_vec();
    all.push("--distributed");
    assert_eq!(stdout(mpirun(3, &all)), wanted);
    let [one, three] = [one, three].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(one.lines().count() > 100 && one == three);
}

fn results(out: &Path) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let best = bytes_of_parameters(&out.join("best.safetensors"));
    vec![read("results.json"), read("best.toml"), format!("{best:?}")]
}

/// Also with halving and a run that diverges, and where it is killed on the way and another number of ranks goes on with it.
#[test]
fn the_runs_of_a_sweep_are_shared_out() {
    let folder = tempfile::tempdir().unwrap();
    let text = "seeds = 2\nsearch = \"halving\"\nfirst = 4\n[values]\ninner.rate = [0.001, 0.02, 1e30]\nouter.rate = [0.1, 0.5]\n";
    let file = write(folder.path(), text).to_str().unwrap().to_string();
    let at = |name: &str| folder.path().join(name);
    let mut alone = program();
    alone.args(["sweep", &file, "--no-autotune", "--out"]).arg(at("one"));
    done(alone);
    let wanted = results(&at("one"));
    for ranks in [2, 3] {
        let out = at(&format!("on-{ranks}"));
        let path = out.to_str().unwrap();
        let start = ["sweep", &file, "--no-autotune", "--distributed", "--out", path];
        let said = done(mpirun(ranks, &start));
        assert!(said.contains(&format!("rank {} of {ranks}", ranks - 1)), "{said}");
        assert!(results(&out) == wanted, "{ranks} ranks");
    }
    for kill in 0..3 {
        let out = at(&format!("killed-{kill}"));
        let path = out.to_str().unwrap();
        let start = ["sweep", &file, "--no-autotune", "--distributed", "--out", path];
        let child = mpirun(3, &start).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(|| out.join("state.json").exists());
        std::thread::sleep(Duration::from_millis(300 * kill));
        if let Some(rank) = processes(&child).get(kill as usize) {
            signal(*rank, "KILL");
        }
        ends(child, Duration::from_secs(20));
        let go_on = ["sweep", "--out", path, "--resume", "--no-autotune", "--distributed"];
        done(mpirun(2, &go_on));
        assert!(results(&out) == wanted, "killed");
    }
}

fn table(out: &Path) -> Value {
    let text = std::fs::read_to_string(out.join("table.json")).unwrap();
    let mut table: Value = serde_json::from_str(&text).unwrap();
    without_times(&mut table);
    table
}

#[test]
fn the_cells_of_a_reproduction_are_shared_out() {
    if !has_data() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let arguments = |out: &str| -> Vec<String> {
        let mut all: Vec<String> =
            ["reproduce", "--scale", "0.001", "--tasks", "4", "--no-autotune", "--out", out]
                .map(String::from)
                .to_vec();
        all.extend(
            ["omniglot-mlp-5w1s", "omniglot-mlp-5w5s", "--set", ONE_HIDDEN].map(String::from),
        );
        all
    };
    let out = |name: &str| at(name).to_str().unwrap().to_string();
    let mut alone = program();
    alone.args(arguments(&out("one")));
    done(alone);
    let mut all = arguments(&out("two"));
    all.push("--distributed".into());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    // Three ranks for two trainings.
    let said = done(mpirun(3, &all));
    assert!(said.contains("1 of 3 ranks train nothing"), "{said}");
    assert_eq!(table(&at("two")), table(&at("one")));
    // What is done is kept.
    let two = out("two");
    let again = ["reproduce", "--out", &two, "--resume", "--no-autotune", "--distributed"];
    done(mpirun(2, &again));
    assert_eq!(table(&at("two")), table(&at("one")));
}
