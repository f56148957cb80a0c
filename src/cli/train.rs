//! `reptile train`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, config_text};
use crate::cli::device_lost::DeviceLost;
use crate::cli::out_folder::OutFolder;
use crate::cli::ranks::{RanksArgs, RoundsArgs, again, agree, first};
use crate::cli::stop::Stop;
use crate::cli::training::{self, On, Resuming};
use crate::cluster::{DistributedSpec, Ranks};
use crate::config::{Config, Purpose, overrides};
use crate::disk::shell::quoted;
use crate::session::{Outcome, Session};
use crate::store::{RunDirectory, Weights};

/// Meta-train a network.
#[derive(Debug, Args)]
pub struct Train {
    /// Configuration to train (see docs/config.md); with --resume, the one the run has.
    #[arg(conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Train a preset (see `reptile presets`).
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Set a configuration key, e.g. --set inner.rate=0.01 (can be repeated).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Number of meta-iterations.
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// Seed; run r has seed + r.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of runs (seeds) trained at once.
    #[arg(long, value_name = "R")]
    runs: Option<u64>,
    /// How the inner loops run: auto, fused or layered.
    #[arg(long)]
    plan: Option<String>,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// File with the training classes, a path a line.
    #[arg(long, value_name = "FILE")]
    train_classes: Option<PathBuf>,
    /// File with the test classes, a path a line.
    #[arg(long, value_name = "FILE")]
    test_classes: Option<PathBuf>,
    /// Write the inner losses of each step to the metrics every N iterations.
    #[arg(long, value_name = "N")]
    log_inner: Option<u64>,
    /// Also write TensorBoard's event files (log.tensorboard).
    #[arg(long)]
    tensorboard: bool,
    /// Also write norms and products of gradients and the spread of the tasks, by layer (log.telemetry).
    #[arg(long)]
    telemetry: bool,
    /// Start every run from the parameters in this safetensors file, which has tensors of the names and shapes that checkpoints
    /// have.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    init: Option<PathBuf>,
    /// With --init: take the tensors that fit; the others stay as they are drawn.
    #[arg(long, requires = "init")]
    init_partial: bool,
    /// Folder of the run (runs/NAME by default, with a number if it exists).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, exactly where its last checkpoint is.
    #[arg(long, requires = "out")]
    resume: bool,
    /// With --resume: go on from this checkpoint instead of the last one.
    #[arg(long, value_name = "FILE", requires = "resume")]
    checkpoint: Option<PathBuf>,
    /// With --resume: go on although classes of the run are missing or their images changed.
    #[arg(long, requires = "resume")]
    changed_data: bool,
    /// With --resume: go on although the run was begun by a version whose kernels add numbers in another order, so
    /// that it does not come to the bytes that it would have come to.
    #[arg(long, requires = "resume")]
    other_arithmetic: bool,
    #[command(flatten)]
    device_lost: DeviceLost,
    #[command(flatten)]
    ranks: RanksArgs,
    #[command(flatten)]
    rounds: RoundsArgs,
    /// Print the metrics as JSON lines on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Train {
    pub(super) fn run(self) -> Result<ExitCode> {
        let command = OutFolder::command("train", self.out.as_deref(), self.resume);
        self.ranks.on_all(&command, Some(&self.device_lost), |ranks| self.run_on(ranks))
    }

    /// Trains, on all `ranks` if there are several.
    fn run_on(&self, ranks: Option<&Arc<Ranks>>) -> Result<ExitCode> {
        let config = self.configuration_on(ranks)?;
        if ranks.is_none() && config.distributed != DistributedSpec::default() {
            note!("note: the keys below `distributed` count with --distributed alone");
        }
        let out =
            agree(ranks, OutFolder::of_first(first(ranks), self.out.as_deref(), || self.folder()))?;
        let mut stop = None;
        let (outcome, iteration) = self.device_lost.survived(|again| {
            let begun = self.resume || again && RunDirectory::open(&*out).is_ok();
            let mut session = match begun {
                true => self.go_on(config.clone(), &out, again, ranks)?,
                false => self.start(config.clone(), &out, ranks)?,
            };
            note!("plan: {}", session.trainer().plan());
            // Until then Ctrl-C ends the program at once.
            let stop = Stop::once(&mut stop)?;
            let outcome = training::train(&mut session, stop, self.json)?;
            Ok((outcome, session.trainer().iteration()))
        })?;
        let why = match outcome {
            Outcome::Finished => "done",
            Outcome::Time => "time budget spent",
            Outcome::Target => "target reached",
            Outcome::Patience => "no improvement",
            Outcome::Interrupted => "interrupted",
        };
        note!("{why}: {iteration} meta-iterations, saved in {}", out.display());
        if matches!(outcome, Outcome::Interrupted | Outcome::Time) {
            note!("go on with: {}", again(ranks, &format!("train --out {}", quoted(&out))));
        } else {
            note!("next: reptile eval {}", quoted(&out));
        }
        Ok(match stop {
            Some(stop) if outcome == Outcome::Interrupted => stop.code(),
            _ => ExitCode::SUCCESS,
        })
    }

