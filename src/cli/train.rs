//! `reptile train`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar};

use crate::cli::common::{DeviceArgs, load_job, progress_bar};
use crate::meta::memory;
use crate::run::checkpoint::Checkpoint;
use crate::run::metrics::Record;
use crate::run::{Config, Event, Outcome, Progress, RunDirectory, Session, overrides, presets};

const BAR: &str = "{bar:30} {pos}/{len} [{elapsed}<{eta}] {msg}";
/// How often a line is printed where there is no terminal.
const PLAIN: Duration = Duration::from_secs(5);

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
    /// Folder of the run (runs/NAME by default, with a number if it exists).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, exactly where its last checkpoint is.
    #[arg(long, requires = "out")]
    resume: bool,
    /// With --resume: go on from this checkpoint instead of the last one.
    #[arg(long, value_name = "FILE", requires = "resume")]
    checkpoint: Option<PathBuf>,
    /// Print the metrics as JSON lines on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Train {
    pub(super) fn run(self) -> Result<ExitCode> {
        let config = self.configuration()?;
        config.validate()?;
        let mut session = if self.resume { self.go_on(config)? } else { self.start(config)? };
        eprintln!("plan: {:?}", session.trainer().plan());
        let out = session.directory().path().to_path_buf();
        let stop = Arc::new(AtomicBool::new(false));
        let handler = stop.clone();
        ctrlc::set_handler(move || {
            if handler.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nfinishing the iteration; once more to quit at once");
        })
        .context("Ctrl-C cannot be caught")?;
        let total = session.trainer().iteration();
        let mut view = View::new(self.json, total);
        let outcome = session.train(|event| {
            view.show(&event);
            !stop.load(Ordering::SeqCst)
        });
        view.finish();
        let outcome = outcome.with_context(|| self.after_failure(&out))?;
        let iteration = session.trainer().iteration();
        let why = match outcome {
            Outcome::Finished => "done",
            Outcome::Time => "time budget spent",
            Outcome::Target => "target reached",
            Outcome::Patience => "no improvement",
            Outcome::Interrupted => "interrupted",
        };
        eprintln!("{why}: {iteration} meta-iterations, saved in {}", out.display());
        if matches!(outcome, Outcome::Interrupted | Outcome::Time) {
            eprintln!("go on with: reptile train --out {} --resume", out.display());
        } else {
            eprintln!("next: reptile eval {}", out.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn after_failure(&self, out: &Path) -> String {
        match RunDirectory::open(out).and_then(|run| run.checkpoints()) {
            Ok(list) if !list.is_empty() => {
                format!("the last checkpoint is {}", list[list.len() - 1].1.display())
            }
            _ => "no checkpoint was written yet".to_string(),
        }
    }

    /// The configuration that file, preset, run folder and flags make together.
    fn configuration(&self) -> Result<Config> {
        let (text, origin) = match (&self.config, &self.preset, &self.out) {
            (Some(path), ..) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{}: cannot be read", path.display()))?;
                (text, path.display().to_string())
            }
            (None, Some(name), _) => (presets::get(name)?.to_string(), format!("preset {name}")),
            (None, None, Some(out)) if self.resume => (
                RunDirectory::open(out)?.config_text()?,
                out.join("config.toml").display().to_string(),
            ),
            _ => bail!(
                "nothing to train: give a CONFIG.toml or --preset NAME (see `reptile presets`)"
            ),
        };
        Ok(Config::with_overrides(&text, &origin, &self.overrides()?)?)
    }

    fn overrides(&self) -> Result<Vec<(String, String)>> {
        let mut list = self
            .set
            .iter()
            .map(|text| overrides::parse_assignment(text))
            .collect::<crate::Result<Vec<_>>>()?;
        let path = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("iterations", self.iterations.map(|n| n.to_string())),
            ("seed", self.seed.map(|n| n.to_string())),
            ("runs", self.runs.map(|n| n.to_string())),
            ("plan", self.plan.clone()),
            ("tasks.data", self.data.as_ref().map(path)),
            ("tasks.train_classes", self.train_classes.as_ref().map(path)),
            ("tasks.test_classes", self.test_classes.as_ref().map(path)),
            ("log.inner", self.log_inner.map(|n| n.to_string())),
        ];
        for (key, value) in flags {
            list.extend(value.map(|value| (key.to_string(), value)));
        }
        Ok(list)
    }

    fn start(&self, config: Config) -> Result<Session> {
        let gpu = self.device.open()?;
        let job = load_job(&gpu, config)?;
        let bytes = memory(&gpu, &job.trainer_setup())?;
        eprintln!("memory: {} on the device", HumanBytes(bytes));
        Ok(Session::start(&gpu, job, &self.folder())?)
    }

    /// --out, or the first free folder below `runs`.
    fn folder(&self) -> PathBuf {
        if let Some(out) = &self.out {
            return out.clone();
        }
        let name = match (&self.preset, &self.config) {
            (Some(name), _) => name.clone(),
            (None, Some(path)) => {
                path.file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned())
            }
            (None, None) => "run".to_string(),
        };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .map(|name| Path::new("runs").join(name))
            .find(|path| !path.exists())
            .expect("there is always another number")
    }

    fn go_on(&self, config: Config) -> Result<Session> {
        let out = self.out.as_ref().expect("clap asks for it");
        let directory = RunDirectory::resume(out)?;
        let model = config.validate()?;
        let checkpoint = match &self.checkpoint {
            Some(path) => Some(Checkpoint::load(&model, path)?),
            None => directory.latest(&model)?,
        };
        if let Some(checkpoint) = &checkpoint {
            check_same(&config, checkpoint, out)?;
            eprintln!("resuming at iteration {}", checkpoint.iteration);
        } else {
            eprintln!("no checkpoint yet: starting again from iteration 0");
        }
        let gpu = self.device.open()?;
        let job = load_job(&gpu, config)?;
        Ok(Session::resume(&gpu, job, directory, checkpoint)?)
    }
}

