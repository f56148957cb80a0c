//! Telemetry in the lines of metrics.

use crate::program::{Run, SMALL};

#[test]
fn lines_of_metrics_have_it_by_layer() {
    let run = Run::train(&[&["--iterations", "10", "--telemetry"], &SMALL[..]].concat());
    let line: serde_json::Value =
        serde_json::from_str(run.read("metrics.jsonl").lines().next().unwrap()).unwrap();
    for layer in ["dense1", "dense2", "dense3"] {
        for number in ["gradient_norm", "gradient_product", "spread"] {
            assert!(line["telemetry"][layer][number].is_f64(), "{line}");
        }
    }
}
