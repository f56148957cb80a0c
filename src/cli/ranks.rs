//! Training by several processes, the ranks of a job that MPI starts.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::cli::device_lost::{DeviceLost, in_one_line, is_lost};
use crate::cli::flags;
use crate::cli::words::silence;
use crate::cluster::Ranks;
use crate::config::{Config, Job};
use crate::data::StoredSplit;
use crate::gpu::Gpu;
use crate::store::checkpoint::ARITHMETIC;
use crate::store::sha256_file;

/// The flags of a command that several ranks share.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Ranks")]
pub struct RanksArgs {
    /// Share the work among all ranks that `mpirun` or Slurm started (docs/cluster.md); --device may list a device for each of
    /// a machine: 0,1,2,3.
    #[arg(long)]
    distributed: bool,
    /// Seconds that a rank waits for the others before it gives the job up.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, requires = "distributed", value_parser = seconds)]
    timeout: f64,
}

/// The flags of how ranks train one network.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Ranks")]
pub struct RoundsArgs {
    /// Meta-iterations that a rank takes on its own between two exchanges (distributed.local_steps).
    #[arg(long, value_name = "H", requires = "distributed")]
    local_steps: Option<u64>,
    /// What makes a step of the mean difference of all ranks (distributed.optimizer).
    #[arg(long, value_name = "NAME", requires = "distributed")]
    outer_optimizer: Option<Optimizer>,
    /// Exchange beside the next round, and apply it one round late (distributed.overlap).
    #[arg(long, requires = "distributed")]
    overlap: bool,
    /// As what differences are sent (distributed.exchange).
    #[arg(long, value_name = "TYPE", requires = "distributed")]
    exchange: Option<Type>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("give seconds from 0.1 to 1000000".into()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Optimizer {
    Interpolation,
    Momentum,
    Nesterov,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    F32,
    F16,
    Int8,
}

/// The name of a value on the command line.
fn name(value: impl ValueEnum) -> Option<String> {
    Some(value.to_possible_value()?.get_name().to_string())
}

impl RanksArgs {
    /// Starts the ranks, where they are asked for; all but the first say nothing from then on.
    fn start(&self) -> Result<Option<Arc<Ranks>>> {
        if !self.distributed {
            return Ok(None);
        }
        let ranks = start(Duration::from_secs_f64(self.timeout))?;
        silence(ranks.rank() > 0);
        Ok(Some(Arc::new(ranks)))
    }

    /// Does `work`, with all ranks where they are asked for. `command`: what must be the same for all of them; `lost`: what is to
    /// be done where a device is lost.
    pub fn on_all(
        &self,
        command: &str,
        lost: Option<&DeviceLost>,
        work: impl FnOnce(Option<&Arc<Ranks>>) -> Result<ExitCode>,
    ) -> Result<ExitCode> {
        if self.distributed && lost.is_some_and(DeviceLost::retries) {
            bail!(
                "--on-device-lost: a device that is lost ends the job of all ranks; leave it out, and go on with --resume"
            );
        }
        match self.start()? {
            None => work(None),
            Some(ranks) => {
                let command = format!("{command} --timeout {}", self.timeout);
                let result = greet(&ranks, &command).and_then(|()| work(Some(&ranks)));
                end(&ranks, result)
            }
        }
    }
}

impl RoundsArgs {
    /// What the flags set in a configuration.
    pub fn overrides(&self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        [
            ("distributed.local_steps", self.local_steps.map(|steps| steps.to_string())),
            ("distributed.optimizer", self.outer_optimizer.and_then(name)),
            ("distributed.overlap", self.overlap.then(|| true.to_string())),
            ("distributed.exchange", self.exchange.and_then(name)),
        ]
        .into_iter()
    }
}

#[cfg(feature = "mpi")]
fn start(timeout: Duration) -> Result<Ranks> {
    Ok(Ranks::start(move |failure| crate::cluster::Mpi::open(timeout, failure))?)
}

#[cfg(not(feature = "mpi"))]
fn start(_: Duration) -> Result<Ranks> {
    bail!("--distributed: this program was built without MPI; build one with it: `make mpi`")
}

/// The result of a step that every rank has taken, if all of them could.
pub fn agree<T>(ranks: Option<&Arc<Ranks>>, result: Result<T>) -> Result<T> {
    match ranks {
        Some(ranks) => Ok(ranks.agree(result)?),
        None => result,
    }
}

/// Whether this process is the one that writes.
pub fn first(ranks: Option<&Arc<Ranks>>) -> bool {
    ranks.is_none_or(|ranks| ranks.rank() == 0)
}

/// What the first rank has; the others have nothing.
pub fn of_first<T: Serialize + DeserializeOwned>(
    ranks: Option<&Arc<Ranks>>,
    own: Option<T>,
) -> Result<T> {
    match ranks {
        Some(ranks) => {
            let message = own.map(|own| serde_json::to_vec(&own)).transpose()?;
            Ok(serde_json::from_slice(&ranks.of_first(message)?)?)
        }
        None => own.context("there is one process, and it is the first"),
    }
}

/// How to go on with what `command` began.
pub fn again(ranks: Option<&Arc<Ranks>>, command: &str) -> String {
    match ranks {
        Some(ranks) => {
            format!("mpirun -n {} reptile {command} --resume --distributed", ranks.size())
        }
        None => format!("reptile {command} --resume"),
    }
}

/// Refuses ranks of another version or command: what they exchange later would not fit together.
fn greet(ranks: &Ranks, command: &str) -> Result<()> {
    let own = format!("reptile {} {command}", env!("CARGO_PKG_VERSION"));
    let all = ranks.gather(own.into_bytes())?;
    let text = |rank: usize| String::from_utf8_lossy(&all[rank]).into_owned();
    match (1..all.len()).find(|rank| all[*rank] != all[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::Ranks(format!(
            "rank {rank} on {} was started as `{}`, rank 0 as `{}`; start all ranks with the same version, command and flags",
            ranks.hosts()[rank],
            text(rank),
            text(0)
        ))
        .into()),
    }
}

/// What must be the same for all ranks of a job.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Passport {
    arithmetic: u32,
    /// Without the place of the data.
    config: Option<String>,
    /// What is stored of the data set: its classes and digests.
    split: Option<String>,
    /// The SHA-256 of what they start from.
    file: Option<String>,
}

/// Refuses ranks that do not do the same job, where it is known already, from the same `file`, by its name in messages; says which
/// device each has.
pub fn introduce(
    ranks: &Ranks,
    gpu: &Gpu,
    job: Option<&Job>,
    file: Option<(&str, &Path)>,
) -> Result<()> {
    let config = job.map(|job| {
        let mut config = job.config().clone();
        config.tasks.forget_data();
        config.to_toml()
    });
    let digest = file.map(|(_, path)| sha256_file(path)).transpose();
    let passport = Passport {
        arithmetic: ARITHMETIC,
        config,
        split: job.and_then(Job::stored_split).map(StoredSplit::to_json),
        file: ranks.agree(digest)?,
    };
    let info = gpu.info();
    let device = format!("{} ({})", info.name, info.backend);
    let mine = serde_json::to_vec(&(&passport, device))?;
    let all = ranks.gather(mine)?;
    let all = all.iter().map(|one| serde_json::from_slice::<(Passport, String)>(one));
    let all: Vec<_> = all.collect::<Result<_, _>>().context("what a rank says of itself")?;
    for (rank, (_, device)) in all.iter().enumerate() {
        note!("rank {rank} of {} on {}: {device}", ranks.size(), ranks.hosts()[rank]);
    }
    let first = &all[0].0;
    let others = all.iter().enumerate().filter(|(_, (passport, _))| passport != first);
    let wrong: Vec<String> = others
        .map(|(rank, (passport, _))| {
            let what = passport.difference(first, file.map_or("", |(name, _)| name));
            format!("rank {rank} on {} has {what}", ranks.hosts()[rank])
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::Ranks(format!("{}; start all ranks with the same", wrong.join("; "))).into())
}

impl Passport {
    /// The first thing that is not as rank 0 has it, `first`.
    fn difference(&self, first: &Self, file: &str) -> String {
        if self.arithmetic != first.arithmetic {
            let (own, first) = (self.arithmetic, first.arithmetic);
            return format!("another arithmetic ({own}) than rank 0 ({first})");
        }
        if self.config != first.config {
            let read = |text: &Option<String>| {
                let text = text.as_deref().unwrap_or_default();
                Config::from_toml(text, "a rank's configuration")
            };
            let differences = match (read(&self.config), read(&first.config)) {
                (Ok(own), Ok(first)) => own.differences(&first).join(", "),
                _ => "it is no configuration".into(),
            };
            return format!("another configuration than rank 0 ({differences})");
        }
        if self.split != first.split {
            return "other data than rank 0 (their classes or digests differ)".into();
        }
        format!("another {file} than rank 0")
    }
}

/// What rank 0 gets to say what it has heard of a rank that failed, and to end all.
const FIRST: Duration = Duration::from_secs(3);

/// Ends a command of `ranks`. What all have found out together rank 0 says, and they end in order. A failure of one is told to the
/// others, which may wait for it; rank 0 says it and ends all, and where it does not, the rank itself.
fn end(ranks: &Ranks, result: Result<ExitCode>) -> Result<ExitCode> {
    let Err(error) = result else { return result };
    let own = !error.chain().any(|it| matches!(it.downcast_ref(), Some(Error::Ranks(_))));
    let error = match is_lost(&error) {
        true => anyhow::anyhow!("{}", in_one_line(&error)),
        false => flags::with_flags(error),
    };
    if !own && !ranks.has_failed() {
        // Before the ranks part (the others are silent): `mpirun` ends who is left when the first one is gone.
        note!("error: {error:#}");
        return Ok(ExitCode::FAILURE);
    }
    if own {
        ranks.fail(format!("{error:#}"));
        if ranks.rank() > 0 {
            std::thread::sleep(FIRST);
        }
        silence(false);
        note!("error: {}: {error:#}", ranks.name());
    } else {
        silence(!ranks.speaks());
        note!("error: {error:#}");
    }
    // The signals that end the others are no news.
    silence(true);
    ranks.leave();
    Ok(ExitCode::FAILURE)
}
