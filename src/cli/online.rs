//! `reptile online`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, config_text, load_job, progress_bar};
use crate::cli::out_folder::OutFolder;
use crate::cli::training::Stop;
use crate::cli::words::say;
use crate::config::{Config, Data, Purpose, overrides};
use crate::data::TaskFiles;
use crate::disk::atomic;
use crate::plot::{Series, learning_curves};
use crate::session::online::{Arrivals, LEARNERS, Protocol, Report, learn};

const BAR: &str = "{bar:30} {pos}/{len} [{elapsed}<{eta}] {msg}";

/// Learn from tasks as they arrive, beside joint training and learning from scratch.
#[derive(Debug, Args)]
pub struct Online {
    /// Configuration: network, tasks, inner and outer rates (iterations do not count).
    #[arg(conflicts_with = "preset", required_unless_present = "preset")]
    config: Option<PathBuf>,
    /// A preset instead (see `reptile presets`).
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Set a configuration key, e.g. --set inner.rate=0.01 (can be repeated).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of safetensors files with a task each (support_x [1, N, …], support_y), which arrive in the order of
    /// their names; instead of test tasks that the configuration draws.
    #[arg(long, value_name = "DIR")]
    arrivals: Option<PathBuf>,
    /// Tasks that arrive (all files of --arrivals, or 100).
    #[arg(long, value_name = "N")]
    tasks: Option<usize>,
    /// Samples (a class) to adapt with, ascending; the last number counts for the regret.
    #[arg(long, value_name = "K", num_args = 1.., default_values_t = [1, 2, 5, 10])]
    samples: Vec<usize>,
    /// Meta-steps after each task.
    #[arg(long, value_name = "R", default_value_t = 20)]
    meta_steps: usize,
    /// Error (loss, or share of wrong answers) that counts as learned.
    #[arg(long, value_name = "ERROR", default_value_t = 0.5)]
    threshold: f64,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// New folder for online.json and regret.svg (runs/online by default, with a number if it exists).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Online {
    pub(super) fn run(self) -> Result<ExitCode> {
        let out = OutFolder::new(self.out.as_deref(), "online")?;
        for name in ["online.json", "regret.svg"] {
            if out.join(name).exists() {
                bail!("{}: already holds a report; give another --out", out.display());
            }
        }
        let config = self.configuration()?;
        let model = config.validate()?;
        let read = |folder| TaskFiles::load(folder, &model).context("--arrivals");
        let files = self.arrivals.as_deref().map(read).transpose()?;
        files.iter().flat_map(|files| &files.notes).for_each(|note| note!("data: {note}"));
        let files = files.map(|files| files.tasks);
        let tasks = self.tasks.unwrap_or(files.as_ref().map_or(100, Vec::len));
        let protocol = Protocol::new(tasks, self.samples.clone(), self.meta_steps, self.threshold);
        let gpu = self.device.open()?;
        let job = match files {
            None => {
                let data = Data { purpose: Purpose::Test, ..Data::default() };
                Some(load_job(&gpu, config.clone(), data)?)
            }
            Some(_) => None,
        };
        // What its files say is known by now.
        let config = job.as_ref().map_or(config, |job| job.config().clone());
        let arrivals = match (&job, &files) {
            (Some(job), _) => Arrivals::Drawn(job),
            (None, files) => Arrivals::Files(files.as_deref().unwrap_or_default()),
        };
        let (stop, bar) = (Stop::on_interrupt()?, progress_bar(protocol.tasks as u64, BAR));
        let report = learn(&gpu, &config, arrivals, &protocol, |arrival| {
            bar.inc(1);
            let [reptile, joint, scratch] = arrival.error;
            bar.set_message(format!("error {reptile:.3}, joint {joint:.3}, scratch {scratch:.3}"));
            !stop.asked()
        });
        bar.finish_and_clear();
        let report = report?;
        std::fs::create_dir_all(&*out)
            .with_context(|| format!("--out {}: cannot be made a folder", out.display()))?;
        let json = serde_json::to_string_pretty(&report)?;
        atomic::write_new(&out.join("online.json"), json.as_bytes())?;
        draw(&out.join("regret.svg"), &report)?;
        if self.json {
            say(json)
        } else {
            print(&report)
        }
        note!("the report is in {}", out.display());
        Ok(ExitCode::SUCCESS)
    }

    fn configuration(&self) -> Result<Config> {
        let given = config_text(self.config.as_deref(), self.preset.as_deref())?;
        let Some((text, origin)) = given else { bail!("give a configuration or --preset") };
        let set: Vec<_> = self
            .set
            .iter()
            .map(|text| overrides::parse_assignment(text))
            .collect::<Result<_, _>>()?;
        let mut config = Config::with_overrides(&text, &origin, &set)?;
        config.make_paths_absolute(self.config.as_deref())?;
        if let Some(data) = &self.data {
            config.tasks.set_data(data);
        }
        Ok(config)
    }
}

fn print(report: &Report) {
    let half = report.arrivals.len() / 2;
    let late = report.errors_from(half);
    say(format_args!(
        "{} tasks, {} meta-steps after each; error with {} samples",
        report.arrivals.len(),
        report.protocol.meta_steps,
        report.protocol.samples.last().copied().unwrap_or(0),
    ));
    say(
        "| learner | mean error | of the second half | regret against it | samples to the threshold | tasks that reach it |",
    );
    say("|---|---|---|---|---|---|");
    let all = report.errors_from(0);
    for (index, name) in LEARNERS.iter().enumerate() {
        let samples = report.samples[index].map_or("–".into(), |count| format!("{count:.1}"));
        say(format_args!(
            "| {name} | {:.4} | {:.4} | {:.2} | {samples} | {:.0} % |",
            all[index],
            late[index],
            report.regret[index],
            100.0 * report.reached[index],
        ));
    }
}

/// Cumulative regret against joint training and against learning from scratch.
fn draw(path: &Path, report: &Report) -> Result<()> {
    let curve = |learner: usize| {
        let mut sum = 0.0;
        let point = |one: &crate::session::online::Arrival| {
            sum += one.error[0] - one.error[learner];
            (one.task as f64 + 1.0, sum)
        };
        let points = report.arrivals.iter().map(point).collect();
        Series { label: format!("against {}", LEARNERS[learner]), points }
    };
    let curves = [curve(1), curve(2)];
    let labels = ["task", "Σ error of reptile − error of the other"];
    Ok(learning_curves(path, "Cumulative regret", labels, &curves, false)?)
}
