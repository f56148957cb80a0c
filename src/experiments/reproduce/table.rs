//! The table of cells: what the paper reports and what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::config::presets::{Figure, Preset};
use crate::disk::{atomic, partial};
use crate::error::Result;
use crate::experiments::reproduce::{Plan, Results, Training};
use crate::meta::Mean;
use crate::model::Loss;
use crate::plot::{Series, learning_curves};
use crate::store::{RunDirectory, metrics};

/// One cell.
#[derive(Clone, Debug, Serialize)]
struct Row {
    cell: String,
    /// The folder of its run.
    training: String,
    transductive: bool,
    paper: Option<Figure>,
    /// None until all seeds are evaluated.
    measured: Option<Measured>,
    /// Meta-iterations done, wanted, and those of the preset.
    iterations: u64,
    iterations_wanted: u64,
    iterations_of_preset: u64,
    training_seconds: f64,
    evaluation_seconds: f64,
    devices: Vec<String>,
    failure: Option<String>,
}

/// The metric over seeds: accuracy in percent, or loss where there are no classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Measured {
    metric: &'static str,
    /// Mean over all tasks of all seeds.
    mean: f64,
    /// Half of the 95 % interval over all these tasks; NaN, `null` in a file, if a seed has none.
    interval: f64,
    /// Test tasks of a seed.
    tasks: usize,
    /// How many tasks of all seeds diverged and are left out of the means.
    diverged: usize,
    seeds: Vec<OfSeed>,
    /// Standard deviation over seeds; none of one seed.
    deviation: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct OfSeed {
    seed: u64,
    mean: f64,
    interval: f64,
    diverged: usize,
}

/// Writes `table.md`, `table.json` and the learning curves (`accuracy.svg`, `loss.svg`) into `folder`,
/// as far as the trainings are (`table.partial.md` and the like as long as a cell is neither measured nor failed), and returns
/// the text of the table.
///
/// # Errors
/// [`crate::Error::Data`] for damaged files of the runs, [`crate::Error::Io`].
pub fn write_table(folder: &Path, plan: &Plan, trainings: &[Training]) -> Result<String> {
    let mut rows = Vec::new();
    let mut curves: [Vec<Series>; 2] = Default::default();
    let mut changed = BTreeMap::new();
    for training in trainings {
        let path = folder.join(training.preset.name());
        let run = RunDirectory::open(&path).ok();
        let results = if run.is_some() { Results::load(&path)? } else { Results::default() };
        let records = match &run {
            Some(run) if run.metrics_path().is_file() => metrics::read(run.metrics_path())?,
            _ => Vec::new(),
        };
        let done = match &run {
            Some(run) => run.checkpoints()?.last().map_or(0, |(iteration, _)| *iteration),
            None => 0,
        };
        let seconds = metrics::seconds(&records);
        let changes: Vec<String> = results.all_changes().into_iter().map(String::from).collect();
        if !changes.is_empty() {
            changed.insert(training.preset.name(), changes);
        }
        for cell in &training.cells {
            rows.push(Row::of(training, cell, &results, done, seconds)?);
        }
        let points = metrics::validations(&records);
        let points = points.into_iter().map(|(iteration, metric)| (iteration as f64, metric));
        let series = Series { label: training.preset.name().into(), points: points.collect() };
        if !series.points.is_empty() {
            let classes = training.config.model.loss == Loss::CrossEntropy;
            curves[usize::from(!classes)].push(series);
        }
    }
    let whole = rows.iter().all(|row| row.measured.is_some() || row.failure.is_some());
    let place = |name: &str| partial::place(&folder.join(name), whole);
    let pictures = [("accuracy.svg", "accuracy", false), ("loss.svg", "loss", true)];
    for ((name, label, log_y), series) in pictures.into_iter().zip(&curves) {
        let drawable = |value: f64| value.is_finite() && (!log_y || value > 0.0);
        if series.iter().any(|one| one.points.iter().any(|point| drawable(point.1))) {
            let title = "Validation, mean over seeds";
            let labels = ["meta-iteration", label];
            learning_curves(&place(name), title, labels, series, log_y)?;
        }
    }
    let value = json!({ "whole": whole, "plan": plan, "cells": rows, "changed_data": changed });
    let text = serde_json::to_string_pretty(&value).expect("plain data is valid JSON");
    atomic::write(&place("table.json"), format!("{text}\n").as_bytes())?;
    let mut text = markdown(plan, &rows);
    for (name, changed) in changed {
        let _ =
            writeln!(text, "\n{name}: not on the data it was begun with: {}.", changed.join("; "));
    }
    if !whole {
        text.push_str("\npartial: not all cells are measured\n");
    }
    atomic::write(&place("table.md"), text.as_bytes())?;
    if whole {
        let names = ["table.md", "table.json", "accuracy.svg", "loss.svg"];
        names.iter().try_for_each(|name| partial::settle(&folder.join(name)))?;
    }
    Ok(text)
}

