//! `reptile presets`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::words::say;
use crate::config::presets::{self, Figure, Preset};

/// List the presets, or print one.
#[derive(Debug, Args)]
pub struct Presets {
    /// Print this preset as TOML, complete, to be saved and changed.
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Presets {
    pub(super) fn run(self) -> Result<ExitCode> {
        match (&self.name, self.json) {
            (Some(name), false) => say(presets::find(name)?.resolved()?.trim_end()),
            (Some(name), true) => print_json(&Row::of(presets::find(name)?)?.json)?,
            (None, true) => {
                let rows = presets::all().iter().map(|preset| Ok(Row::of(preset)?.json));
                print_json(&rows.collect::<Result<_>>()?)?;
            }
            (None, false) => list()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_json(value: &Value) -> Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// What is shown of a preset.
struct Row {
    cells: [String; 7],
    json: Value,
}

impl Row {
    fn of(preset: &Preset) -> Result<Self> {
        let config = preset.config()?;
        let (inner, steps) = (&config.inner, config.inner_steps());
        // By way of the text, which has 0.02 for a rate and not the nearest f32's digits in f64.
        let whole: Value = serde_json::from_str(&serde_json::to_string(&config)?)?;
        // Not every kind of tasks has classes.
        let of_tasks = |key: &str| whole["tasks"].get(key).cloned().unwrap_or(Value::Null);
        let [way, shots] = ["way", "shots"].map(of_tasks);
        let shown = |value: &Value| if value.is_null() { "-".into() } else { value.to_string() };
        let figure = preset.paper();
        let paper = figure.map(Figure::text);
        let cells = [
            preset.name().to_string(),
            shown(&way),
            shown(&shots),
            format!("{} {}, {steps} × {}", inner.optimizer, inner.rate, inner.batch),
            config.iterations.to_string(),
            paper.unwrap_or("-".into()),
            preset.description().to_string(),
        ];
        let json = json!({
            "name": preset.name(),
            "training": preset.training(),
            "description": preset.description(),
            "way": way,
            "shots": shots,
            "inner": {
                "optimizer": inner.optimizer.name(),
                "rate": whole["inner"]["rate"],
                "batch": inner.batch,
                "steps": steps,
            },
            "iterations": config.iterations,
            "paper": figure,
            "config": whole,
        });
        Ok(Self { cells, json })
    }
}

fn list() -> Result<()> {
    let titles = ["name", "way", "shots", "inner, steps × batch", "iterations", "paper", ""];
    let mut rows = vec![titles.map(String::from)];
    for preset in presets::all() {
        rows.push(Row::of(preset)?.cells);
    }
    let widths: Vec<usize> = (0..titles.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Numbers to the right.
            let cell = match column {
                1 | 2 | 4 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            };
            line.push_str(&cell);
            line.push_str("  ");
        }
        say(line.trim_end());
    }
    Ok(())
}
