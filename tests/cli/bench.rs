//! `reptile bench` measures, stores and compares.

use std::path::Path;

use crate::program::{refusal, reptile};
use reptile::experiments::bench::Report;

#[test]
fn the_program_measures_reports_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let out = file.to_str().unwrap();
    let card = folder.path().join("card");
    // Variants are timed by the tuner's own tests.
    let arguments =
        ["bench", "--quick", "--no-autotune", "--workload", "sine", "norm", "--tasks", "2"];
    let svg = folder.path().join("a.svg");
    let mut command = reptile();
    command.args(arguments).args(["--out", out, "--plot"]).arg(&svg).arg("--report").arg(&card);
    let printed = command.output().unwrap();
    assert!(std::fs::read_to_string(svg).unwrap().contains("sine, 2 tasks"));
    assert!(printed.status.success(), "{printed:?}");
    let summary = String::from_utf8(printed.stdout).unwrap();
    assert!(summary.contains("| sine "), "{summary}");
    let read =
        |path: &Path| -> Report { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let report = read(&file);
    assert_eq!(report.rows.len(), 3, "a training and two directions of a batch-norm");
    assert_eq!(read(&card.join("report.json")), report);
    assert!(report.adapters.iter().any(|adapter| adapter.name == report.device.name));
    let page = std::fs::read_to_string(card.join("report.md")).unwrap();
    for part in ["## Adapters", summary.trim_end(), "| outer_update | – | 20×1×1 | 20 | – |"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let compared = reptile().args(["bench", "--compare", out, out]).output().unwrap();
    assert!(String::from_utf8_lossy(&compared.stdout).contains("B / A"), "{compared:?}");
    let text = refusal(reptile().args(arguments).args(["--out", out]));
    assert!(text.contains("a.json: exists already"), "{text}");
    let text = refusal(reptile().args(arguments).arg("--report").arg(&card));
    assert!(text.contains("card: exists already"), "{text}");
    let other = folder.path().join("b.json");
    std::fs::write(&other, "{}").unwrap();
    let text = refusal(reptile().args(["bench", "--compare", out, other.to_str().unwrap()]));
    assert!(text.contains("b.json is no report"), "{text}");
    // Dispatches alone: what was compiled above.
    let kernels =
        ["bench", "--quick", "--no-autotune", "--kernels", "--workload", "sine", "--tasks", "2"];
    let printed = reptile().args(kernels).output().unwrap();
    let table = String::from_utf8_lossy(&printed.stdout);
    for part in ["| kernel | layer | grid |", "| fused_", "| outer_update | – | 20×1×1 | 20 | – |"]
    {
        assert!(table.contains(part), "{part}: {printed:?}");
    }
}

#[test]
fn what_cannot_be_measured_or_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (arguments, part) in [
        ("--kernels --workload sine gemm", "gemm is a kernel alone"),
        ("--variants --workload norm", "norm is a kernel alone"),
        ("--scaling --workload dense", "not dense"),
        ("--out a.svg --plot a.svg", "--plot and --out both name a.svg"),
        ("--report a --out ./a", "--report and --out both name a"),
        ("--report file/a", "file is a file"),
        ("--out none/a", "make it first"),
        ("--plot a.png", ".svg"),
    ] {
        let mut command = reptile();
        command.arg("bench").args(arguments.split(' ')).current_dir(folder.path());
        let text = refusal(&mut command);
        assert!(text.contains(part), "{arguments}: {text}");
    }
    let kept: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
}
