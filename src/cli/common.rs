//! What several subcommands share: choosing a device, opening a checkpoint, progress of loading.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::words::watched;
use crate::cluster::Ranks;
use crate::config::{Config, Data, Job, Purpose, presets};
use crate::data::{StoredSplit, listed};
use crate::disk::cache::cache_folder;
use crate::disk::text_file;
use crate::experiments::bench::Device;
use crate::gpu::{AdapterChoice, Gpu, GpuOptions};
use crate::meta::{TrainerSetup, TrainingState};
use crate::store::adapted::Settings;
use crate::store::checkpoint::{CheckpointFile, Header};
use crate::store::{RunDirectory, directory, keep_pipelines};
use crate::tasks::TaskSpec;
use crate::tune::{Trial, Tuning, tune};

/// How long a job may time variants before it begins.
const AUTOTUNE: Duration = Duration::from_secs(4);
/// Floating-point operations from which on that pays: a minute at 10 TFLOP/s. A CPU that plays GPU does
/// a hundredth of them in that time.
const LONG_JOB: u64 = 600_000_000_000_000;

/// The device flags.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Adapter to use: its index in `reptile devices` (whatever the backend), or a part of its name
    /// (a number: a whole one of two digits or more in it).
    #[arg(long, value_name = "INDEX|NAME")]
    device: Option<String>,
    /// Graphics API to use.
    #[arg(long, value_name = "API")]
    backend: Option<Api>,
    /// Compile kernels with bounds checks.
    #[arg(long)]
    checked: bool,
    /// Keep to kernel variants that need no optional feature.
    #[arg(long)]
    baseline: bool,
    /// Take the default variant of every kernel instead of the one that was the fastest here.
    #[arg(long)]
    no_autotune: bool,
}

/// Graphics APIs by name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Api {
    Vulkan,
    Metal,
    Dx12,
    Gl,
}

impl DeviceArgs {
    /// Which adapter the flags name.
    pub fn choice(&self) -> AdapterChoice {
        AdapterChoice {
            backend: self.backend.map(|api| match api {
                Api::Vulkan => wgpu::Backend::Vulkan,
                Api::Metal => wgpu::Backend::Metal,
                Api::Dx12 => wgpu::Backend::Dx12,
                Api::Gl => wgpu::Backend::Gl,
            }),
            device: self.device.clone(),
            ..AdapterChoice::default()
        }
        .or_environment()
    }

    /// How kernels are to be made.
    pub fn options(&self) -> GpuOptions {
        let (checked, baseline) = (self.checked, self.baseline);
        GpuOptions { checked, baseline, ..GpuOptions::default() }
    }

    /// Where the fastest variants of this machine's devices are kept; nowhere with `--no-autotune`.
    fn cache(&self) -> Option<PathBuf> {
        cache_folder().filter(|_| !self.no_autotune)
    }

    /// Whether variants of kernels may be timed.
    pub fn autotunes(&self) -> bool {
        !self.no_autotune
    }

    /// Times the variants of the kernels of `setup`, if it is so long a job that this pays, and keeps
    /// the choice.
    pub fn autotune(&self, gpu: &Gpu, setup: &TrainerSetup) -> Result<()> {
        let steps = setup.iterations * (setup.runs * setup.outer.meta_batch) as u64;
        let steps = steps.saturating_mul(setup.batches.steps as u64);
        let work = steps.saturating_mul(setup.model.flops_per_step(setup.batches.batch));
        let enough = if gpu.profile().software { LONG_JOB / 100 } else { LONG_JOB };
        if work < enough || self.no_autotune {
            return Ok(());
        }
        self.tune(gpu, setup, false, AUTOTUNE)?;
        Ok(())
    }

    /// Times the variants of the kernels of `setup` (those known already only if `again`) and keeps
    /// the choice.
    pub fn tune(
        &self,
        gpu: &Gpu,
        setup: &TrainerSetup,
        again: bool,
        budget: Duration,
    ) -> Result<Vec<Trial>> {
        let spinner = working(String::new());
        let mut progress = |kernel: &str| spinner.set_message(format!("timing {kernel}"));
        let trials = tune(gpu, setup, &mut Tuning { budget, again, progress: &mut progress })?;
        spinner.finish_and_clear();
        if let (false, Some(cache)) = (trials.is_empty(), self.cache())
            && let Err(error) = gpu.store_variants(&cache)
        {
            tracing::warn!("{error}; kernels will be timed again");
        }
        Ok(trials)
    }

