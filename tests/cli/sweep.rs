//! `reptile sweep` from end to end.

use crate::common::sweep_file::write;
use crate::program::{refusal, reptile, stderr, stdout};
use reptile::config::Config;
use serde_json::Value;

#[test]
fn the_program_searches_resumes_and_hands_over_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "[values]\ninner.rate = [0.0001, 0.02]");
    let out = folder.path().join("sweep");
    let sweep = |arguments: &[&str]| {
        let mut command = reptile();
        command.arg("sweep").args(arguments).arg("--out").arg(&out);
        command
    };
    let name = file.display().to_string();
    let done = sweep(&[&name]).assert().success();
    let table = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(stderr(done).contains("; 2 train at once, the device has room for "));
    assert!(table.contains("| inner.rate | validation loss |"), "{table}");
    assert!(table.contains("| 1 | 0.02 |") && table.contains("| 2 | 0.0001 |"), "{table}");
    assert_eq!(stdout(&mut sweep(&["--resume"])), table, "nothing is left to do");
    assert!(std::fs::read_to_string(out.join("results.svg")).unwrap().contains("inner.rate"));
    let rows = serde_json::from_str::<Value>(&stdout(&mut sweep(&["--resume", "--json"]))).unwrap();
    assert_eq!(rows["rows"][0]["iterations"], 12);
    let run = folder.path().join("run");
    let mut train = reptile();
    train.arg("train").arg(out.join("best.toml")).arg("--out").arg(&run);
    assert!(stderr(train.assert().success()).contains("12 meta-iterations"));
    let best = Config::load(out.join("best.toml")).unwrap();
    assert_eq!((best.inner.rate, best.runs), (0.02, 1));
    let [a, b] = [out.join("best.safetensors"), run].map(|path| {
        let mut eval = reptile();
        eval.args(["eval", "--json", "--no-baseline", "--tasks", "3"]).arg(path);
        serde_json::from_str::<Value>(&stdout(&mut eval)).unwrap()["runs"].take()
    });
    assert_eq!(a, b, "its state is that of the run by itself");

    let text = refusal(&mut sweep(&[&name]));
    assert!(text.contains("--resume") && text.contains("another --out"), "{text}");
    let other = write(folder.path(), "[values]\ninner.rate = [0.3]");
    let text = refusal(&mut sweep(&[&other.display().to_string(), "--resume"]));
    assert!(text.contains("another sweep was begun"), "{text}");
}
