//! What a sweep has found: a table, JSON, a chart, and the best configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use toml::Value;

use crate::disk::{atomic, partial};
use crate::error::Result;
use crate::experiments::sweep::spec::Trial;
use crate::experiments::sweep::state::{Rung, ranked};
use crate::meta::{Mean, number};
use crate::model::Loss;
use crate::plot::{self, Series};

/// Lines of a chart at most.
const MOST_LINES: usize = 8;

/// One configuration, with what it came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Number of the trial.
    pub trial: usize,
    /// The keys that vary.
    pub values: BTreeMap<String, Value>,
    /// Meta-iterations that it was trained.
    pub iterations: u64,
    /// Accuracy for classes, else loss, on validation tasks: mean over seeds; none where a seed
    /// diverged.
    pub metric: Option<f64>,
    /// Half of its 95 % interval over the tasks of all seeds; none if a seed has fewer than two.
    pub interval: Option<f64>,
    /// Validation tasks of all seeds that diverged and are left out of the metric.
    pub diverged_tasks: usize,
    /// The metric of each seed; none where it diverged.
    pub seeds: Vec<Option<f64>>,
}

/// The result of a sweep, or what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// `accuracy` or `loss`.
    pub metric: &'static str,
    /// The best first; those that were given up earlier come later.
    pub rows: Vec<Row>,
    /// Finished rungs, and all of them: where they differ, the result is partial.
    pub rungs: [usize; 2],
    /// Classes that were missing and images that had changed when the sweep went on with `--changed-data`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_data: Vec<String>,
}

