//! `reptile predict`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::common::{DeviceArgs, Stored, counting};
use crate::cli::words::say;
use crate::data::{Labelled, Unlabelled, labelled, unlabelled};
use crate::disk::atomic;
use crate::session::adapting::Base;
use crate::session::predicting::{Predictions, predict, tells_apart};
use crate::store::adapted::Recipe;

/// Tell images or examples apart by a few labelled ones.
#[derive(Debug, Args)]
pub struct Predict {
    /// A checkpoint, or a run's folder.
    run: PathBuf,
    /// What to learn from: a folder with a folder of images for each class, or an .npz (or safetensors) with x and y.
    #[arg(long, value_name = "DIR|FILE")]
    support: PathBuf,
    /// What to tell apart: a folder of images, an image, or an .npz (or safetensors) with x.
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "save_model")]
    query: Option<PathBuf>,
    /// Write the predictions to this .csv or .json, instead of to stdout as CSV.
    #[arg(long, value_name = "FILE", requires = "query")]
    out: Option<PathBuf>,
    /// Keep the adapted network, as `reptile adapt` writes it.
    #[arg(long, value_name = "FILE")]
    save_model: Option<PathBuf>,
    /// Inner steps K (eval.steps by default).
    #[arg(long)]
    steps: Option<usize>,
    /// Minibatch size B (eval.batch by default, or all of a smaller support set).
    #[arg(long)]
    batch: Option<usize>,
    /// Inner rate α (the run's own, or the rates that it has learned, by default).
    #[arg(long, allow_negative_numbers = true)]
    rate: Option<f32>,
    /// Seed of the minibatches (the run's own by default).
    #[arg(long)]
    seed: Option<u64>,
    /// Which of the checkpoint's runs to start from.
    #[arg(long = "run", default_value_t = 0, value_name = "R")]
    which: usize,
    /// Start from the state with the best validation of a run's folder.
    #[arg(long)]
    best: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Predict {
    pub(super) fn run(self) -> Result<ExitCode> {
        let json = match self.out.as_deref().map(|out| out.extension().unwrap_or_default()) {
            None => false,
            Some(kind) if kind.eq_ignore_ascii_case("csv") => false,
            Some(kind) if kind.eq_ignore_ascii_case("json") => true,
            Some(_) => bail!("--out: give a name that ends in .csv or .json"),
        };
        for path in self.out.iter().chain(&self.save_model) {
            atomic::check_new(path)?;
        }
        if self.out.is_some() && self.out == self.save_model {
            bail!("--out and --save-model name one file; give two");
        }
        if self.steps == Some(0) || self.batch == Some(0) {
            bail!("--steps and --batch must be at least 1");
        }
        if let Some(rate) = self.rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            bail!("--rate {rate}: must be a number above 0");
        }
        let stored = match self.best {
            true => Stored::open_best(&self.run, None)?,
            false => Stored::open(&self.run, None)?,
        };
        let (config, model) = (&stored.config, stored.config.validate()?);
        tells_apart(&model)?;
        let support = labelled(&self.support, &config.tasks, &model).context("--support")?;
        let read = |place| unlabelled(place, &config.tasks, &model).context("--query");
        let queries = self.query.as_deref().map(read).transpose()?;
        let notes = support.notes.iter().chain(queries.iter().flat_map(|queries| &queries.notes));
        notes.for_each(|note| note!("data: {note}"));
        note!(
            "{} examples of {} classes: {}",
            support.labels.len(),
            support.classes.len(),
            crate::data::listed(&support.classes)
        );
        let recipe = Recipe {
            run: self.which,
            steps: self.steps.unwrap_or(config.eval.steps),
            batch: self.batch.unwrap_or(config.eval.batch),
            rate: self.rate,
            optimizer: None,
            refine: None,
            reset_optimizer: false,
            warm_start: false,
            seed: self.seed.unwrap_or(config.seed.wrapping_add(self.which as u64)),
            plan: config.plan,
            classes: None,
        };
        let snapshot = stored.snapshot()?;
        let digest = stored.file.sha256();
        let base = Base { config, digest: &digest, split: stored.split.as_ref() };
        let gpu = self.device.open()?;
        let found = counting("predicting", |progress| {
            predict(&gpu, base, &snapshot, &recipe, &support, queries.as_ref(), progress)
        })?;
        if found.probabilities.iter().flatten().any(|it| !it.is_finite())
            || found.adapted.parameters.iter().flatten().any(|it| !it.is_finite())
        {
            bail!("the adaptation diverged; give a lower --rate, or fewer --steps");
        }
        if let Some(path) = &self.save_model {
            found.adapted.write_new(&model, path)?;
            note!("the adapted network is in {}", path.display());
        }
        if let Some(queries) = &queries {
            let text = if json {
                as_json(&support, queries, &found)?
            } else {
                as_csv(&support, queries, &found)?
            };
            match &self.out {
                Some(out) => {
                    atomic::write_new(out, text.as_bytes())?;
                    note!("{} predictions are in {}", queries.names.len(), out.display());
                }
                None => say(text.trim_end()),
            }
            report(&support, queries, &found);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The class of each query, and its place among the classes.
fn best(probabilities: &[f64]) -> usize {
    let largest = probabilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    probabilities.iter().position(|it| *it == largest).unwrap_or(0)
}

/// A row a query: its file, its label, the label's probability, and those of all classes.
fn as_csv(support: &Labelled, queries: &Unlabelled, found: &Predictions) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let head = ["file", "label", "probability"];
    if let Some(class) = support.classes.iter().find(|class| head.contains(&class.as_str())) {
        bail!(
            "a class is called `{class}`, as a column of the CSV is; rename it, or give --out FILE.json"
        );
    }
    csv.write_record(head.into_iter().chain(support.classes.iter().map(String::as_str)))?;
    for (name, all) in queries.names.iter().zip(&found.probabilities) {
        let label = best(all);
        let row = [name.clone(), support.classes[label].clone(), all[label].to_string()];
        csv.write_record(row.into_iter().chain(all.iter().map(f64::to_string)))?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

/// The same as a list of objects.
fn as_json(support: &Labelled, queries: &Unlabelled, found: &Predictions) -> Result<String> {
    let row = |(name, all): (&String, &Vec<f64>)| {
        let label = best(all);
        let classes = support.classes.iter().cloned().zip(all.iter().map(|it| json!(it)));
        json!({
            "file": name,
            "label": support.classes[label],
            "probability": all[label],
            "probabilities": Value::Object(classes.collect::<Map<_, _>>()),
        })
    };
    let rows: Vec<Value> = queries.names.iter().zip(&found.probabilities).map(row).collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}

/// Where queries lie in folders that are called like classes: how many are told right.
fn report(support: &Labelled, queries: &Unlabelled, found: &Predictions) {
    let known = queries.folders.iter().zip(&found.probabilities).filter_map(|(folder, all)| {
        let class = support.classes.iter().position(|class| Some(class) == folder.as_ref())?;
        Some(class == best(all))
    });
    let right: Vec<bool> = known.collect();
    if !right.is_empty() {
        let count = right.iter().filter(|right| **right).count();
        note!(
            "right: {count} of {} that lie in a class's folder ({:.1} %)",
            right.len(),
            100.0 * count as f64 / right.len() as f64
        );
    }
}
