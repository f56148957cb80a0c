//! `reptile plot`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, Stored, load_job};
use crate::meta::Adaptation;
use crate::rng::Phase;
use crate::run::metrics::{Record, read};
use crate::run::plot::{Series, SineCurve, learning_curves, sine_adaptation};
use crate::run::{RunDirectory, directory, starting_point};
use crate::tasks::TaskSpec;

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
        if !out.is_dir() {
            bail!("--out {}: no such folder", out.display());
        }
        self.curves(&run, &out.join("learning.svg"))?;
        let stored = Stored::open(&directory::resolve(&self.run)?, None)?;
        if matches!(stored.config.tasks, TaskSpec::Sine(_)) {
            self.adaptation(&stored, &out.join("adaptation.svg"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Training loss and validation metric over iterations.
    fn curves(&self, run: &RunDirectory, path: &Path) -> Result<()> {
        let records = read(run.metrics_path())?;
        let mut series: Vec<Series> = Vec::new();
        let mut add = |label: String, iteration: u64, value: f64| {
            let point = (iteration as f64, value);
            match series.iter_mut().find(|series| series.label == label) {
                Some(series) => series.points.push(point),
                None => series.push(Series { label, points: vec![point] }),
            }
        };
        for record in records {
            match record {
                Record::Train(line) => {
                    add(
                        format!("seed {}: before the inner loop", line.seed),
                        line.iteration,
                        line.loss_first,
                    );
                    add(
                        format!("seed {}: last inner step", line.seed),
                        line.iteration,
                        line.loss_last,
                    );
                }
                Record::Validation(line) => {
                    add(format!("seed {}: validation loss", line.seed), line.iteration, line.loss);
                }
                Record::Inner(_) => {}
            }
        }
        if series.is_empty() {
            bail!("{}: the metrics are empty; train first", run.path().display());
        }
        learning_curves(path, "Training", "loss", &series, true)?;
        println!("{}", path.display());
        Ok(())
    }

    /// Predictions on test tasks before and after adaptation.
    fn adaptation(&self, stored: &Stored, path: &Path) -> Result<()> {
        let gpu = self.device.open()?;
        let job = load_job(&gpu, stored.config.clone())?;
        let mut adaptation =
            Adaptation::new(&gpu, job.evaluation(0, Phase::Test), self.tasks.max(1))?;
        adaptation.start_from(&starting_point(&stored.snapshot()?, 0));
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
        println!("{}", path.display());
        Ok(())
    }
}
