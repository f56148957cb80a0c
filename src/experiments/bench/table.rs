//! A report as Markdown, for terminals and READMEs; and two of them side by side.

use std::fmt::Write;
use std::path::Path;

use crate::error::Result;
use crate::experiments::bench::dispatches::by_kernel;
use crate::experiments::bench::markdown::{head, line, number, percent};
use crate::experiments::bench::report::{Device, Measured, Outcome, Report, Row};
use crate::plot::{Group, Series, bars, growth};

impl Device {
    /// Name, graphics API and driver in a line.
    pub fn describe(&self) -> String {
        let driver = [self.driver.as_str(), self.driver_info.as_str()].join(" ");
        format!("{} ({}, {})", self.name, self.backend, driver.trim())
    }
}

impl Report {
    /// Name and version of the program, and how its kernels were made.
    pub(super) fn made_by(&self) -> String {
        let parts = [std::slice::from_ref(&self.program), &self.options].concat();
        parts.join(" ")
    }

    /// What people read first: device, ceilings, a line a row, then where the time goes.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("{}, {}", self.made_by(), self.device.describe());
        let _ = writeln!(
            text,
            "{}\n\nCeilings: {} GFLOP/s of multiply-adds, {} GB/s of copies{}.\n",
            if self.quick { ", quick" } else { "" },
            number(self.ceilings.flops / 1e9),
            number(self.ceilings.bytes / 1e9),
            self.ceilings.by_processor_time.map_or(String::new(), |[flops, bytes]| format!(
                "; {} and {} by a second of processor time, as are the shares below",
                number(flops / 1e9),
                number(bytes / 1e9)
            ))
        );
        self.write_training(&mut text);
        self.write_evaluations(&mut text);
        self.write_kernels(&mut text);
        self.write_skipped(&mut text);
        self.write_times(&mut text);
        self.write_variants(&mut text);
        self.write_scaling(&mut text);
        text
    }

    /// Why the device could not take a row, a line each.
    pub(super) fn write_skipped(&self, text: &mut String) {
        for row in &self.rows {
            if let Outcome::Skipped(reason) = &row.outcome {
                let _ = writeln!(text, "\n{} of {} tasks: {reason}", row.workload, row.tasks);
            }
        }
    }

    fn write_scaling(&self, text: &mut String) {
        if self.scaling.is_empty() {
            return;
        }
        text.push_str("\nTime of a task-step:\n\n");
        text.push_str(&head(&["workload", "size", "value", "plan", "µs", "µs CPU", "GFLOP/s"]));
        for point in &self.scaling {
            let steps = point.task_steps as f64;
            text.push_str(&line(&[
                point.workload.clone(),
                point.size.name().to_string(),
                point.value.to_string(),
                point.plan.clone(),
                number(1e6 * point.time.median / steps),
                number(1e6 * point.time.cpu / steps),
                number(point.flops_per_task_step as f64 * steps / point.time.median / 1e9),
            ]));
        }
    }

    /// Draws bars of the rows' rates, or, where there are scaling points, how the time of a task-step
    /// grows; `others` are drawn beside it, by name.
    ///
    /// # Errors
    /// As [`bars`] and [`growth`].
    pub fn draw(&self, path: &Path, name: &str, others: &[(&str, &Self)]) -> Result<()> {
        if !self.scaling.is_empty() {
            return self.draw_scaling(path);
        }
        let reports: Vec<(&str, &Self)> =
            std::iter::once((name, self)).chain(others.iter().copied()).collect();
        let groups: Vec<Group> = self
            .measured()
            .map(|(row, _)| {
                let rate = |report: &Self| {
                    let mut rows = report.measured();
                    let found = rows.find(|(other, _)| key(other) == key(row));
                    found.map_or(f64::NAN, |(_, one)| one.rate())
                };
                Group {
                    label: format!("{}, {} tasks", row.workload, row.tasks),
                    values: reports.iter().map(|(_, report)| rate(report)).collect(),
                }
            })
            .collect();
        let names: Vec<String> = reports.iter().map(|(name, _)| (*name).to_string()).collect();
        let title = self.device.describe();
        bars(path, &title, "task-steps, or runs of a kernel, in a second", &names, &groups)
    }

    fn draw_scaling(&self, path: &Path) -> Result<()> {
        let mut series: Vec<Series> = Vec::new();
        for point in &self.scaling {
            let label = format!("{}: {}", point.workload, point.size.name());
            let micros = 1e6 * point.time.median / point.task_steps as f64;
            let place = (point.value as f64, micros);
            match series.last_mut().filter(|last| last.label == label) {
                Some(last) => last.points.push(place),
                None => series.push(Series { label, points: vec![place] }),
            }
        }
        growth(path, &self.device.describe(), ["size", "µs a task-step"], &series, true)
    }

    pub(super) fn measured(&self) -> impl Iterator<Item = (&Row, &Measured)> {
        self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Measured(measured) => Some((row, measured.as_ref())),
            Outcome::Skipped(_) => None,
        })
    }

    fn write_training(&self, text: &mut String) {
        let rows: Vec<_> = self.measured().filter(|(_, one)| one.task_steps.is_some()).collect();
        if rows.is_empty() {
            return;
        }
        text.push_str(&head(&[
            "workload",
            "tasks",
            "task-steps/s",
            "± quartiles",
            "µs CPU a task-step",
            "meta-iterations/s",
            "GFLOP/s",
            "of ceiling",
            "without arithmetic",
            "host",
            "dispatches, submits",
            "MiB",
            "first result, cold and warm",
        ]));
        for (row, one) in rows {
            let or_none = |value: Option<String>| value.unwrap_or("–".into());
            let control = one.control.as_ref().map(|it| percent(it.median / one.time.median));
            let first = one.first_result.as_ref();
            text.push_str(&line(&[
                format!("{} ({})", row.workload, row.shape),
                row.tasks.to_string(),
                or_none(one.task_steps_per_second().map(number)),
                percent(one.time.spread),
                or_none(one.task_steps_per_cpu_second().map(|rate| number(1e6 / rate))),
                number(1.0 / one.time.median),
                or_none(one.flops_per_second().map(|flops| number(flops / 1e9))),
                or_none(one.share(&self.ceilings).map(percent)),
                or_none(control),
                or_none(one.host_share.map(percent)),
                format!("{}, {}", one.dispatches, number(one.submits)),
                number(one.memory as f64 / f64::from(1 << 20)),
                or_none(first.map(|it| format!("{} s, {} s", number(it.cold), number(it.warm)))),
            ]));
        }
    }

    fn write_evaluations(&self, text: &mut String) {
        let rows: Vec<_> = self.measured().filter(|(_, one)| one.evaluation.is_some()).collect();
        if rows.is_empty() {
            return;
        }
        text.push('\n');
        text.push_str(&head(&[
            "evaluation",
            "steps",
            "minibatch",
            "tasks at once",
            "tasks/s",
            "± quartiles",
            "GFLOP/s of inner steps",
            "of the training's",
        ]));
        for (row, one) in rows {
            let Some(tested) = &one.evaluation else { continue };
            text.push_str(&line(&[
                row.workload.clone(),
                tested.steps.to_string(),
                tested.batch.to_string(),
                tested.tasks.to_string(),
                number(tested.tasks_per_second()),
                percent(tested.time.spread),
                number(tested.flops as f64 / tested.time.median / 1e9),
                one.evaluation_ratio().map_or("–".into(), percent),
            ]));
        }
    }

    fn write_kernels(&self, text: &mut String) {
        let rows: Vec<_> = self.measured().filter(|(_, one)| one.task_steps.is_none()).collect();
        if rows.is_empty() {
            return;
        }
        text.push('\n');
        text.push_str(&head(&["kernel", "sizes", "time", "± quartiles", "rate", "of ceiling"]));
        for (row, one) in rows {
            text.push_str(&line(&[
                row.workload.clone(),
                row.shape.clone(),
                format!("{} ms", number(1e3 * one.time.median)),
                percent(one.time.spread),
                one.shown_rate(),
                one.share(&self.ceilings).map_or("–".into(), percent),
            ]));
        }
    }

    /// The kernels that take 95 % of the device's time.
    fn write_times(&self, text: &mut String) {
        let mut begun = false;
        for (row, one) in self.measured() {
            let Some(dispatches) = &one.kernels else { continue };
            let kernels = by_kernel(dispatches);
            let total: f64 = kernels.iter().map(|(_, seconds)| seconds).sum();
            let mut shown = 0.0;
            let parts: Vec<String> = kernels
                .iter()
                .take_while(|(_, seconds)| {
                    let wanted = shown < 0.95 * total;
                    shown += seconds;
                    wanted
                })
                .map(|(name, seconds)| format!("{name} {}", percent(seconds / total)))
                .collect();
            if !begun {
                text.push_str("\nDevice time:\n");
                begun = true;
            }
            let _ = writeln!(text, "- {}, {}: {}", row.workload, row.tasks, parts.join(", "));
        }
    }

    fn write_variants(&self, text: &mut String) {
        let mut begun = false;
        for (row, one) in self.measured() {
            let mut parts: Vec<String> = Vec::new();
            parts.extend(one.plan.as_ref().map(|plan| format!("plan {plan}")));
            parts.extend(one.variants.iter().map(|(kernel, variants)| {
                format!("{kernel}: {}", variants.iter().cloned().collect::<Vec<_>>().join(" / "))
            }));
            if parts.is_empty() {
                continue;
            }
            if !begun {
                text.push_str("\nVariants:\n");
                begun = true;
            }
            let place =
                if one.task_steps.is_some() { row.tasks.to_string() } else { row.shape.clone() };
            let _ = writeln!(text, "- {}, {place}: {}", row.workload, parts.join("; "));
        }
    }
}

