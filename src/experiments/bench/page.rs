//! The page that people read of a report that somebody sent, and its line in docs/devices.md.

use std::fmt::Write;

use crate::experiments::bench::markdown::{head, line, number};
use crate::experiments::bench::report::{Measured, Report};
use crate::experiments::bench::workload::Workload;
use crate::tune::Trial;

/// What a line of docs/devices.md shows beside the ceilings: a workload, its number of tasks, and which of its
/// rows.
const SHOWN: [(Workload, usize, &str); 6] = [
    (Workload::Sine, 1024, "task-steps/s of sine, 1024 tasks"),
    (Workload::Dense, 64, "dense, 64"),
    (Workload::Omniglot, 32, "omniglot, 32"),
    (Workload::CifarFs, 32, "cifar-fs, 32"),
    (Workload::Gemm, 32, "gemm"),
    (Workload::Norm, 128, "norm, forward"),
];

impl Report {
    /// Everything that the report holds, as a page of Markdown.
    pub fn page(&self) -> String {
        let mut text = format!("# {}\n\n{}", self.device.name, self.devices_table());
        if !self.adapters.is_empty() {
            text.push_str("\n## Adapters\n\n```\n");
            self.adapters.iter().for_each(|adapter| {
                let _ = writeln!(text, "{adapter}");
            });
            text.push_str("```\n");
        }
        let _ = write!(text, "\n## Workloads\n\n{}", self.to_markdown());
        let _ = write!(text, "\n## Dispatches\n\n{}", self.dispatches());
        if !self.variants.is_empty() {
            let _ = write!(text, "\n## Variants\n\n{}", variants(&self.variants));
        }
        text
    }

    /// The table of docs/devices.md with this device's line.
    fn devices_table(&self) -> String {
        let mut names = vec!["device", "driver, API", "multiply-adds", "copies"];
        names.extend(SHOWN.iter().map(|(_, _, name)| *name));
        names.push("version");
        let driver = [self.device.driver.as_str(), self.device.driver_info.as_str()].join(" ");
        let mut cells = vec![
            self.device.name.clone(),
            format!("{}, {}", driver.trim(), self.device.backend),
            format!("{} GFLOP/s", number(self.ceilings.flops / 1e9)),
            format!("{} GB/s", number(self.ceilings.bytes / 1e9)),
        ];
        cells.extend(SHOWN.iter().map(|(workload, tasks, _)| {
            // Another number of tasks is named.
            let rows = || self.measured().filter(|(row, _)| row.workload == workload.name());
            let wanted = rows().find(|(row, _)| row.tasks == *tasks);
            let other = || rows().max_by_key(|(row, _)| row.tasks);
            match (wanted, other()) {
                (Some((_, one)), _) => one.shown_rate(),
                (None, Some((row, one))) => format!("{} (tasks: {})", one.shown_rate(), row.tasks),
                (None, None) => "–".into(),
            }
        }));
        cells.push(self.made_by());
        head(&names) + &line(&cells)
    }
}

impl Measured {
    /// Task-steps in a second, or what a kernel computes or moves.
    pub(super) fn shown_rate(&self) -> String {
        match (self.task_steps_per_second(), self.flops_per_second(), self.bytes_moved) {
            (Some(steps), ..) => number(steps),
            (None, Some(flops), _) => format!("{} GFLOP/s", number(flops / 1e9)),
            (None, None, Some(bytes)) => {
                format!("{} GB/s", number(bytes as f64 / self.time.median / 1e9))
            }
            (None, None, None) => "–".into(),
        }
    }
}

/// A table of candidates.
pub fn variants(trials: &[Trial]) -> String {
    let lines = trials.iter().map(|trial| {
        let time = trial.seconds.map_or("other numbers: left out".into(), |seconds| {
            format!("{} ms", number(1e3 * seconds))
        });
        let chosen = if trial.chosen { "yes" } else { "" };
        line(&[trial.key.clone(), trial.variant.clone(), time, chosen.to_string()])
    });
    head(&["kernel and shape", "variant", "time", "chosen"]) + &lines.collect::<String>()
}