    /// The flags that change how kernels are made or chosen.
    pub fn kernel_options(&self) -> Vec<String> {
        [
            ("--checked", self.checked),
            ("--baseline", self.baseline),
            ("--no-autotune", self.no_autotune),
        ]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(flag, _)| flag.to_string())
        .collect()
    }

    /// The flags again, for another process.
    pub fn arguments(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(device) = &self.device {
            all.extend(["--device".to_string(), device.clone()]);
        }
        if let Some(name) = self.backend.and_then(|api| api.to_possible_value()) {
            all.extend(["--backend".to_string(), name.get_name().to_string()]);
        }
        all.extend(self.kernel_options());
        all
    }

    /// Opens the device and says on stderr which one it is.
    pub fn open(&self) -> Result<Gpu> {
        self.open_choice(self.choice())
    }

    /// The same for one of `ranks`, if there are several: the device in its place of --device, or of all GPUs of its machine.
    pub fn open_for(&self, ranks: Option<&Arc<Ranks>>) -> Result<Gpu> {
        let mut choice = self.choice();
        if let Some(ranks) = ranks {
            choice.place = ranks.place_on_host();
            choice.device =
                choice.device.map(|listed| in_place(&listed, choice.place)).transpose()?;
        }
        self.open_choice(choice)
    }

    fn open_choice(&self, choice: AdapterChoice) -> Result<Gpu> {
        let mut gpu = Gpu::request(&choice, self.options())?;
        if let Some(cache) = cache_folder() {
            gpu = keep_pipelines(gpu, &cache);
        }
        if let Some(cache) = self.cache() {
            gpu.load_variants(&cache);
        }
        note!("device: {}", device_name(&gpu));
        if gpu.profile().software {
            #[cfg(target_os = "linux")]
            crate::cli::processors::keep_apart();
            let asked = choice.device.is_some()
                || choice.name.is_some()
                || choice.backend.is_some()
                || std::env::var_os("WGPU_BACKEND").is_some();
            let why = if asked { "" } else { "; no GPU was found" };
            note!("device: this is a CPU that plays GPU{why}");
        }
        Ok(gpu)
    }
}

/// The device in a place of a list, `0,1,2,3`, all around.
fn in_place(listed: &str, place: usize) -> Result<String> {
    let devices: Vec<&str> = listed.split(',').map(str::trim).collect();
    if devices.contains(&"") {
        bail!(
            "--device: `{listed}` has an empty entry; name a device for each rank of a machine: 0,1,2,3"
        );
    }
    Ok(devices[place % devices.len()].to_string())
}

/// What tasks may start from beside the run's parameters.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WarmStart {
    /// The entry of the run's memory that fits the support set best.
    Memory,
}

/// Name, graphics API and driver.
pub fn device_name(gpu: &Gpu) -> String {
    Device::of(gpu).describe()
}

