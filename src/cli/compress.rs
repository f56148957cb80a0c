//! `reptile compress` and `reptile decompress`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::HumanBytes;

use crate::cli::common::{DeviceArgs, Stored, counting, device_name, load_job};
use crate::cli::eval::mode_name;
use crate::cli::models::Models;
use crate::cli::stop::Stop;
use crate::cli::words::say;
use crate::data::arrays::TaskArrays;
use crate::disk::{atomic, read};
use crate::gpu::Gpu;
use crate::model::{Loss, Model};
use crate::session::evaluation::{self, Evaluation, Test};
use crate::session::replay::replay;
use crate::store::adapted::{Adapted, RESIDUAL, Settings};
use crate::store::compressed::{Codec, Compressed, Payload};
use crate::store::sha256_file;

/// Compress adapted models: what they differ in from the checkpoint that they were adapted from.
#[derive(Debug, Args)]
pub struct Compress {
    /// File that `reptile adapt` wrote.
    adapted: PathBuf,
    /// The checkpoint that it was adapted from, or its run's folder.
    #[arg(long, value_name = "CHECKPOINT")]
    base: PathBuf,
    /// f16, int8, int4, 1bit, topk:F (the share F of the numbers that differ most) or replay (how to adapt
    /// again).
    #[arg(long)]
    codec: Codec,
    /// New file for the compressed models.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// replay: the tasks that were adapted to, if they were a file of yours.
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
    /// Error feedback: what an earlier compression left over (its --residual), which is added to the
    /// differences.
    #[arg(long, value_name = "FILE")]
    feedback: Option<PathBuf>,
    /// New file for what this compression leaves over.
    #[arg(long, value_name = "FILE")]
    residual: Option<PathBuf>,
    /// Test so many of the models on the queries of their tasks, as they are and as they are restored (those of
    /// `reptile adapt --test-tasks`).
    #[arg(long, value_name = "TASKS", value_parser = clap::value_parser!(u32).range(1..))]
    check: Option<u32>,
    /// Folder of the data set, for --check (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR", requires = "check")]
    data: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Restore the adapted models from compressed ones.
#[derive(Debug, Args)]
pub struct Decompress {
    /// File that `reptile compress` wrote.
    compressed: PathBuf,
    /// The checkpoint that the models were adapted from, or its run's folder.
    #[arg(long, value_name = "CHECKPOINT")]
    base: PathBuf,
    /// New file for the adapted models.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder of the data set, if the models are adapted again (otherwise REPTILE_DATA names the folder of
    /// all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// If the models are adapted again: although classes of the run are missing or their images changed.
    #[arg(long)]
    changed_data: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Compress {
    pub(super) fn run(self) -> Result<ExitCode> {
        atomic::check_new(&self.out)?;
        self.residual.as_deref().map(atomic::check_new).transpose()?;
        self.check_flags()?;
        let base = Stored::open(&self.base, self.data.as_deref())?;
        let model = base.config.validate()?;
        let mut adapted = Adapted::load(&model, &self.adapted)?;
        base.check_base(&self.adapted, &adapted.settings)?;
        if adapted.settings.tasks == RESIDUAL {
            bail!(
                "{}: is what a compression left over, not models; give it as --feedback",
                self.adapted.display()
            );
        }
        self.check_tasks(&adapted)?;
        let start = base.parameters(&adapted.settings)?;
        let floats = adapted.parameters.len() * model.parameter_count();
        if self.codec == Codec::Replay {
            let gpu = self.device.open()?;
            let compressed = self.replay(&gpu, &model, &adapted)?;
            if self.tasks.is_some() {
                self.check_replay(&gpu, &base, &compressed)?;
            }
            let bytes = compressed.write_new(&self.out)?;
            self.report(floats, bytes, "restored by adapting again");
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(path) = &self.feedback {
            self.add_feedback(&model, path, &mut adapted)?;
        }
        let gpu = self.device.open()?;
        let compressed = Compressed::new(&gpu, &model, &start, &adapted, self.codec)?;
        let restored = compressed.parameters(&gpu, &model, &start)?;
        let pairs = || adapted.parameters.iter().flatten().zip(restored.iter().flatten());
        let error = pairs().fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        if !error.is_finite() {
            bail!("--codec {}: a difference is too large for it; take another codec", self.codec);
        }
        if let Some(tasks) = self.check {
            let sets = [&adapted.parameters, &restored].map(|all| &all[..tasks as usize]);
            let stop = Stop::on_signals()?;
            if !check(&gpu, &base, &adapted.settings, self.codec, sets, &stop)? {
                note!("stopped; nothing was written");
                return Ok(stop.code());
            }
        }
        let bytes = compressed.write_new(&self.out)?;
        if let Some(path) = &self.residual {
            let left =
                |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
            let parameters = adapted.parameters.iter().zip(&restored).map(left).collect();
            let settings = Settings { tasks: RESIDUAL.into(), ..adapted.settings.clone() };
            let left = Adapted { parameters, support_loss: None, query_output: None, settings };
            // One without the other is of no use.
            if let Err(error) = left.write_new(&model, path) {
                atomic::remove(&self.out)?;
                return Err(error.into());
            }
        }
        self.report(floats, bytes, &format!("largest error of a number {error:.3e}"));
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses flags that would be without effect, or in each other's way.
    fn check_flags(&self) -> Result<()> {
        let replay = self.codec == Codec::Replay;
        if replay && (self.feedback.is_some() || self.residual.is_some()) {
            bail!("--codec replay leaves nothing over; leave --feedback and --residual out");
        }
        if replay && self.check.is_some() {
            bail!("--codec replay gives the models themselves; leave --check out");
        }
        if self.check.is_some() && self.feedback.is_some() {
            bail!(
                "--check tests the models themselves, and --feedback adds to them; leave one of them out"
            );
        }
        if !replay && self.tasks.is_some() {
            bail!("--tasks goes with --codec replay");
        }
        let place = |path: &Path| {
            let folder = atomic::folder_of(path).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        };
        if let Some(residual) = &self.residual
            && place(residual) == place(&self.out)
        {
            bail!("--out and --residual are the same file; give two");
        }
        Ok(())
    }

    /// Refuses to check what cannot be checked.
    fn check_tasks(&self, adapted: &Adapted) -> Result<()> {
        let (models, Some(tasks)) = (adapted.parameters.len(), self.check) else { return Ok(()) };
        let path = self.adapted.display();
        if adapted.settings.tasks != "test" {
            bail!(
                "{path}: these models were not adapted to test tasks of their run; --check tests those of `reptile adapt \
                 --test-tasks`"
            );
        }
        if tasks as usize > models {
            bail!("--check {tasks}: {path} holds {models} models; give at most that");
        }
        Ok(())
    }

    fn report(&self, floats: usize, bytes: u64, error: &str) {
        let before = 4 * floats as u64;
        note!(
            "{} of parameters in {} ({:.2} to 1), {error}; written to {}",
            HumanBytes(before),
            HumanBytes(bytes),
            before as f64 / bytes as f64,
            self.out.display()
        );
    }

    /// Adds what an earlier compression left over.
    fn add_feedback(&self, model: &Model, path: &PathBuf, adapted: &mut Adapted) -> Result<()> {
        let feedback = Adapted::load(model, path)?;
        if feedback.settings.tasks != RESIDUAL || feedback.settings.base != adapted.settings.base {
            bail!(
                "{}: is not what a compression of models of this base left over (its --residual)",
                path.display()
            );
        }
        if feedback.parameters.len() != adapted.parameters.len() {
            bail!(
                "{}: left over from {} models, and these are {}; give that of the same tasks",
                path.display(),
                feedback.parameters.len(),
                adapted.parameters.len()
            );
        }
        for (set, left) in adapted.parameters.iter_mut().zip(&feedback.parameters) {
            set.iter_mut().zip(left).for_each(|(value, left)| *value += left);
        }
        Ok(())
    }

    /// How to make the adapted file again.
    fn replay(&self, gpu: &Gpu, model: &Model, adapted: &Adapted) -> Result<Compressed> {
        let tasks = match (adapted.settings.tasks.as_str(), &self.tasks) {
            ("test", None) => None,
            ("test", Some(path)) => bail!(
                "{}: the models were adapted to test tasks of their run; leave --tasks out",
                path.display()
            ),
            ("memory", _) => bail!(
                "{}: holds entries of a memory, which cannot be adapted again; take another codec",
                self.adapted.display()
            ),
            (_, Some(path)) => {
                let arrays = TaskArrays::load(path, model)?;
                if arrays.tasks != adapted.parameters.len() {
                    bail!(
                        "{}: holds {} tasks, and there are {} models",
                        path.display(),
                        arrays.tasks,
                        adapted.parameters.len()
                    );
                }
                Some(read::bytes(path)?)
            }
            (_, None) => bail!(
                "{}: the models were adapted to a file of tasks; give it as --tasks",
                self.adapted.display()
            ),
        };
        let payload = Payload::Replay {
            adapted: sha256_file(&self.adapted)?,
            device: device_name(gpu),
            tasks,
        };
        let (models, settings) = (adapted.parameters.len(), adapted.settings.clone());
        Ok(Compressed { codec: Codec::Replay, models, settings, payload })
    }

    /// Adapts to the tasks of a file again: the models are still there if it is the wrong one.
    fn check_replay(&self, gpu: &Gpu, base: &Stored, compressed: &Compressed) -> Result<()> {
        let (config, snapshot) = (&base.config, base.snapshot()?);
        let replayed = counting("adapting", |progress| {
            replay(gpu, config, &snapshot, compressed, base.data(), &mut |_, _| (), progress)
        })?;
        if !replayed.exact {
            bail!(
                "--codec replay: adapting again gives other bytes than those of {}; give the file of tasks that \
                 it was made from as --tasks, and the device that it was made on",
                self.adapted.display()
            );
        }
        Ok(())
    }
}

/// The growth of a loss from which on a codec is warned of.
const LOSES: f64 = 1.5;

/// Prints how well the models do on their tasks, as they are and restored; false if it was stopped before.
fn check(
    gpu: &Gpu,
    base: &Stored,
    settings: &Settings,
    codec: Codec,
    sets: [&[Vec<f32>]; 2],
    stop: &Stop,
) -> Result<bool> {
    let recipe = settings.recipe()?;
    let mut config = base.config.clone();
    (config.eval.steps, config.eval.batch) = (recipe.steps, recipe.batch);
    config.eval.tasks = sets[0].len();
    let job = load_job(gpu, config, base.data())?;
    let (snapshot, modes) = (base.snapshot()?, evaluation::modes(&job));
    let test = Test { seed: Some(recipe.seed), stop: Some(stop.flag()), ..Test::new(&modes) };
    let mut tested = Vec::new();
    for sets in sets {
        tested.push(Evaluation::models(gpu, &job, &snapshot, recipe.run, sets, test)?);
        if stop.asked() {
            return Ok(false);
        }
    }
    say(format_args!("{} test tasks, ± = 95 % over tasks", sets[0].len()));
    for (before, after) in tested[0].iter().zip(&tested[1]) {
        let [own, restored] = [before, after].map(|one| one.summaries()[1]);
        let mode = mode_name(job.model().has_batch_statistics(), before.transductive);
        let line = |what: &str, own: String, restored: String| {
            say(format_args!("  {what:<9} as adapted {own:<20} restored {restored}{mode}"));
        };
        line("loss", own.loss.text(4, ""), restored.loss.text(4, ""));
        if restored.loss.mean > LOSES * own.loss.mean {
            note!("warning: --codec {codec} loses much of these models; take one with more bits");
        }
        if job.model().loss() == Loss::CrossEntropy {
            let [own, restored] = [own, restored].map(|it| it.accuracy.percent().text(2, " %"));
            line("accuracy", own, restored);
        }
        for (which, one) in [("as adapted", before), ("restored", after)] {
            if one.diverged() > 0 {
                let (some, all) = (one.diverged(), one.scores.len());
                say(format_args!(
                    "  diverged  {which} {some} of {all} tasks, left out of the means{mode}"
                ));
            }
        }
    }
    Ok(true)
}

impl Decompress {
    pub(super) fn run(self) -> Result<ExitCode> {
        atomic::check_new(&self.out)?;
        let mut base = Stored::open(&self.base, self.data.as_deref())?;
        base.changed_data = self.changed_data;
        let model = base.config.validate()?;
        let compressed = Compressed::load(&model, &self.compressed)?;
        base.check_base(&self.compressed, &compressed.settings)?;
        let gpu = self.device.open()?;
        let models = Models::Compressed(compressed);
        models.restore(&gpu, &base)?.write_new(&model, &self.out)?;
        note!("{} models, written to {}", models.count(), self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
