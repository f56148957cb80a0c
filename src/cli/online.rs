//! `reptile online`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::common::{DeviceArgs, config_text, load_job, progress_bar};
use crate::cli::device_lost::DeviceLost;
use crate::cli::out_folder::OutFolder;
use crate::cli::stop::Stop;
use crate::cli::words::say;
use crate::config::{Config, Data, Job, Purpose, overrides};
use crate::data::arrays::TaskArrays;
use crate::data::{StoredSplit, TaskFiles};
use crate::disk::atomic;
use crate::disk::shell::quoted;
use crate::gpu::Gpu;
use crate::model::Model;
use crate::plot::{Series, learning_curves};
use crate::session::online::{Arrivals, LEARNERS, Learning, Protocol, Report, State};
use crate::store::directory::lock;

const BAR: &str = "{bar:30} {pos}/{len} [{elapsed}<{eta}] {msg}";
/// How often the state is saved.
const EVERY: Duration = Duration::from_secs(10);
const REPORT: &str = "online.json";
const CHART: &str = "regret.svg";

/// Learn from tasks as they arrive, beside joint training and learning from scratch.
#[derive(Debug, Args)]
pub struct Online {
    /// Configuration: network, tasks, inner and outer rates (iterations do not count).
    #[arg(conflicts_with = "preset", required_unless_present_any = ["preset", "resume"])]
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
    /// Go on with the stream in --out, exactly where it stopped.
    #[arg(long, requires = "out", conflicts_with_all = ["config", "preset", "set", "tasks", "samples", "meta_steps", "threshold"])]
    resume: bool,
    /// With --resume: go on although classes of the data set are missing or their images changed.
    #[arg(long, requires = "resume")]
    changed_data: bool,
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
    #[command(flatten)]
    device_lost: DeviceLost,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Online {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (out, mut stop) = (OutFolder::new(self.out.as_deref(), "online")?, None);
        self.device_lost.survived(|again| {
            let begun = again && State::is_in(&out);
            self.go_through(&out, self.resume || begun, &mut stop)
        })
    }