/// A bar on a terminal, nothing elsewhere.
pub fn progress_bar(length: u64, template: &str) -> ProgressBar {
    if !watched() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// A sign of life on a terminal while something takes its time.
pub fn working(text: String) -> ProgressBar {
    let spinner = progress_bar(0, "{spinner} {msg} [{elapsed}]").with_message(text);
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// The text of a configuration file or a preset, and what messages call it; none without either.
pub fn config_text(path: Option<&Path>, preset: Option<&str>) -> Result<Option<(String, String)>> {
    match (path, preset) {
        (Some(path), _) => {
            if !path.is_file() && presets::find(&path.display().to_string()).is_ok() {
                bail!("{}: no such file; the preset is --preset", path.display());
            }
            let text = text_file::read(path)?;
            Ok(Some((text, path.display().to_string())))
        }
        (None, Some(name)) => Ok(Some((presets::get(name)?.to_string(), format!("preset {name}")))),
        (None, None) => Ok(None),
    }
}

/// Checks a configuration and loads its data behind a progress bar; says what was read and what was left out.
pub fn load_job(gpu: &Gpu, config: Config, data: Data<'_>) -> Result<Job> {
    let job = counting("reading images", |progress| Job::read(gpu, config, data, progress))?;
    job.notes().iter().for_each(|note| note!("data: {note}"));
    if let changed @ [_, ..] = job.changed_data() {
        note!("data: not what the run was trained on (--changed-data): {}", listed(changed));
    }
    Ok(job)
}

/// Says that a run over `tasks` has no stored split, if so.
pub fn note_missing_split(tasks: &TaskSpec, split: Option<&StoredSplit>) {
    if tasks.is_over_files() && split.is_none() {
        note!(
            "note: the run is from before splits were stored; its split is drawn anew, and images are read by \
             today's rules (docs/data.md)"
        );
    }
}

/// Does `work` with a bar for what it tells: how much is done, and how much there is.
pub fn counting<T>(what: &str, work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
    let bar = progress_bar(0, &format!("{what} {{bar:40}} {{pos}}/{{len}} {{eta}}"));
    let result = work(&mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        if done == total {
            bar.finish_and_clear();
        }
    });
    bar.finish_and_clear();
    result
}

/// A stored state, its configuration, and the file it came from.
pub struct Stored {
    pub file: CheckpointFile,
    pub config: Config,
    pub header: Header,
    /// The split of its data set; none without one, and for other tasks than the run's own.
    pub split: Option<StoredSplit>,
    /// Whether its data set may be another one by now (`--changed-data`).
    pub changed_data: bool,
}

impl Stored {
    /// Reads the header of a checkpoint: `path` is a file, a run's folder or its `checkpoints`. What
    /// lies in a run's folder must be the run's.
    pub fn open(path: &Path, data: Option<&Path>) -> Result<Self> {
        // A training that goes on may remove the newest checkpoint that was found before it is opened.
        let mut tries = 0..20;
        let file = loop {
            match CheckpointFile::open(directory::resolve(path)?) {
                Err(crate::Error::Io { error, .. })
                    if error.kind() == std::io::ErrorKind::NotFound && tries.next().is_some() => {}
                file => break file?,
            }
        };
        Self::of_run(file, path, data)
    }

    /// What `file` stores, which must be the run's if `path` is a run's folder.
    fn of_run(file: CheckpointFile, path: &Path, data: Option<&Path>) -> Result<Self> {
        let stored = Self::of_file(file, data)?;
        if let Ok(run) = RunDirectory::open(path) {
            let own = Config::from_toml(&run.config_text()?, &path.display().to_string())?;
            if !own.is_same_run_as(&stored.config) {
                bail!(
                    "{}: is of another run than {}; take it out of the folder, or give the file \
                     itself",
                    stored.file.path().display(),
                    path.display()
                );
            }
        }
        Ok(stored)
    }

    /// The same for the checkpoint with the best validation of the run in the folder `path`.
    pub fn open_best(path: &Path, data: Option<&Path>) -> Result<Self> {
        let file = RunDirectory::open(path)?.best_path();
        if !file.is_file() {
            bail!(
                "{}: there is no best state; train with eval.every, so that it is validated",
                path.display()
            );
        }
        Self::of_run(CheckpointFile::open(file)?, path, data)
    }

    fn of_file(file: CheckpointFile, data: Option<&Path>) -> Result<Self> {
        let header = file.header()?;
        let origin = file.path().display().to_string();
        let config = Config::from_toml(&header.run.config, &origin)?;
        let split = header.run.split.as_deref().map(StoredSplit::from_json).transpose();
        let split = split.map_err(|message| crate::Error::checkpoint(file.path(), message))?;
        let mut stored = Self { file, config, header, split, changed_data: false };
        stored.find_data(data);
        Ok(stored)
    }

    /// Takes the tasks of a preset, or of a configuration file, in place of the run's own.
    pub fn take_tasks(&mut self, other: &str, data: Option<&Path>) -> Result<()> {
        let mut config = match Path::new(other) {
            path if path.is_file() => Config::load(path)?,
            _ => {
                let known = presets::get(other).with_context(|| {
                    format!("--on {other}: neither a configuration file nor a preset")
                })?;
                Config::from_toml(known, other)?
            }
        };
        config.make_paths_absolute(Some(Path::new(other)))?;
        // The same data set: what was trained on is still not to be tested on.
        if !config.tasks.has_data_of(&self.config.tasks) {
            // The network goes on reading inputs as it learned to.
            let arrays = matches!(config.tasks, TaskSpec::Arrays(_));
            let own = self.split.as_ref().filter(|_| arrays);
            self.split = own.and_then(StoredSplit::of_other_arrays);
        }
        self.config.tasks = config.tasks;
        self.find_data(data);
        Ok(())
    }

    /// Tasks over a data set lie in the folder `data`, if there is one.
    fn find_data(&mut self, data: Option<&Path>) {
        if let Some(data) = data {
            self.config.tasks.set_data(data);
        }
    }

    /// How its data set is read to test on it.
    pub fn data(&self) -> Data<'_> {
        Data { split: self.split.as_ref(), changed: self.changed_data, purpose: Purpose::Test }
    }

    /// Refuses models in the file `path` that were adapted from another checkpoint.
    pub fn check_base(&self, path: &Path, settings: &Settings) -> Result<()> {
        if self.file.sha256() == settings.base {
            return Ok(());
        }
        bail!(
            "{}: these models were adapted from another checkpoint than {}; give that one, whose SHA-256 is \
             {}…, as --base",
            path.display(),
            self.file.path().display(),
            settings.base.get(..12).unwrap_or(&settings.base)
        );
    }

    /// The parameters that models were adapted from, `[P]`.
    pub fn parameters(&self, settings: &Settings) -> Result<Vec<f32>> {
        let (run, sets) = (settings.recipe()?.run, self.snapshot()?.parameters);
        let set = sets.into_iter().nth(run);
        set.with_context(|| format!("{}: holds no run {run}", self.file.path().display()))
    }

    /// Reads the whole checkpoint.
    pub fn snapshot(&self) -> Result<TrainingState> {
        let model = self.config.validate()?;
        Ok(self.file.checkpoint(&model)?.state)
    }
}