/// What rows of two reports are matched by.
fn key(row: &Row) -> (&str, usize, &str) {
    (&row.workload, row.tasks, &row.shape)
}

/// The rates of `b` as multiples of those of `a`, row by row; rows that one of them lacks are named.
pub fn compare(a: &Report, b: &Report) -> String {
    let mut text = format!(
        "A: {}, {}\nB: {}, {}\n\n",
        a.program,
        a.device.describe(),
        b.program,
        b.device.describe()
    );
    text.push_str(&head(&["workload", "tasks", "sizes", "A", "B", "B / A"]));
    let mut alone = Vec::new();
    for (row, one) in a.measured() {
        let Some((_, other)) = b.measured().find(|(other, _)| key(other) == key(row)) else {
            alone.push(format!("only A has {} of {} tasks", row.workload, row.tasks));
            continue;
        };
        let unit = if one.task_steps.is_some() { "task-steps/s" } else { "runs/s" };
        text.push_str(&line(&[
            row.workload.clone(),
            row.tasks.to_string(),
            row.shape.clone(),
            format!("{} {unit}", number(one.rate())),
            format!("{} {unit}", number(other.rate())),
            number(other.rate() / one.rate()),
        ]));
    }
    let missing =
        b.measured().filter(|(row, _)| !a.measured().any(|(own, _)| key(own) == key(row)));
    alone.extend(
        missing.map(|(row, _)| format!("only B has {} of {} tasks", row.workload, row.tasks)),
    );
    for (name, x, y) in [
        ("multiply-adds", a.ceilings.flops, b.ceilings.flops),
        ("copies", a.ceilings.bytes, b.ceilings.bytes),
    ] {
        let _ = writeln!(text, "\nCeiling of {name}: B / A = {}", number(y / x));
    }
    for one in alone {
        let _ = writeln!(text, "\n{one}");
    }
    text
}