    /// Begins or goes on, and says what came of it.
    fn go_through(&self, out: &Path, resume: bool, stop: &mut Option<Stop>) -> Result<ExitCode> {
        let before = before(out, resume)?;
        if resume && out.join(REPORT).exists() {
            note!("done: the report is in {}", out.display());
            return Ok(ExitCode::SUCCESS);
        }
        let config = match &before {
            Some(state) => self.stored(state, out)?,
            None => self.configuration()?,
        };
        let model = config.validate()?;
        let folder = self.arrivals.as_deref().map(std::path::absolute).transpose()?;
        let folder = folder.or(before.as_ref().and_then(|state| state.folder.clone()));
        let files = folder.as_deref().map(|folder| read(folder, &model)).transpose()?;
        let gpu = self.device.open()?;
        let job = match files {
            None => Some(self.job(&gpu, config.clone(), before.as_ref())?),
            Some(_) => None,
        };
        // What its files say is known by now.
        let config = job.as_ref().map_or(config, |job| job.config().clone());
        let arrivals = match (&job, &files) {
            (Some(job), _) => Arrivals::Drawn(job),
            (None, files) => Arrivals::Files(files.as_deref().unwrap_or_default()),
        };
        let mut learning = match before {
            Some(state) => Learning::resume(&gpu, &config, arrivals, state)?,
            None => {
                let tasks = self.tasks.unwrap_or(files.as_ref().map_or(100, Vec::len));
                let (samples, steps) = (self.samples.clone(), self.meta_steps);
                let protocol = Protocol::new(tasks, samples, steps, self.threshold);
                Learning::start(&gpu, &config, arrivals, protocol)?
            }
        };
        std::fs::create_dir_all(out)
            .with_context(|| format!("--out {}: cannot be made a folder", out.display()))?;
        let _lock = lock(out)?;
        let stop = Stop::once(stop)?;
        let save = |learning: &Learning<'_>| -> Result<()> {
            let state = learning.state()?;
            Ok(State { folder: folder.clone(), ..state }.save(out)?)
        };
        self.learn(&mut learning, stop, save).with_context(|| match State::is_in(out) {
            true => format!("go on with: reptile online --out {} --resume", quoted(out)),
            false => "nothing of the stream was saved yet".into(),
        })?;
        let report = learning.report();
        let json = serde_json::to_string_pretty(&report)?;
        if !report.partial {
            draw(&out.join(CHART), &report)?;
            atomic::write_new(&out.join(REPORT), json.as_bytes())?;
            State::remove(out)?;
        }
        if self.json {
            say(json)
        } else {
            print(&report)
        }
        if report.partial {
            let (some, all) = (report.arrivals.len(), report.protocol.tasks);
            note!("interrupted: {some} of {all} tasks, saved in {}", out.display());
            note!("go on with: reptile online --out {} --resume", quoted(out));
            return Ok(stop.code());
        }
        note!("the report is in {}", out.display());
        Ok(ExitCode::SUCCESS)
    }

    /// Goes through the stream to its end, or until it is to stop, and keeps its state.
    fn learn(
        &self,
        learning: &mut Learning<'_>,
        stop: &Stop,
        save: impl Fn(&Learning<'_>) -> Result<()>,
    ) -> Result<()> {
        let bar = progress_bar(learning.report().protocol.tasks as u64, BAR);
        bar.set_position(learning.done() as u64);
        let mut saved = Instant::now();
        while let Some(arrival) = learning.next_arrival(|| !stop.asked())? {
            bar.inc(1);
            let [reptile, joint, scratch] = arrival.error;
            bar.set_message(format!("error {reptile:.3}, joint {joint:.3}, scratch {scratch:.3}"));
            if stop.asked() {
                break;
            }
            if saved.elapsed() >= EVERY {
                save(learning)?;
                saved = Instant::now();
            }
        }
        bar.finish_and_clear();
        if learning.report().partial { save(learning) } else { Ok(()) }
    }

    /// The configuration of a stream that was stopped.
    fn stored(&self, state: &State, out: &Path) -> Result<Config> {
        state.run.check_arithmetic(out)?;
        let mut config = Config::from_toml(&state.run.config, &out.display().to_string())?;
        if let Some(data) = &self.data {
            config.tasks.set_data(data);
        }
        Ok(config)
    }

    /// The tasks that the configuration draws.
    fn job(&self, gpu: &Gpu, config: Config, before: Option<&State>) -> Result<Job> {
        let split = before.and_then(|state| state.run.split.as_deref());
        let split = split.map(StoredSplit::from_json).transpose().map_err(anyhow::Error::msg)?;
        let (changed, purpose) = (self.changed_data, Purpose::Test);
        load_job(gpu, config, Data { split: split.as_ref(), changed, purpose })
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

/// What the folder holds of this stream: to `resume`, its state; otherwise nothing, or it is refused.
fn before(out: &Path, resume: bool) -> Result<Option<State>> {
    match (resume, State::is_in(out)) {
        (true, true) => Ok(Some(State::load(out)?)),
        (true, false) if out.join(REPORT).exists() => Ok(None),
        (true, false) => {
            bail!("{}: holds no stream that was stopped; leave --resume out", out.display())
        }
        (false, true) => bail!(
            "{}: holds a stream that was stopped; use --resume to go on with it, or give another --out",
            out.display()
        ),
        (false, false) => {
            if [REPORT, CHART].iter().any(|name| out.join(name).exists()) {
                bail!("{}: already holds a report; give another --out", out.display());
            }
            Ok(None)
        }
    }
}

/// The tasks in `folder`.
fn read(folder: &Path, model: &Model) -> Result<Vec<TaskArrays>> {
    let files = TaskFiles::load(folder, model).context("--arrivals")?;
    files.notes.iter().for_each(|note| note!("data: {note}"));
    Ok(files.tasks)
}

fn print(report: &Report) {
    let half = report.arrivals.len() / 2;
    let late = report.errors_from(half);
    let partial = match report.partial {
        true => format!("partial: of {} tasks the first ", report.protocol.tasks),
        false => String::new(),
    };
    say(format_args!(
        "{partial}{} tasks, {} meta-steps after each; error with {} samples",
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