impl Row {
    fn of(
        training: &Training,
        cell: &Preset,
        results: &Results,
        done: u64,
        training_seconds: f64,
    ) -> Result<Self> {
        let preset = cell.config()?;
        let (config, transductive) = (&training.config, preset.eval.transductive);
        let stored: Option<Vec<_>> =
            (0..config.runs).map(|run| results.evaluation(config, run, transductive)).collect();
        let stored = stored.unwrap_or_default();
        let mut devices = results.devices.clone();
        for one in &stored {
            if !devices.contains(&one.device) {
                devices.push(one.device.clone());
            }
        }
        let of_seeds = stored.iter().map(|one| {
            let (seed, diverged, after) = (one.scores.seed, one.scores.diverged, &one.scores.after);
            let Mean { mean, interval } = match (after.accuracy, after.accuracy_interval) {
                (Some(mean), Some(interval)) => Mean { mean, interval }.percent(),
                _ => Mean { mean: after.loss, interval: after.loss_interval },
            };
            OfSeed { seed, mean, interval, diverged }
        });
        let metric = match config.model.loss {
            Loss::CrossEntropy => "accuracy",
            Loss::Mse => "loss",
        };
        Ok(Self {
            cell: cell.name().into(),
            training: training.preset.name().into(),
            transductive,
            paper: cell.paper(),
            measured: Measured::of(metric, config.eval.tasks, of_seeds.collect()),
            iterations: done,
            iterations_wanted: config.iterations,
            iterations_of_preset: preset.iterations,
            training_seconds,
            evaluation_seconds: stored.iter().map(|one| one.seconds).sum(),
            devices,
            failure: results.failure.clone(),
        })
    }

