//! `reptile eval`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::common::{DeviceArgs, Stored, load_job};
use crate::meta::{Mean, StartingPoint, Summary, evaluate, evaluate_episodes};
use crate::model::Loss;
use crate::rng::Phase;
use crate::run::starting_point;
use crate::tasks::EpisodeList;

/// Adapt a trained network to test tasks.
#[derive(Debug, Args)]
pub struct Eval {
    /// A run's folder, or a checkpoint.
    run: PathBuf,
    /// Number of test tasks (eval.tasks by default).
    #[arg(long)]
    tasks: Option<usize>,
    /// JSON file of test tasks, each a list of {"class", "support", "query"}, one a class, with the
    /// names of files (docs/episodes.md); instead of drawn ones.
    #[arg(long, value_name = "FILE", conflicts_with = "tasks")]
    episodes: Option<PathBuf>,
    /// Inner steps (eval.steps by default).
    #[arg(long)]
    steps: Option<usize>,
    /// Minibatch size (eval.batch by default).
    #[arg(long)]
    batch: Option<usize>,
    /// Seed of the test tasks (the run's own by default).
    #[arg(long)]
    seed: Option<u64>,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Scores of one starting point.
struct Row {
    name: String,
    seed: u64,
    before: Summary,
    after: Summary,
}

impl Eval {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut stored = Stored::open(&self.run, self.data.as_deref())?;
        let list = self.episodes.as_ref().map(EpisodeList::load).transpose()?;
        let config = &mut stored.config;
        let tasks = list.as_ref().map(EpisodeList::len).or(self.tasks);
        config.eval.tasks = tasks.unwrap_or(config.eval.tasks);
        config.eval.steps = self.steps.unwrap_or(config.eval.steps);
        config.eval.batch = self.batch.unwrap_or(config.eval.batch);
        let snapshot = stored.snapshot()?;
        let gpu = self.device.open()?;
        let job = load_job(&gpu, stored.config.clone())?;
        let episodes = list.map(|list| job.episodes(&list)).transpose()?;
        let (model, eval) = (job.model(), &job.config().eval);
        let score = |name: String, run: usize, start: &StartingPoint| -> Result<Row> {
            let mut setup = job.evaluation(run, Phase::Test);
            setup.seed = self.seed.unwrap_or(setup.seed);
            let scores = match &episodes {
                Some(episodes) => evaluate_episodes(&gpu, &setup, start, episodes)?,
                None => evaluate(&gpu, &setup, start, eval.tasks)?,
            };
            Ok(Row {
                name,
                seed: job.config().seed.wrapping_add(run as u64),
                before: Summary::of(scores.iter().map(|pair| pair[0])),
                after: Summary::of(scores.iter().map(|pair| pair[1])),
            })
        };
        let mut rows = Vec::new();
        for run in 0..snapshot.runs {
            rows.push(score(format!("run {run}"), run, &starting_point(&snapshot, run))?);
        }
        let scratch = StartingPoint {
            parameters: model.initial(job.config().seed),
            state: [None, None],
            adam_steps: 0,
        };
        let scratch = score("random initialisation".into(), 0, &scratch)?;
        let classes = model.loss() == Loss::CrossEntropy;
        if self.json {
            let value = json!({
                "checkpoint": stored.file,
                "iteration": stored.header.iteration,
                "tasks": eval.tasks,
                "episodes": self.episodes.as_ref().map(|path| path.display().to_string()),
                "steps": eval.steps,
                "batch": eval.batch,
                "runs": rows.iter().map(|row| row.json(classes)).collect::<Vec<_>>(),
                "random_initialisation": scratch.json(classes),
            });
            println!("{}", serde_json::to_string_pretty(&value)?);
        } else {
            println!(
                "{}: iteration {}, {} test tasks, {} steps of batch {}, ± = 95 % over tasks",
                stored.file.display(),
                stored.header.iteration,
                eval.tasks,
                eval.steps,
                eval.batch,
            );
            rows.iter().for_each(|row| row.print(classes));
            scratch.print(classes);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Row {
    fn json(&self, classes: bool) -> serde_json::Value {
        let summary = |summary: &Summary| {
            let mut value = json!({
                "loss": summary.loss.mean,
                "loss_interval": summary.loss.interval,
            });
            if classes {
                value["accuracy"] = summary.accuracy.mean.into();
                value["accuracy_interval"] = summary.accuracy.interval.into();
            }
            value
        };
        json!({ "seed": self.seed, "before": summary(&self.before), "after": summary(&self.after) })
    }

    fn print(&self, classes: bool) {
        let loss = |mean: &Mean| format!("{:.4} ± {:.4}", mean.mean, mean.interval);
        let share =
            |mean: &Mean| format!("{:.2} ± {:.2} %", 100.0 * mean.mean, 100.0 * mean.interval);
        let (before, after) = (&self.before, &self.after);
        println!("{} (seed {})", self.name, self.seed);
        println!("  loss      before {:<20} after {}", loss(&before.loss), loss(&after.loss));
        if classes {
            let [before, after] = [&before.accuracy, &after.accuracy].map(share);
            println!("  accuracy  before {before:<20} after {after}");
        }
    }
}
