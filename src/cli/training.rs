//! What the subcommands that train share: starting and reopening runs, progress.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{HumanBytes, ProgressBar};

use crate::Error;
use crate::cli::common::{DeviceArgs, load_job, note_missing_split, progress_bar};
use crate::cli::ranks::{agree, introduce};
use crate::cli::stop::Stop;
use crate::cli::words::{say, watched};
use crate::cluster::Ranks;
use crate::config::{Config, Data, Job, Purpose};
use crate::data::StoredSplit;
use crate::gpu::Gpu;
use crate::meta::{Mean, memory, memory_bytes, number};
use crate::session::{Event, Outcome, Progress, Session};
use crate::store::checkpoint::{ARITHMETIC, Checkpoint, CheckpointFile};
use crate::store::directory::check_unused;
use crate::store::metrics::{Record, ValidationRecord};
use crate::store::{RunDirectory, Weights};
use crate::tasks::TaskSpec;

const BAR: &str = "{bar:30} {pos}/{len} [{elapsed}<{eta}] {msg}";
/// How often a line is printed where there is no terminal.
const PLAIN: Duration = Duration::from_secs(5);

/// Where a run is trained.
#[derive(Clone, Copy)]
pub struct On<'a> {
    pub device: &'a DeviceArgs,
    pub gpu: &'a Gpu,
    /// Where several processes train it.
    pub ranks: Option<&'a Arc<Ranks>>,
}

/// Starts a run in a new folder at `out`, from weights (of this file) if there are any; its data set is read for `purpose`.
pub fn start(
    on: On<'_>,
    config: Config,
    out: &Path,
    purpose: Purpose,
    weights: Option<(&Path, &Weights)>,
) -> Result<Session> {
    let writes = on.ranks.is_none_or(|ranks| ranks.rank() == 0);
    let read = || {
        if writes {
            check_unused(out)?;
        }
        tuned_job(on, config, Data { purpose, ..Data::default() })
    };
    let job = agree(on.ranks, read())?;
    if let Some(ranks) = on.ranks {
        introduce(ranks, on.gpu, Some(&job), weights.map(|(path, _)| ("file of --init", path)))?;
    }
    let weights = weights.map(|(_, weights)| weights);
    Ok(Session::begin(on.gpu, job, out, weights, on.ranks.cloned())?)
}

/// How to go on with a run.
#[derive(Clone, Copy)]
pub struct Resuming {
    pub purpose: Purpose,
    /// Also if the data set is not what it was.
    pub changed_data: bool,
    /// Also if this version does not come to the same bytes.
    pub other_arithmetic: bool,
}

/// What a run goes on from.
pub struct Reopened {
    /// None where another rank has it.
    pub directory: Option<RunDirectory>,
    pub checkpoint: Option<Checkpoint>,
    pub split: Option<StoredSplit>,
}

/// Goes on with what [`reopen`] found.
pub fn resume(on: On<'_>, config: Config, from: Reopened, how: Resuming) -> Result<Session> {
    let ranks = on.ranks;
    let Reopened { directory, mut checkpoint, split } = from;
    if let Some(checkpoint) = &mut checkpoint {
        let path = directory.as_ref().map_or(Path::new("the run"), RunDirectory::path);
        let checked = match how.other_arithmetic {
            true => {
                checkpoint.run.arithmetic = ARITHMETIC;
                Ok(())
            }
            false => checkpoint.run.check_arithmetic(path).map_err(|error| {
                anyhow::anyhow!("{error}, or with this one and --other-arithmetic")
            }),
        };
        agree(ranks, checked)?;
    }
    announce(checkpoint.as_ref(), ranks.map_or(1, |ranks| ranks.size()));
    note_missing_split(&config.tasks, split.as_ref());
    let data = Data { split: split.as_ref(), changed: how.changed_data, purpose: how.purpose };
    let job = agree(ranks, tuned_job(on, config, data))?;
    if let Some(ranks) = ranks {
        introduce(ranks, on.gpu, Some(&job), None)?;
    }
    let session = Session::go_on(on.gpu, job, directory, checkpoint, ranks.cloned())?;
    session.set_aside().iter().for_each(|path| note!("set aside: {}", path.display()));
    Ok(session)
}