    fn markdown(&self) -> String {
        let paper = self.paper.map(Figure::text);
        let (measured, spread) = match (&self.measured, &self.failure) {
            (Some(measured), _) => (measured.show(), measured.spread()),
            (None, Some(failure)) => (format!("failed: {failure}"), None),
            (None, None) => ("not yet".into(), None),
        };
        let iterations = if self.iterations == self.iterations_of_preset {
            self.iterations.to_string()
        } else {
            format!("{} of {}", self.iterations, self.iterations_of_preset)
        };
        let or_none = |text: Option<String>| text.unwrap_or("–".into());
        let time = |seconds| if seconds > 0.0 { duration(seconds) } else { "–".into() };
        let devices = if self.devices.is_empty() { "–".into() } else { self.devices.join("; ") };
        let cells = [
            self.cell.clone(),
            or_none(paper),
            measured.replace('|', "\\|"),
            or_none(spread),
            iterations,
            time(self.training_seconds),
            time(self.evaluation_seconds),
            devices.replace('|', "\\|"),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

impl Measured {
    /// Of all seeds, if there is any.
    fn of(metric: &'static str, tasks: usize, seeds: Vec<OfSeed>) -> Option<Self> {
        if seeds.is_empty() {
            return None;
        }
        let of_seed = |seed: &OfSeed| Mean { mean: seed.mean, interval: seed.interval };
        let Mean { mean, interval } = Mean::of_means(seeds.iter().map(of_seed));
        let squares: f64 = seeds.iter().map(|seed| (seed.mean - mean).powi(2)).sum();
        let deviation = (seeds.len() > 1).then(|| (squares / (seeds.len() as f64 - 1.0)).sqrt());
        let diverged = seeds.iter().map(|seed| seed.diverged).sum();
        Some(Self { metric, mean, interval, tasks, diverged, seeds, deviation })
    }

    fn is_share(&self) -> bool {
        self.metric == "accuracy"
    }

    fn show(&self) -> String {
        let mean = Mean { mean: self.mean, interval: self.interval };
        let mean = match self.is_share() {
            true => mean.text(2, " %"),
            false => format!("loss {}", mean.text(4, "")),
        };
        match self.diverged {
            0 => mean,
            some => format!("{mean} ({some} of {} tasks diverged)", self.tasks * self.seeds.len()),
        }
    }

    /// Lowest and highest seed.
    fn spread(&self) -> Option<String> {
        self.deviation.filter(|deviation| deviation.is_finite())?;
        let means = || self.seeds.iter().map(|seed| seed.mean);
        let (low, high) = (means().fold(f64::INFINITY, f64::min), means().fold(f64::MIN, f64::max));
        Some(match self.is_share() {
            true => format!("{low:.2} to {high:.2} %"),
            false => format!("{low:.4} to {high:.4}"),
        })
    }
}

fn markdown(plan: &Plan, rows: &[Row]) -> String {
    let mut text = String::new();
    let seeds = if plan.seeds == 1 { "1 seed".into() } else { format!("{} seeds", plan.seeds) };
    let tasks: Vec<usize> =
        rows.iter().filter_map(|row| row.measured.as_ref()).map(|it| it.tasks).collect();
    let tasks = match tasks.iter().min().zip(tasks.iter().max()) {
        Some((least, most)) if least == most => format!(", {least} test tasks a seed"),
        Some((least, most)) => format!(", {least} to {most} test tasks a seed"),
        None => String::new(),
    };
    let iterations = match plan.scale {
        1.0 => "all iterations of the presets".to_string(),
        scale => format!("{scale} of the presets' iterations"),
    };
    let _ = writeln!(text, "{iterations}, {seeds}{tasks}; ± is the 95 % interval over tasks.");
    for (key, value) in &plan.set {
        let _ = writeln!(text, "Set: `{key} = {value}`.");
    }
    text.push_str(
        "\n| cell | paper | measured | lowest and highest seed | iterations | training | evaluation \
         | device |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(text, "{}", row.markdown());
    }
    text
}

/// Three digits or so of the largest fitting unit.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(values: &[(f64, f64)]) -> Vec<OfSeed> {
        let of_seed = |(seed, &(mean, interval))| OfSeed { seed, mean, interval, diverged: 0 };
        (0..).zip(values).map(of_seed).collect()
    }

    #[test]
    fn seeds_are_pooled_and_their_spread_is_shown() {
        let one = Measured::of("accuracy", 100, seeds(&[(95.0, 0.5)])).unwrap();
        assert_eq!((one.mean, one.interval, one.spread()), (95.0, 0.5, None));
        assert_eq!(one.show(), "95.00 ± 0.50 %");
        let four = [(94.0, 0.5), (96.0, 0.5), (95.0, 0.5), (95.0, 0.5)];
        let four = Measured::of("accuracy", 100, seeds(&four)).unwrap();
        assert_eq!((four.mean, four.interval), (95.0, 0.25), "four times the tasks");
        assert!((four.deviation.unwrap() - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(four.spread().unwrap(), "94.00 to 96.00 %");
        let loss = Measured::of("loss", 100, seeds(&[(0.25, 0.01), (0.5, 0.01)])).unwrap();
        assert_eq!(loss.spread().unwrap(), "0.2500 to 0.5000");
        assert_eq!(Measured::of("loss", 100, Vec::new()), None);
    }

    #[test]
    fn what_is_undefined_is_a_dash_and_null() {
        let one_task = seeds(&[(90.0, f64::NAN), (95.0, f64::NAN)]);
        let one_task = Measured::of("accuracy", 1, one_task).unwrap();
        assert_eq!(one_task.show(), "92.50 ± – %");
        assert_eq!(one_task.spread().unwrap(), "90.00 to 95.00 %");
        assert!(json!(one_task)["interval"].is_null());
        let mut none_left = seeds(&[(0.5, 0.1), (f64::NAN, f64::NAN)]);
        (none_left[0].diverged, none_left[1].diverged) = (3, 6);
        let none_left = Measured::of("loss", 6, none_left).unwrap();
        assert_eq!(none_left.show(), "loss – (9 of 12 tasks diverged)");
        assert_eq!(none_left.spread(), None);
        assert!(json!(none_left)["mean"].is_null());
    }

    /// Evaluations of one task, by way of their file.
    #[test]
    fn a_stored_accuracy_without_interval_stays_an_accuracy() {
        let plan = Plan { tasks: Some(1), ..Plan::new(vec!["omniglot-5w1s".into()]) };
        let training = &plan.trainings().unwrap()[0];
        let eval = &training.config.eval;
        let scores = json!({ "loss": 0.5, "loss_interval": null, "accuracy": 0.75,
            "accuracy_interval": null });
        let stored = json!({ "run": 0, "transductive": false, "iteration": 9, "tasks": 1,
            "steps": eval.steps, "batch": eval.batch, "device": "none", "seconds": 1.0, "seed": 0,
            "before": scores, "after": scores });
        let results = json!({ "devices": [], "finished": 9, "evaluations": [stored] });
        let results: Results = serde_json::from_value(results).unwrap();
        let row = Row::of(training, training.cells[0], &results, 9, 1.0).unwrap();
        assert_eq!(row.measured.unwrap().show(), "75.00 ± – %");
    }

    #[test]
    fn a_folder_without_runs_has_a_table_of_what_is_to_come() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            cells: vec!["omniglot-5w1s".into(), "sine".into()],
            scale: 0.5,
            seeds: 3,
            tasks: None,
            set: vec![("inner.rate".into(), "0.1".into())],
            data: None,
        };
        let trainings = plan.trainings().unwrap();
        let text = write_table(folder.path(), &plan, &trainings).unwrap();
        for part in [
            "0.5 of the presets' iterations, 3 seeds;",
            "`inner.rate = 0.1`",
            "| omniglot-5w1s | 95.39 ± 0.09 % | not yet | – | 0 of 100000 | – | – | – |",
            "| omniglot-5w1s-t | 97.68 ± 0.04 % |",
            "| sine | – | not yet |",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("table.partial.md")).unwrap(), text);
        assert!(text.ends_with("partial: not all cells are measured\n"), "{text}");
        for name in ["table.md", "table.json", "accuracy.svg", "accuracy.partial.svg"] {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn durations_have_fitting_units() {
        let cases = [(1.26, "1.3 s"), (75.0, "75 s"), (600.0, "10 min"), (9000.0, "2.5 h")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }
}
