//! `reptile bench` measures, stores and compares.

use crate::program::{refusal, reptile};
use reptile::bench::Report;

#[test]
fn the_program_measures_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let out = file.to_str().unwrap();
    let arguments = ["bench", "--quick", "--workload", "sine", "norm", "--tasks", "2"];
    let svg = folder.path().join("a.svg");
    let printed =
        reptile().args(arguments).args(["--out", out, "--plot"]).arg(&svg).output().unwrap();
    assert!(std::fs::read_to_string(svg).unwrap().contains("sine, 2 tasks"));
    assert!(printed.status.success(), "{printed:?}");
    assert!(String::from_utf8_lossy(&printed.stdout).contains("| sine "));
    let report: Report = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report.rows.len(), 3, "a training and two directions of a batch-norm");
    let compared = reptile().args(["bench", "--compare", out, out]).output().unwrap();
    assert!(String::from_utf8_lossy(&compared.stdout).contains("B / A"), "{compared:?}");
    let text = refusal(reptile().args(arguments).args(["--out", out]));
    assert!(text.contains("a.json: exists already"), "{text}");
    let other = folder.path().join("b.json");
    std::fs::write(&other, "{}").unwrap();
    let text = refusal(reptile().args(["bench", "--compare", out, other.to_str().unwrap()]));
    assert!(text.contains("b.json is no report"), "{text}");
}

#[test]
fn dispatches_are_printed_and_a_report_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("card");
    let arguments = ["bench", "--quick", "--kernels", "--workload", "sine", "--tasks", "2"];
    let printed = reptile().args(arguments).arg("--report").arg(&report).output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let table = String::from_utf8(printed.stdout).unwrap();
    for part in ["| kernel | layer | grid |", "| fused_", "| outer_update | – | 20×1×1 | 20 | – |"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    let json = std::fs::read_to_string(report.join("report.json")).unwrap();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert!(read.adapters.iter().any(|adapter| adapter.name == read.device.name), "{json}");
    assert_eq!(read.rows.len(), 1);
    let page = std::fs::read_to_string(report.join("report.md")).unwrap();
    assert!(page.contains(table.trim_end()) && page.contains("## Adapters"), "{page}");
    let text = refusal(reptile().args(arguments).arg("--report").arg(&report));
    assert!(text.contains("card: exists already"), "{text}");
    let text = refusal(reptile().args(["bench", "--kernels", "--workload", "gemm"]));
    assert!(text.contains("name a training"), "{text}");
}