impl Report {
    pub(super) fn new(loss: Loss, trials: &[Trial], rungs: &[Rung], wanted: usize) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for rung in rungs.iter().rev() {
            for score in ranked(loss, &rung.scores) {
                if rows.iter().any(|row| row.trial == score.trial) {
                    continue;
                }
                let finite = |value: f64| value.is_finite().then_some(value);
                let metric = finite(score.metric);
                rows.push(Row {
                    trial: score.trial,
                    values: trials[score.trial].values.clone(),
                    iterations: rung.iterations,
                    metric,
                    interval: metric.and(finite(score.interval)),
                    diverged_tasks: score.diverged_tasks,
                    seeds: score.seeds.iter().copied().map(finite).collect(),
                });
            }
        }
        let metric = if loss == Loss::CrossEntropy { "accuracy" } else { "loss" };
        Self { metric, rows, rungs: [rungs.len(), wanted], changed_data: Vec::new() }
    }

    /// Whether all rungs are finished.
    pub fn is_whole(&self) -> bool {
        self.rungs[0] == self.rungs[1]
    }

    /// The best trial; none if nothing is finished, or all diverged.
    pub fn best(&self) -> Option<&Row> {
        self.rows.first().filter(|row| row.metric.is_some())
    }

    /// A table, the best first; says so if it is partial.
    pub fn to_markdown(&self) -> String {
        let partial = match self.rungs {
            [done, all] if done < all => format!("partial: {done} of {all} rungs are finished\n"),
            _ => String::new(),
        };
        if self.rows.is_empty() {
            return partial;
        }
        let keys: Vec<&str> = self
            .rows
            .first()
            .map_or(Vec::new(), |row| row.values.keys().map(String::as_str).collect());
        let mut text = format!(
            "| | {} | validation {} | meta-iterations | of each seed |\n{}|\n",
            keys.join(" | "),
            self.metric,
            "|---".repeat(keys.len() + 4),
        );
        for (place, row) in self.rows.iter().enumerate() {
            let values: Vec<String> = row.values.values().map(Value::to_string).collect();
            let diverged = || "diverged".to_string();
            let seed = |value: &Option<f64>| value.map_or_else(diverged, |it| number(it, 4));
            let metric = row.metric.map_or_else(diverged, |mean| {
                let mean = Mean { mean, interval: row.interval.unwrap_or(f64::NAN) }.text(4, "");
                match row.diverged_tasks {
                    0 => mean,
                    1 => format!("{mean} (1 task diverged)"),
                    some => format!("{mean} ({some} tasks diverged)"),
                }
            });
            let seeds: Vec<String> = row.seeds.iter().map(seed).collect();
            text.push_str(&format!(
                "| {} | {} | {metric} | {} | {} |\n",
                place + 1,
                values.join(" | "),
                // Where it diverged is not known to the meta-iteration.
                row.metric.map_or("–".into(), |_| row.iterations.to_string()),
                seeds.join(", "),
            ));
        }
        if !self.changed_data.is_empty() {
            let changed = self.changed_data.join("; ");
            text.push_str(&format!("\nnot on the data it was begun with: {changed}\n"));
        }
        if !partial.is_empty() {
            text.push_str(&format!("\n{partial}"));
        }
        text
    }

    /// The same as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data")
    }

    /// Draws the metric over the first key whose values are numbers above zero, a line for each
    /// combination of the other keys; returns false if there is no such key or nothing to draw.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn draw(&self, path: &Path) -> Result<bool> {
        let numeric =
            |value: &Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
        let keys = self.rows.first().map(|row| row.values.keys().cloned().collect::<Vec<_>>());
        let is_number = |key: &String| {
            self.rows.iter().all(|row| numeric(&row.values[key]).is_some_and(|it| it > 0.0))
        };
        let several =
            |key: &String| self.rows.iter().any(|row| row.values[key] != self.rows[0].values[key]);
        let key = keys.unwrap_or_default().into_iter().find(|key| is_number(key) && several(key));
        let Some(key) = key else { return Ok(false) };
        let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for row in &self.rows {
            let others = row.values.iter().filter(|(other, _)| **other != key);
            let mut label: Vec<String> = others.map(|(k, value)| format!("{k} {value}")).collect();
            if self.rows[0].iterations != self.rows[self.rows.len() - 1].iterations {
                label.push(format!("{} meta-iterations", row.iterations));
            }
            let x = numeric(&row.values[&key]).unwrap_or(f64::NAN);
            if let Some(metric) = row.metric {
                lines.entry(label.join(", ")).or_default().push((x, metric));
            }
        }
        if lines.len() > MOST_LINES {
            lines = BTreeMap::from([(String::new(), lines.into_values().flatten().collect())]);
        }
        let series: Vec<Series> = lines
            .into_iter()
            .map(|(label, mut points)| {
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                let label = if label.is_empty() { self.metric.to_string() } else { label };
                Series { label, points }
            })
            .collect();
        if series.is_empty() {
            return Ok(false);
        }
        let y = format!("validation {}", self.metric);
        plot::growth(path, "Sweep", [&key, &y], &series, self.metric == "loss")?;
        Ok(true)
    }

    /// Writes `results.json` and, if there is something to draw, `results.svg` into `folder`; under partial names as long as
    /// rungs are missing.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = format!("{}\n", self.to_json());
        let names = ["results.json", "results.svg"].map(|name| folder.join(name));
        let [table, chart] = names.each_ref().map(|path| partial::place(path, self.is_whole()));
        atomic::write(&table, json.as_bytes())?;
        self.draw(&chart)?;
        if self.is_whole() {
            names.iter().try_for_each(|path| partial::settle(path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::sweep::spec::SweepSpec;
    use crate::experiments::sweep::state::TrialScore;

    fn report() -> Report {
        let spec = SweepSpec::from_toml(
            "preset = \"sine\"\n[values]\ninner.rate = [0.1, 0.2, 0.3, 0.4]",
            "test",
        )
        .unwrap();
        let trials = spec.trials(&spec.base(Path::new(".")).unwrap()).unwrap();
        let score = |trial, metric: f64| TrialScore {
            trial,
            metric,
            seeds: vec![metric],
            interval: 0.1,
            diverged_tasks: 0,
        };
        let one_left = |score| TrialScore { interval: f64::NAN, diverged_tasks: 4, ..score };
        let first = [(0, 3.0), (1, f64::NAN), (2, 2.0), (3, 1.0)];
        let rungs = [
            Rung { iterations: 10, scores: first.map(|(t, m)| score(t, m)).to_vec() },
            Rung { iterations: 30, scores: vec![score(2, 0.5), one_left(score(3, 0.4))] },
        ];
        Report::new(Loss::Mse, &trials, &rungs, 2)
    }

    #[test]
    fn the_longest_trained_come_first_and_the_diverged_last() {
        let report = report();
        let order: Vec<usize> = report.rows.iter().map(|row| row.trial).collect();
        assert_eq!(order, [2, 3, 0, 1]);
        assert_eq!(report.best().unwrap().trial, 2, "though the tasks left of trial 3 are easier");
        let table = report.to_markdown();
        assert!(table.contains("| 1 | 0.3 | 0.5000 ± 0.1000 | 30 | 0.5000 |"), "{table}");
        let one_left = "| 2 | 0.4 | 0.4000 ± – (4 tasks diverged) | 30 | 0.4000 |";
        assert!(table.contains(one_left), "{table}");
        assert!(table.contains("| 4 | 0.2 | diverged | – | diverged |"), "{table}");
        assert!(!table.contains("partial"), "{table}");
        let cut = Report { rungs: [1, 2], ..report.clone() };
        assert!(cut.to_markdown().ends_with("\npartial: 1 of 2 rungs are finished\n"));
        let none = Report { rungs: [0, 2], rows: Vec::new(), ..report.clone() };
        assert_eq!(none.to_markdown(), "partial: 0 of 2 rungs are finished\n");
        let json = report.to_json();
        assert!(json.contains("\"metric\": null") && json.contains("\"interval\": null"), "{json}");
    }

    #[test]
    fn what_is_partial_never_bears_the_final_name() {
        let folder = tempfile::tempdir().unwrap();
        let whole = report();
        let cut = Report { rungs: [1, 2], ..whole.clone() };
        let there = || {
            let names =
                ["results.json", "results.svg", "results.partial.json", "results.partial.svg"];
            names.map(|name| folder.path().join(name).exists())
        };
        cut.write(folder.path()).unwrap();
        assert_eq!(there(), [false, false, true, true]);
        whole.write(folder.path()).unwrap();
        assert_eq!(there(), [true, true, false, false]);
    }

    #[test]
    fn the_folder_gets_a_chart_and_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        assert!(report().draw(&path).unwrap());
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("inner.rate") && text.contains("validation loss"), "{text}");
    }
}
