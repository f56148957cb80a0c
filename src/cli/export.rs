//! `reptile export`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::common::Stored;
use crate::cli::models::Models;
use crate::data::{StoredSplit, unlabelled};
use crate::disk::atomic;
use crate::model::{Model, OnnxSettings};
use crate::reference::network::statistics;

/// Write a network as an ONNX file, for programs without this one.
#[derive(Debug, Args)]
pub struct Export {
    /// A checkpoint or a run's folder, or adapted models (with --base).
    from: PathBuf,
    /// New file for the network.
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
    /// Adapted models: the checkpoint that they were adapted from, or its run's folder.
    #[arg(long, value_name = "CHECKPOINT")]
    base: Option<PathBuf>,
    /// Adapted models: which of them, counted from 0 (if there are several).
    #[arg(long, value_name = "T")]
    task: Option<usize>,
    /// Freeze the statistics of batch-norms at those of these examples: a folder of images, or an .npz (or safetensors)
    /// with x. Otherwise they are those of each batch.
    #[arg(long, value_name = "DIR|FILE")]
    support: Option<PathBuf>,
    /// A run: which of the checkpoint's runs.
    #[arg(long = "run", value_name = "R")]
    which: Option<usize>,
    /// A run's folder: take the state with the best validation.
    #[arg(long)]
    best: bool,
}

/// Parameters, and whose they are.
struct Chosen {
    parameters: Vec<f32>,
    whose: String,
    /// Classes that they were adapted to, where they are fewer than the outputs.
    classes: Option<usize>,
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode> {
        if self.onnx.extension().is_none_or(|it| it != "onnx") {
            bail!("--onnx {}: give a name that ends in .onnx", self.onnx.display());
        }
        atomic::check_new(&self.onnx)?;
        if !self.from.exists() {
            bail!(
                "{}: no such file or folder; give a run, a checkpoint or adapted models",
                self.from.display()
            );
        }
        let adapted = Models::are_in(&self.from);
        let (stored, chosen) = if adapted { self.adapted()? } else { self.of_run()? };
        let model = stored.config.validate()?;
        if chosen.parameters.iter().any(|it| !it.is_finite()) {
            bail!("{}: its parameters are not finite: the adaptation diverged", chosen.whose);
        }
        let mut settings = OnnxSettings { outputs: chosen.classes, ..OnnxSettings::default() };
        let normalization = stored.split.as_ref().and_then(StoredSplit::normalization);
        settings.normalization =
            normalization.map(|own| [own.mean().to_vec(), own.deviation().to_vec()]);
        if let Some(place) = &self.support {
            let mut seen = unlabelled(place, &stored.config.tasks, &model).context("--support")?;
            seen.notes.iter().for_each(|note| note!("data: {note}"));
            if let Some(own) = normalization {
                own.apply(&mut seen.x);
            }
            settings.statistics = Some(self.frozen(&model, &chosen.parameters, &seen.x)?);
            note!("batch-norms have the statistics of {} examples", seen.names.len());
        } else if model.has_batch_statistics() {
            note!(
                "batch-norms take the statistics of each batch: predictions depend on what is predicted together; \
                 --support freezes them"
            );
        }
        let frozen = if self.support.is_some() { "support" } else { "batch" };
        for (key, value) in [
            ("base", stored.file.sha256()),
            ("parameters", chosen.whose.clone()),
            ("statistics", frozen.into()),
        ] {
            settings.metadata.insert(key.into(), value);
        }
        let bytes = model.to_onnx(&chosen.parameters, &settings)?;
        atomic::write_new(&self.onnx, &bytes)?;
        note!("{} is in {}", chosen.whose, self.onnx.display());
        Ok(ExitCode::SUCCESS)
    }

    /// The parameters of one of the adapted models.
    fn adapted(&self) -> Result<(Stored, Chosen)> {
        let Some(base) = &self.base else {
            bail!(
                "{}: give the checkpoint that these models were adapted from as --base",
                self.from.display()
            );
        };
        if self.best || self.which.is_some() {
            bail!("--best and --run are for a run; choose among adapted models with --task");
        }
        let stored = Stored::open(base, None)?;
        let Models::Adapted(models) = Models::open(&self.from, &stored)? else {
            bail!(
                "{}: these models are compressed; restore them with `reptile decompress` first",
                self.from.display()
            );
        };
        let count = models.parameters.len();
        let task = match self.task {
            None if count > 1 => bail!(
                "{} holds {count} models; choose one with --task (0 to {})",
                self.from.display(),
                count - 1
            ),
            task => task.unwrap_or(0),
        };
        let classes = models.settings.recipe()?.classes;
        let Some(parameters) = models.parameters.into_iter().nth(task) else {
            bail!("--task {task}: {} holds {count} models, counted from 0", self.from.display());
        };
        let whose = format!("model {task} of {}", self.from.display());
        Ok((stored, Chosen { parameters, whose, classes }))
    }

    /// The meta-learned parameters of a run.
    fn of_run(&self) -> Result<(Stored, Chosen)> {
        if self.base.is_some() || self.task.is_some() {
            bail!(
                "--base and --task are for adapted models, and {} is a run or a checkpoint",
                self.from.display()
            );
        }
        let stored = match self.best {
            true => Stored::open_best(&self.from, None)?,
            false => Stored::open(&self.from, None)?,
        };
        let (run, sets) = (self.which.unwrap_or(0), stored.snapshot()?.parameters);
        let count = sets.len();
        let Some(parameters) = sets.into_iter().nth(run) else {
            bail!("--run {run}: the checkpoint holds {count}, counted from 0");
        };
        let whose = format!("the meta-learned network of {}", stored.file.path().display());
        Ok((stored, Chosen { parameters, whose, classes: None }))
    }

    /// Mean and variance of what each batch-norm sees of `x`.
    fn frozen(&self, model: &Model, parameters: &[f32], x: &[f32]) -> Result<Vec<[Vec<f32>; 2]>> {
        if !model.has_batch_statistics() {
            bail!(
                "--support: the network has no batch-norm whose statistics could be frozen; leave it out"
            );
        }
        let wide =
            |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let all = statistics(model, &wide(parameters), &wide(x));
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok(all.into_iter().map(|own| own.map(narrow)).collect())
    }
}