/// Refuses a configuration under which the run would not go on as the same one.
fn check_same(config: &Config, checkpoint: &Checkpoint, out: &Path) -> Result<()> {
    let stored = Config::from_toml(&checkpoint.config, &out.display().to_string())?;
    let same_length = Config { iterations: stored.iterations, ..config.clone() };
    if same_length.hash() != checkpoint.config_hash {
        bail!(
            "{}: the run was trained under another configuration ({}); resume without changes \
             (only iterations, stop.*, log.* and the validation schedule may change), or train \
             into another --out",
            out.display(),
            differences(&stored, &same_length),
        );
    }
    let schedules = [&config.inner.schedule, &config.outer.schedule];
    let depends = schedules.iter().any(|schedule| schedule.spans_the_run());
    if config.iterations != stored.iterations && depends {
        eprintln!(
            "note: iterations changed from {} to {}; the schedules now span the new number",
            stored.iterations, config.iterations
        );
    }
    Ok(())
}

/// The lines in which two configurations differ.
fn differences(stored: &Config, wanted: &Config) -> String {
    let (stored, wanted) = (stored.to_toml(), wanted.to_toml());
    let changed: Vec<&str> =
        wanted.lines().filter(|line| !stored.lines().any(|old| old == *line)).collect();
    if changed.is_empty() {
        "keys were removed".into()
    } else {
        format!("now {}", changed.join(", "))
    }
}

/// Shows training as it goes.
struct View {
    json: bool,
    bar: ProgressBar,
    terminal: bool,
    printed: Instant,
    start: u64,
}

impl View {
    fn new(json: bool, start: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { json, bar: progress_bar(0, BAR), terminal, printed: Instant::now(), start }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Record(record) if self.json => {
                println!("{}", serde_json::to_string(record).expect("records are plain data"));
            }
            Event::Record(Record::Validation(line)) => {
                let accuracy =
                    line.accuracy.map_or(String::new(), |a| format!(", accuracy {a:.4}"));
                let text = format!(
                    "iteration {} run {}: validation loss {:.4}{accuracy} (± {:.4})",
                    line.iteration, line.run, line.loss, line.interval
                );
                self.bar.suspend(|| eprintln!("{text}"));
            }
            Event::Record(_) => {}
            Event::Iteration(progress) => self.iteration(progress),
        }
    }

    fn iteration(&mut self, progress: &Progress) {
        let [first, last] = progress.loss;
        let text = format!("loss {first:.4} → {last:.4}, {:.0} tasks/s", progress.tasks_per_second);
        if self.terminal {
            if self.bar.length() != Some(progress.iterations) {
                self.bar.set_length(progress.iterations);
                self.bar.set_position(self.start);
                self.bar.reset_eta();
            }
            self.bar.set_position(progress.iteration);
            if progress.iteration.is_multiple_of(16) {
                self.bar.set_message(text);
            }
        } else if !self.json
            && (self.printed.elapsed() >= PLAIN || progress.iteration == progress.iterations)
        {
            eprintln!("iteration {}/{}: {text}", progress.iteration, progress.iterations);
            self.printed = Instant::now();
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
