//! `reptile bench`

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::cli::common::{DeviceArgs, working};
use crate::cli::ranks::RanksArgs;
use crate::cli::words::say;
use crate::cluster::Ranks;
use crate::disk::atomic;
use crate::disk::cache::CACHE_VARIABLE;
use crate::disk::text_file;
use crate::error::Error;
use crate::experiments::bench::{
    self, Effort, FirstResult, Report, Settings, VERSION, Workload, compare, variants,
};
use crate::gpu::{AdapterChoice, Gpu, list_adapters};
use crate::plot::check_extension;
use crate::tune::Trial;

impl ValueEnum for Workload {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.description()))
    }
}

/// How long the variants of a workload's kernels are timed at most for a report.
const REPORT_VARIANTS: Duration = Duration::from_secs(60);

/// Measure a device: whole meta-iterations and kernels alone, on data that it makes itself.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure (everything by default).
    #[arg(long, num_args = 1.., value_name = "NAME")]
    workload: Vec<Workload>,
    /// Numbers of tasks (those of each workload by default).
    #[arg(long, num_args = 1.., value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    tasks: Vec<u32>,
    /// Fewer sizes, fewer and shorter repeats, no cold starts.
    #[arg(long)]
    quick: bool,
    /// Print every variant of the workloads' kernels with its time instead, timed anew.
    #[arg(long, conflicts_with_all = ["json", "out", "plot", "scaling", "kernels", "report"])]
    variants: bool,
    /// Print a table of every dispatch of a meta-iteration instead, the longest first: kernel, layer, grid,
    /// variant, device time, GFLOP/s, GB/s, and the share of the nearer ceiling.
    #[arg(long, conflicts_with = "scaling")]
    kernels: bool,
    /// Also write everything that others want to know of this device into this new folder: devices,
    /// ceilings, workloads, dispatches and variants, as report.json and as a page, report.md. The variants
    /// are timed anew (not at all with --no-autotune).
    #[arg(long, value_name = "DIR", conflicts_with = "scaling")]
    report: Option<PathBuf>,
    /// Print JSON (docs/bench.schema.json).
    #[arg(long)]
    json: bool,
    /// Also write the JSON to this new file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out the time to a first result, which starts processes of its own.
    #[arg(long)]
    no_first_result: bool,
    /// Measure instead how the time of a task-step grows with tasks, steps, minibatch and width (of
    /// sine and omniglot).
    #[arg(long, conflicts_with = "tasks")]
    scaling: bool,
    /// Also draw the result into this SVG file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Compare two reports instead: the rates of B as multiples of those of A.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all =
        ["workload", "tasks", "quick", "json", "out", "variants", "scaling", "kernels", "report"])]
    compare: Vec<PathBuf>,
    /// Measure instead what an exchange between ranks costs, and calculate what follows for many of them (docs/cluster.md).
    #[arg(long, requires = "distributed", conflicts_with_all =
        ["workload", "tasks", "quick", "json", "out", "variants", "scaling", "kernels", "report", "plot", "compare"])]
    exchange: bool,
    /// With --exchange: parameters of the network.
    #[arg(long, value_name = "N", requires = "exchange", default_value_t = 112_005)]
    parameters: usize,
    /// With --exchange: milliseconds that a meta-iteration takes a rank.
    #[arg(long, value_name = "MS", requires = "exchange", default_value_t = 10.0)]
    step: f64,
    /// Do one meta-iteration and end: what a first result costs.
    #[arg(long, hide = true)]
    first_result: bool,
    #[command(flatten)]
    ranks: RanksArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode> {
        self.ranks.on_all("bench", None, |ranks| match ranks {
            Some(ranks) => self.exchanges(ranks),
            None => self.run_alone(),
        })
    }

    /// Measures what is between ranks, and no device.
    fn exchanges(&self, ranks: &Ranks) -> Result<ExitCode> {
        if !(self.exchange && self.step.is_finite() && self.step > 0.0) {
            bail!(
                "--distributed: give --exchange, and --step above 0; a device is measured by one process"
            );
        }
        if ranks.size() < 2 {
            bail!(
                "--exchange: there is one rank, and nothing to exchange; start several: mpirun -n 4 …"
            );
        }
        say(bench::exchange(ranks, self.parameters, 1e-3 * self.step)?.trim_end());
        Ok(ExitCode::SUCCESS)
    }

    fn run_alone(&self) -> Result<ExitCode> {
        if let Some(path) = &self.plot {
            check_extension("--plot", path)?;
        }
        if let [a, b] = self.compare.as_slice() {
            let (first, second) = (load(a)?, load(b)?);
            if let Some(path) = &self.plot {
                atomic::check_new(path)?;
                let names = [a, b].map(|path| path.display().to_string());
                first.draw(path, &names[0], &[(&names[1], &second)])?;
            }
            say(compare(&first, &second).trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        self.check_outputs()?;
        let settings = self.settings()?;
        let gpu = self.device.open()?;
        if self.first_result {
            for (workload, tasks) in settings.sizes() {
                bench::one_iteration(&gpu, workload, tasks)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if self.variants {
            let trainings = settings.sizes().into_iter().filter(|(it, _)| it.is_training());
            let trials = self.time_variants(&gpu, trainings, Duration::MAX)?;
            if trials.is_empty() {
                bail!(
                    "--variants: no kernel of these workloads has several variants on this device, or none of \
                     their sizes fits; name others by --workload and --tasks"
                );
            }
            say(variants(&trials).trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        if self.kernels && !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            bail!(
                "--kernels: this device tells no time of single dispatches (`reptile devices` lists those with \
                 `timestamp-query`); without --kernels, whole meta-iterations and kernels alone are timed"
            );
        }
        let trials = match self.report.is_some() && self.device.autotunes() {
            true => self.time_variants(&gpu, largest(&settings), REPORT_VARIANTS)?,
            false => Vec::new(),
        };
        for (workload, tasks) in settings.sizes().into_iter().filter(|(it, _)| it.is_training()) {
            // What exceeds the device becomes a row that says so.
            if let (false, Ok(setup)) = (self.scaling, workload.training(&gpu, tasks)) {
                self.device.autotune(&gpu, &setup)?;
            }
        }
        let spinner = working(String::new());
        let mut progress = |text: &str| spinner.set_message(text.to_string());
        let mut first_result = |workload: Workload, tasks: usize| match self.quick
            || self.kernels
            || self.no_first_result
        {
            true => Ok(None),
            false => self.first_result_of(workload, tasks).map(Some),
        };
        let mut report = if self.scaling {
            let none = Settings { workloads: Vec::new(), ..settings.clone() };
            let mut report = bench::run(&gpu, &none, &mut progress, &mut first_result)?;
            let effort = settings.effort;
            report.scaling = bench::scaling(&gpu, &settings.workloads, effort, &mut progress)?;
            report
        } else {
            bench::run(&gpu, &settings, &mut progress, &mut first_result)?
        };
        spinner.finish_and_clear();
        report.options = self.device.kernel_options();
        if self.report.is_some() {
            let options = self.device.options();
            let entries = list_adapters(&AdapterChoice::default());
            report.adapters = entries.iter().map(|entry| entry.report(&options)).collect();
            report.variants = trials;
        }
        let json = serde_json::to_string_pretty(&report)?;
        // Whatever becomes of the files, what was measured is seen.
        if self.json {
            say(&json);
        } else if self.kernels {
            say(report.dispatches().trim_end());
        } else {
            say(report.to_markdown().trim_end());
        }
        let mut files = Vec::new();
        if let Some(folder) = &self.report {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
            files.push((folder.join("report.json"), format!("{json}\n")));
            files.push((folder.join("report.md"), report.page()));
        }
        files.extend(self.out.iter().map(|path| (path.clone(), format!("{json}\n"))));
        for (path, text) in files {
            atomic::write_new(&path, text.as_bytes())?;
            note!("written to {}", path.display());
        }
        if let Some(path) = &self.plot {
            report.draw(path, &report.device.name, &[])?;
            note!("written to {}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses, before anything is measured, places that cannot take what will be.
    fn check_outputs(&self) -> Result<()> {
        let outputs: Vec<(&str, &PathBuf)> =
            [("--out", &self.out), ("--plot", &self.plot), ("--report", &self.report)]
                .into_iter()
                .filter_map(|(flag, path)| Some((flag, path.as_ref()?)))
                .collect();
        for (place, (flag, path)) in outputs.iter().enumerate() {
            if *flag == "--report" && is_empty_folder(path) {
                continue;
            }
            atomic::check_new(path)?;
            let absolute = std::path::absolute(path);
            for (other, own) in &outputs[..place] {
                if std::path::absolute(own).ok() == absolute.as_ref().ok().cloned() {
                    bail!("{flag} and {other} both name {}; give each its own", path.display());
                }
            }
        }
        Ok(())
    }

    /// What is to be measured; refuses workloads that were asked for and cannot be.
    fn settings(&self) -> Result<Settings> {
        let takes = |workload: Workload| match (self.scaling, self.variants || self.kernels) {
            (true, _) => bench::scales(workload),
            // A report is of everything.
            (_, true) => workload.is_training() || (self.kernels && self.report.is_some()),
            _ => true,
        };
        if let Some(workload) = self.workload.iter().find(|workload| !takes(**workload)) {
            let name = workload.name();
            if self.scaling {
                bail!("--workload: --scaling varies sine and omniglot, not {name}; leave it out");
            }
            let flag = if self.kernels { "--kernels" } else { "--variants" };
            bail!(
                "--workload: {name} is a kernel alone, and {flag} is for trainings; leave it out"
            );
        }
        let workloads = if self.workload.is_empty() { &Workload::ALL[..] } else { &self.workload };
        Ok(Settings {
            workloads: workloads.iter().copied().filter(|workload| takes(*workload)).collect(),
            tasks: self.tasks.iter().map(|tasks| *tasks as usize).collect(),
            quick: self.quick,
            effort: if self.quick { Effort::QUICK } else { Effort::FULL },
        })
    }

    /// Times all variants of the kernels of trainings, each for `budget` at most.
    fn time_variants(
        &self,
        gpu: &Gpu,
        trainings: impl IntoIterator<Item = (Workload, usize)>,
        budget: Duration,
    ) -> Result<Vec<Trial>> {
        let mut trials = Vec::new();
        for (workload, tasks) in trainings {
            match workload.training(gpu, tasks) {
                Ok(setup) => trials.extend(self.device.tune(gpu, &setup, true, budget)?),
                Err(error @ Error::Limit { .. }) => {
                    tracing::warn!("{} of {tasks} tasks is not timed: {error}", workload.name());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(trials)
    }

    /// Times a fresh process that does one meta-iteration, first with empty caches, then with what it
    /// left there.
    fn first_result_of(&self, workload: Workload, tasks: usize) -> crate::Result<FirstResult> {
        let caches = tempfile::tempdir().map_err(Error::io("the folder for temporary files"))?;
        let once = || -> crate::Result<f64> {
            let program = std::env::current_exe().map_err(Error::io("this program"))?;
            let mut command = Command::new(&program);
            command.args(["bench", "--first-result", "--workload", workload.name()]);
            command.args(["--tasks", &tasks.to_string()]);
            command.args(self.device.arguments());
            for name in ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH", CACHE_VARIABLE] {
                command.env(name, caches.path());
            }
            let start = Instant::now();
            let output = command.stdin(Stdio::null()).output().map_err(Error::io(&program))?;
            if output.status.success() {
                return Ok(start.elapsed().as_secs_f64());
            }
            let message = String::from_utf8_lossy(&output.stderr);
            Err(Error::Adapter(format!("a process of its own failed: {}", message.trim())))
        };
        Ok(FirstResult { cold: once()?, warm: once()? })
    }
}

/// Whether `path` is a folder with nothing in it.
fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Each training with the largest of its numbers of tasks.
fn largest(settings: &Settings) -> Vec<(Workload, usize)> {
    let mut largest: Vec<(Workload, usize)> = Vec::new();
    for (workload, tasks) in settings.sizes().into_iter().filter(|(it, _)| it.is_training()) {
        match largest.iter_mut().find(|(other, _)| *other == workload) {
            Some((_, most)) => *most = tasks.max(*most),
            None => largest.push((workload, tasks)),
        }
    }
    largest
}

/// Reads a report back.
fn load(path: &Path) -> Result<Report> {
    let text = text_file::read(path)?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of `reptile bench --out`", path.display()))?;
    if report.version != VERSION {
        bail!(
            "{} has version {} of the format, and this program reads {VERSION}; measure again",
            path.display(),
            report.version
        );
    }
    Ok(report)
}
