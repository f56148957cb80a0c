//! `reptile plot`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, Stored, load_job};
use crate::cli::words::say;
use crate::disk::atomic;
use crate::meta::Adaptation;
use crate::plot::{SineCurve, learning_curves, sine_adaptation};
use crate::rng::Phase;
use crate::session::curves;
use crate::store::metrics::read;
use crate::store::{RunDirectory, directory};
use crate::tasks::TaskSpec;

const ITERATION: &str = "meta-iteration";

/// Draw a run.
#[derive(Debug, Args)]
pub struct Plot {
    /// A run's folder.
    run: PathBuf,
    /// Folder for the pictures (the run's own by default).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of tasks in the picture of an adaptation.
    #[arg(long, default_value_t = 3)]
    tasks: usize,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Plot {
    pub(super) fn run(self) -> Result<ExitCode> {
        let run = RunDirectory::open(&self.run)?;
        let out = self.out.clone().unwrap_or_else(|| self.run.clone());
        std::fs::create_dir_all(&out)
            .with_context(|| format!("--out {}: cannot be made a folder", out.display()))?;
        if self.out.is_some() {
            for name in ["learning.svg", "accuracy.svg", "rates.svg", "adaptation.svg"] {
                atomic::check_new(&out.join(name))?;
            }
        }
        draw_curves(&run, &out)?;
        let stored = Stored::open(&directory::resolve(&self.run)?, None)?;
        if matches!(stored.config.tasks, TaskSpec::Sine(_)) {
            self.adaptation(&stored, &out.join("adaptation.svg"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Predictions on test tasks before and after adaptation.
    fn adaptation(&self, stored: &Stored, path: &Path) -> Result<()> {
        let gpu = self.device.open()?;
        let job = load_job(&gpu, stored.config.clone(), stored.data())?;
        let mut adaptation =
            Adaptation::new(&gpu, job.evaluation(0, Phase::Test), self.tasks.max(1))?;
        adaptation.start_from(&stored.snapshot()?.starting_point(0)?)?;
        adaptation.run(0)?;
        let [before, after] = adaptation.query_outputs()?.map(Option::unwrap_or_default);
        let [support_x, support_y] = adaptation.support_rows()?;
        let [x, truth] = adaptation.query_rows()?;
        let (queries, support) = (x.len() / self.tasks.max(1), support_x.len() / self.tasks.max(1));
        let steps = stored.config.eval.steps;
        let curves: Vec<SineCurve> = (0..self.tasks.max(1))
            .map(|task| {
                let query = |values: &[f32]| values[task * queries..][..queries].to_vec();
                let pairs = support_x.iter().zip(&support_y).skip(task * support).take(support);
                SineCurve {
                    x: query(&x),
                    truth: query(&truth),
                    before: query(&before),
                    after: query(&after),
                    support: pairs.map(|(x, y)| (*x, *y)).collect(),
                    title: format!("test task {task}, {steps} steps"),
                }
            })
            .collect();
        sine_adaptation(path, &curves)?;
        say(path.display());
        Ok(())
    }
}

/// Losses over iterations into `learning.svg`, and where there are any, validation accuracies into
/// `accuracy.svg` and learned rates into `rates.svg`.
fn draw_curves(run: &RunDirectory, out: &Path) -> Result<()> {
    let records = read(run.metrics_path())?;
    let (losses, accuracies) = (curves::losses(&records), curves::accuracies(&records));
    if losses.is_empty() {
        bail!("{}: the metrics are empty; train first", run.path().display());
    }
    let path = out.join("learning.svg");
    learning_curves(&path, "Training", [ITERATION, "loss"], &losses, true)?;
    say(path.display());
    if !accuracies.is_empty() {
        let path = out.join("accuracy.svg");
        learning_curves(&path, "Validation", [ITERATION, "accuracy"], &accuracies, false)?;
        say(path.display());
    }
    let rates = curves::rates(&records);
    if !rates.is_empty() {
        let path = out.join("rates.svg");
        learning_curves(&path, "Learned rates", [ITERATION, "mean rate of a layer"], &rates, true)?;
        say(path.display());
    }
    Ok(())
}