    /// The configuration, checked; that of a run that goes on is the first rank's to read.
    fn configuration_on(&self, ranks: Option<&Arc<Ranks>>) -> Result<Config> {
        let read = || {
            let config = self.configuration()?;
            config.validate()?;
            Ok(config)
        };
        let stored = self.resume && self.config.is_none() && self.preset.is_none();
        match ranks.filter(|_| stored) {
            None => agree(ranks, read()),
            Some(ranks) => {
                let first = (ranks.rank() == 0).then(read).transpose();
                let text = ranks.agree(first)?.map(|config| config.to_toml().into_bytes());
                let text = ranks.of_first(text)?;
                Ok(Config::from_toml(&String::from_utf8_lossy(&text), "the run's configuration")?)
            }
        }
    }

    /// The configuration that file, preset, run folder and flags make together.
    fn configuration(&self) -> Result<Config> {
        let given = config_text(self.config.as_deref(), self.preset.as_deref())?;
        let stored = given.is_none();
        let (text, origin) = match (given, &self.out) {
            (Some(given), _) => given,
            (None, Some(out)) if self.resume => (
                RunDirectory::open(out)?.config_text()?,
                out.join("config.toml").display().to_string(),
            ),
            _ => bail!(
                "nothing to train: give a CONFIG.toml or --preset NAME (see `reptile presets`)"
            ),
        };
        let mut config = Config::with_overrides(&text, &origin, &self.overrides()?)?;
        if !stored {
            config.make_paths_absolute(self.config.as_deref())?;
        }
        Ok(config)
    }

    fn overrides(&self) -> Result<Vec<(String, String)>> {
        let mut list = self
            .set
            .iter()
            .map(|text| overrides::parse_assignment(text))
            .collect::<crate::Result<Vec<_>>>()?;
        let path = |path: &PathBuf| {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            absolute.display().to_string()
        };
        let flags = [
            ("iterations", self.iterations.map(|n| n.to_string())),
            ("seed", self.seed.map(|n| n.to_string())),
            ("runs", self.runs.map(|n| n.to_string())),
            ("plan", self.plan.clone()),
            ("tasks.data", self.data.as_ref().map(path)),
            ("tasks.train_classes", self.train_classes.as_ref().map(path)),
            ("tasks.test_classes", self.test_classes.as_ref().map(path)),
            ("log.inner", self.log_inner.map(|n| n.to_string())),
            ("log.tensorboard", self.tensorboard.then(|| true.to_string())),
            ("log.telemetry", self.telemetry.then(|| true.to_string())),
        ];
        for (key, value) in flags.into_iter().chain(self.rounds.overrides()) {
            list.extend(value.map(|value| (key.to_string(), value)));
        }
        Ok(list)
    }

    fn start(&self, config: Config, out: &Path, ranks: Option<&Arc<Ranks>>) -> Result<Session> {
        let weights = agree(ranks, self.weights(&config))?;
        let gpu = agree(ranks, self.device.open_for(ranks))?;
        let weights = self.init.as_deref().zip(weights.as_ref());
        let on = On { device: &self.device, gpu: &gpu, ranks };
        training::start(on, config, out, Purpose::Train, weights)
    }

    /// What --init names, and says what of it is not taken.
    fn weights(&self, config: &Config) -> Result<Option<Weights>> {
        let Some(path) = &self.init else { return Ok(None) };
        let model = config.validate()?;
        let weights = Weights::read(&model, path)?;
        if let Some(why) = weights.left().first().filter(|_| !self.init_partial) {
            bail!(
                "{}: {why}; give weights of this network, or --init-partial to take the tensors that fit",
                path.display()
            );
        }
        let (taken, all) = (weights.taken(), model.tensors().len());
        note!("init: {taken} of {all} tensors from {}", path.display());
        weights.left().iter().for_each(|why| note!("init: {why}; it stays as it is drawn"));
        // A checkpoint's moments have their names behind a slash.
        let unknown = weights.unused().iter().filter(|name| !name.contains('/'));
        unknown.for_each(|name| note!("init: the network has no `{name}`; it is not used"));
        Ok(Some(weights))
    }

    /// --out, or a new folder below `runs`.
    fn folder(&self) -> Result<OutFolder> {
        let name = match (&self.preset, &self.config) {
            (Some(name), _) => name.clone(),
            (None, Some(path)) => {
                path.file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned())
            }
            (None, None) => "run".to_string(),
        };
        OutFolder::new(self.out.as_deref(), &name)
    }

    /// Goes on with the run in `out`; from its last checkpoint if it is not the first time that this is done.
    fn go_on(
        &self,
        config: Config,
        out: &Path,
        again: bool,
        ranks: Option<&Arc<Ranks>>,
    ) -> Result<Session> {
        let from = self.checkpoint.as_deref().filter(|_| !again);
        let run = match ranks {
            None => training::reopen(&config, out, from)?,
            Some(ranks) => training::reopen_on(ranks, &config, out, from)?,
        };
        let gpu = agree(ranks, self.device.open_for(ranks))?;
        let how = Resuming {
            purpose: Purpose::Train,
            changed_data: self.changed_data,
            other_arithmetic: self.other_arithmetic,
        };
        training::resume(On { device: &self.device, gpu: &gpu, ranks }, config, run, how)
    }
}
