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
use crate::config::Job;
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

    /// Does `work`, with all ranks where they are asked for; `lost`: what is to be done where a device is lost.
    pub fn on_all(
        &self,
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
            Some(ranks) => end(&ranks, work(Some(&ranks))),
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

/// What must be the same for all ranks of a job.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Passport {
    version: String,
    arithmetic: u32,
    /// Without the place of the data.
    config: String,
    /// What is stored of the data set: its classes and digests.
    split: Option<String>,
    /// The SHA-256 of the weights that the training starts from.
    init: Option<String>,
}

/// Refuses ranks that do not do the same job, where it is known already; says which device each has.
pub fn introduce(ranks: &Ranks, gpu: &Gpu, job: Option<&Job>, init: Option<&Path>) -> Result<()> {
    let config = job.map(|job| {
        let mut config = job.config().clone();
        config.tasks.forget_data();
        config.to_toml()
    });
    let init = init.map(sha256_file).transpose();
    let own = ranks.agree(init)?;
    let passport = Passport {
        version: env!("CARGO_PKG_VERSION").into(),
        arithmetic: ARITHMETIC,
        config: config.unwrap_or_default(),
        split: job.and_then(Job::stored_split).map(StoredSplit::to_json),
        init: own,
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
            let what = passport.difference(first);
            format!("rank {rank} on {} has {what} than rank 0", ranks.hosts()[rank])
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::Ranks(format!("{}; start all ranks with the same", wrong.join("; "))).into())
}

impl Passport {
    /// The first thing that is not as `other` has it.
    fn difference(&self, other: &Self) -> String {
        if self.version != other.version {
            return format!("another version ({}, {})", self.version, other.version);
        }
        if self.arithmetic != other.arithmetic {
            return format!("another arithmetic ({}, {})", self.arithmetic, other.arithmetic);
        }
        if self.config != other.config {
            let known: Vec<&str> = other.config.lines().collect();
            let lines = self.config.lines().filter(|line| !known.contains(line));
            let lines: Vec<&str> = lines.take(3).collect();
            return format!("another configuration ({})", lines.join(", "));
        }
        if self.split != other.split {
            return "other data (their classes or digests differ)".into();
        }
        "other weights in the file of --init".into()
    }
}

/// Ends a command of `ranks`: tells the others of a failure that they wait for, and says what is this rank's to say.
fn end(ranks: &Ranks, result: Result<ExitCode>) -> Result<ExitCode> {
    let Err(error) = result else { return result };
    let own = !error.chain().any(|it| matches!(it.downcast_ref(), Some(Error::Ranks(_))));
    let speaks = own || ranks.speaks();
    silence(!speaks);
    if !own && !ranks.has_failed() {
        // All ranks have heard of it and end in order.
        return if speaks { Err(error) } else { Ok(ExitCode::FAILURE) };
    }
    let error = match is_lost(&error) {
        true => anyhow::anyhow!("{}", in_one_line(&error)),
        false => flags::with_flags(error),
    };
    if own {
        ranks.fail(format!("{error:#}"));
        note!("error: {}: {error:#}", ranks.name());
    } else {
        note!("error: {error:#}");
    }
    ranks.leave();
    Ok(ExitCode::FAILURE)
}