/// The split of a run: the one that its state was made with, or, before there is one, that of its folder.
pub fn stored_split(
    directory: &RunDirectory,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<StoredSplit>> {
    let of_state = checkpoint.and_then(|checkpoint| checkpoint.run.split.as_deref());
    match of_state.map(StoredSplit::from_json) {
        Some(split) => {
            let path = directory.path();
            Ok(Some(split.map_err(|message| crate::Error::checkpoint(path, message))?))
        }
        None => Ok(directory.split()?),
    }
}

/// A job with its data, whose kernels' variants are chosen; says how much memory it takes.
fn tuned_job(on: On<'_>, config: Config, data: Data<'_>) -> Result<Job> {
    let gpu = on.gpu;
    let job = load_job(gpu, config, data)?;
    let setup = job.trainer_setup();
    on.device.autotune(gpu, &setup)?;
    note!("memory: {} on the device", HumanBytes(memory(gpu, &setup)?));
    if setup.memory.capacity > 0 {
        let entries = setup.runs * setup.memory.capacity;
        note!("of it {} for {entries} adapted models", HumanBytes(memory_bytes(&setup)));
    }
    Ok(job)
}

/// Opens the run in `out` to go on with it under `config`, from `checkpoint` or its last one.
pub fn reopen(config: &Config, out: &Path, checkpoint: Option<&Path>) -> Result<Reopened> {
    let directory = RunDirectory::resume(out)?;
    let model = config.validate()?;
    let checkpoint = match checkpoint {
        Some(path) => Some(Checkpoint::load(&model, path)?),
        None => directory.latest(&model)?,
    };
    if let Some(checkpoint) = &checkpoint {
        check_same(config, checkpoint, out)?;
    }
    let split = stored_split(&directory, checkpoint.as_ref())?;
    Ok(Reopened { directory: Some(directory), checkpoint, split })
}

/// The same on all ranks: the first one opens the run and gives the others what they need of it.
pub fn reopen_on(
    ranks: &Ranks,
    config: &Config,
    out: &Path,
    checkpoint: Option<&Path>,
) -> Result<Reopened> {
    let first = ranks.rank() == 0;
    let found = first.then(|| reopen(config, out, checkpoint)).transpose();
    let found = ranks.agree(found)?;
    let model = config.validate()?;
    let split = found.as_ref().and_then(|found| Some(found.split.as_ref()?.to_json()));
    let file = found.as_ref().and_then(|found| found.checkpoint.as_ref());
    let file = file.map(|checkpoint| CheckpointFile::of(out, checkpoint, &model)).transpose();
    let file = ranks.agree(file)?.map(|file| file.bytes().to_vec());
    let split = ranks.of_first(split.map(String::into_bytes))?;
    let bytes = ranks.of_first(file)?;
    if let Some(found) = found {
        return Ok(found);
    }
    let split = String::from_utf8_lossy(&split);
    let split = (!split.is_empty()).then(|| StoredSplit::from_json(&split)).transpose();
    let split = split.map_err(|message| Error::checkpoint(out, message))?;
    let read = || CheckpointFile::from_bytes(out, bytes.clone()).checkpoint(&model);
    let checkpoint = (!bytes.is_empty()).then(read).transpose()?;
    Ok(Reopened { directory: None, checkpoint, split })
}

/// Says where training goes on, and if there are other `ranks` than before.
fn announce(checkpoint: Option<&Checkpoint>, ranks: usize) {
    let Some(checkpoint) = checkpoint else {
        note!("no checkpoint yet: starting again from iteration 0");
        return;
    };
    note!("resuming at iteration {}", checkpoint.state.iteration);
    let before = checkpoint.run.ranks;
    if before != ranks {
        let tasks = if ranks == 1 { String::new() } else { format!("{ranks} × ") };
        note!(
            "note: the ranks that train the run were {before} and are {ranks}: a meta-iteration has {tasks}outer.meta_batch \
             tasks from here on"
        );
    }
}

/// Trains to the end or until `stop`, and shows it; with `json` the metrics go to stdout.
pub fn train(session: &mut Session, stop: &Stop, json: bool) -> Result<Outcome> {
    let mut view = View::new(json, session.trainer().iteration());
    let outcome = session.train(|event| {
        view.show(&event);
        !stop.asked()
    });
    view.finish();
    let spoiled = |error: &Error| matches!(error, Error::Diverged { .. });
    let tasks = &session.config().tasks;
    let outcome = match (outcome, tasks) {
        (Err(error), TaskSpec::Wgsl(spec)) if spoiled(&error) => Err(anyhow::Error::from(error).context(format!(
            "{} may have drawn a number that is not finite, or a label that is no class: 64 tasks were looked at before, and \
             had none",
            spec.file.display()
        ))),
        (outcome, _) => outcome.map_err(anyhow::Error::from),
    };
    let Some(directory) = session.directory() else { return outcome };
    outcome.with_context(|| match directory.checkpoints() {
        Ok(list) if !list.is_empty() => {
            format!("the last checkpoint is {}", list[list.len() - 1].1.display())
        }
        _ => "the training ended before its first checkpoint".to_string(),
    })
}

/// Refuses a configuration under which the run would not go on as the same one.
fn check_same(config: &Config, checkpoint: &Checkpoint, out: &Path) -> Result<()> {
    let stored = Config::from_toml(&checkpoint.run.config, &out.display().to_string())?;
    let same_length = Config { iterations: stored.iterations, ..config.clone() };
    let other_lists = same_length.class_lists() != stored.class_lists();
    if other_lists || !stored.is_same_run_as(&same_length) {
        bail!(
            "{}: the run was trained under another configuration ({}); resume without changes \
             (only iterations, plan, stop.*, log.*, tasks.data, eval.tasks, eval.every, eval.validation_tasks and \
             strategy.refine may change), or train into another --out",
            out.display(),
            now(&same_length.differences(&stored)),
        );
    }
    let schedules = [&config.inner.schedule, &config.outer.schedule];
    let depends = schedules.iter().any(|schedule| schedule.spans_the_run());
    if config.iterations != stored.iterations && depends {
        note!(
            "note: iterations changed from {} to {}; the schedules now span the new number",
            stored.iterations,
            config.iterations
        );
    }
    Ok(())
}

/// What of a configuration is another now.
fn now(differences: &[String]) -> String {
    match differences {
        [] => "other class lists".into(),
        some => format!("now {}", some.join(", ")),
    }
}

/// Shows training as it goes.
struct View {
    json: bool,
    bar: ProgressBar,
    terminal: bool,
    printed: Instant,
    start: u64,
    /// The lowest validation loss of each run.
    lowest: Vec<f64>,
}

impl View {
    fn new(json: bool, start: u64) -> Self {
        let terminal = watched();
        let (bar, printed, lowest) = (progress_bar(0, BAR), Instant::now(), Vec::new());
        Self { json, bar, terminal, printed, start, lowest }
    }

    fn show(&mut self, event: &Event<'_>) {
        if let Event::Record(Record::Validation(line)) = event
            && let Some(warning) = swing(&mut self.lowest, line)
        {
            self.bar.suspend(|| note!("{warning}"));
        }
        match event {
            Event::Record(record) if self.json => {
                say(serde_json::to_string(record).expect("records are plain data"));
            }
            Event::Record(Record::Validation(line)) => {
                let text = validation(line);
                self.bar.suspend(|| note!("{text}"));
            }
            Event::Record(_) | Event::Exchange => {}
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
            note!("iteration {}/{}: {text}", progress.iteration, progress.iterations);
            self.printed = Instant::now();
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A validation loss that is so many times the lowest one tells of rates that are too large.
const SWING: f64 = 10.0;

/// What is to be said of a validation whose loss is an order of magnitude above the `lowest` of its run.
fn swing(lowest: &mut Vec<f64>, line: &ValidationRecord) -> Option<String> {
    if lowest.len() <= line.run {
        lowest.resize(line.run + 1, f64::INFINITY);
    }
    let lowest = &mut lowest[line.run];
    let times = line.loss / *lowest;
    *lowest = lowest.min(line.loss);
    let remedy = "the rates are too large for the steps of a validation: lower inner.rate, outer.rate, or a strategy's \
                  strategy.rate or strategy.guard; the best state so far is best.safetensors";
    if times > SWING {
        let (iteration, run) = (line.iteration, line.run);
        return Some(format!(
            "warning: iteration {iteration} run {run}: the validation loss is {times:.0} times the lowest so far; {remedy}"
        ));
    }
    None
}

/// A validation in one line.
fn validation(line: &ValidationRecord) -> String {
    let judged = |mean| Mean { mean, interval: line.interval }.text(4, "");
    let scores = match line.accuracy {
        Some(accuracy) => format!("{}, accuracy {}", number(line.loss, 4), judged(accuracy)),
        None => judged(line.loss),
    };
    let diverged = match line.diverged {
        0 => String::new(),
        some => format!("; {some} of {} tasks diverged", line.tasks),
    };
    format!("iteration {} run {}: validation loss {scores}{diverged}", line.iteration, line.run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_that_swings_by_an_order_of_magnitude_is_warned_of() {
        let mut lowest = Vec::new();
        let mut said = |run: usize, loss: f64| {
            let line = ValidationRecord {
                iteration: 20,
                run,
                seed: 1,
                loss,
                accuracy: None,
                interval: 0.1,
                tasks: 8,
                diverged: 0,
                right: None,
            };
            swing(&mut lowest, &line)
        };
        assert_eq!([said(1, 4.0), said(1, 0.4), said(0, 5.0), said(1, 3.9)], [const { None }; 4]);
        let warning = said(1, 40.0).unwrap();
        assert!(warning.contains("run 1") && warning.contains("100 times"), "{warning}");
        assert!(said(1, f64::NAN).is_none(), "that is told as tasks that diverged");
    }

    #[test]
    fn a_validation_is_one_line_that_tells_what_is_undefined() {
        let line = ValidationRecord {
            iteration: 20,
            run: 1,
            seed: 1,
            loss: 0.25,
            accuracy: None,
            interval: 0.0625,
            tasks: 8,
            diverged: 0,
            right: None,
        };
        let text = validation(&line);
        assert_eq!(text, "iteration 20 run 1: validation loss 0.2500 ± 0.0625");
        let (accuracy, interval, diverged) = (Some(0.75), f64::NAN, 7);
        let one_left = ValidationRecord { accuracy, interval, diverged, ..line };
        let text = validation(&one_left);
        assert!(
            text.ends_with("loss 0.2500, accuracy 0.7500 ± –; 7 of 8 tasks diverged"),
            "{text}"
        );
        let (loss, accuracy, diverged) = (f64::NAN, Some(f64::NAN), 8);
        let text = validation(&ValidationRecord { loss, accuracy, diverged, ..one_left });
        assert!(text.ends_with("loss –, accuracy –; 8 of 8 tasks diverged"), "{text}");
    }
}
