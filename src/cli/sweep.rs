//! `reptile sweep`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::HumanBytes;

use crate::cli::common::{DeviceArgs, load_job, note_missing_split, progress_bar};
use crate::cli::device_lost::DeviceLost;
use crate::cli::out_folder::OutFolder;
use crate::cli::ranks::{RanksArgs, again, agree, first, introduce};
use crate::cli::stop::Stop;
use crate::cli::words::say;
use crate::cluster::Ranks;
use crate::config::{Data, Purpose};
use crate::disk::shell::quoted;
use crate::experiments::sweep::{Prepared, Search};
use crate::meta::memory;

const BAR: &str = "{bar:30} [{elapsed}<{eta}] {msg}";

/// Search for good settings: many configurations and seeds train at once.
#[derive(Debug, Args)]
pub struct Sweep {
    /// What to search (see docs/sweep.md); with --resume, what the folder has.
    sweep: Option<PathBuf>,
    /// Folder of the sweep (runs/NAME by default, with a number if it exists).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the sweep in --out, exactly where it stopped.
    #[arg(long, requires = "out")]
    resume: bool,
    /// Folder of the data set (otherwise REPTILE_DATA names the folder of all data sets).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// With --resume: go on although classes of the sweep are missing or their images changed.
    #[arg(long, requires = "resume")]
    changed_data: bool,
    #[command(flatten)]
    device_lost: DeviceLost,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ranks: RanksArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Sweep {
    pub(super) fn run(self) -> Result<ExitCode> {
        let command = OutFolder::command("sweep", self.out.as_deref(), self.resume);
        self.ranks.on_all(&command, Some(&self.device_lost), |ranks| {
            let folder = OutFolder::of_first(first(ranks), self.out.as_deref(), || self.folder());
            let (out, mut stop) = (agree(ranks, folder)?, None);
            self.device_lost.survived(|again| {
                let begun = again && Prepared::is_in(&out);
                self.search(&out, self.resume || begun, ranks, &mut stop)
            })
        })
    }

    /// Begins or goes on, and says what came of it.
    fn search(
        &self,
        out: &Path,
        resume: bool,
        ranks: Option<&Arc<Ranks>>,
        stop: &mut Option<Stop>,
    ) -> Result<ExitCode> {
        let mut prepared = agree(ranks, self.prepare(out, resume, first(ranks)))?;
        if let Some(data) = &self.data {
            prepared.set_data(data)?;
        }
        let [trials, seeds] = prepared.size();
        let gpu = agree(ranks, self.device.open_for(ranks))?;
        let split = if resume { Prepared::split(out)? } else { None };
        if resume {
            note_missing_split(&prepared.base().tasks, split.as_ref());
        }
        let data =
            Data { split: split.as_ref(), changed: self.changed_data, purpose: Purpose::Search };
        let job = agree(ranks, load_job(&gpu, prepared.base().clone(), data))?;
        if let Some(ranks) = ranks {
            introduce(ranks, &gpu, Some(&job), None)?;
        }
        let mut search = match resume {
            true => Search::resume_on(&gpu, prepared, job, out, ranks.cloned())?,
            false => Search::start_on(&gpu, prepared, job, out, ranks.cloned())?,
        };
        let largest = search.largest_setup()?;
        note!("memory: {} on the device", HumanBytes(memory(&gpu, &largest)?));
        self.device.autotune(&gpu, &largest)?;
        note!(
            "sweep: {trials} configurations, {seeds} seeds each, in {}; {} train at once, the device has room for {}",
            out.display(),
            largest.runs,
            search.most_at_once(&largest)
        );
        let stop = Stop::once(stop)?;
        let (bar, start) = (progress_bar(1, BAR), Instant::now());
        let finished = search.run(|progress| {
            let [done, end] = progress.iterations;
            bar.set_length(end);
            bar.set_position(done);
            let ([rung, rungs], [batch, batches]) = (progress.rung, progress.batch);
            bar.set_message(format!("rung {rung} of {rungs}, batch {batch} of {batches}"));
            !stop.asked()
        });
        bar.finish_and_clear();
        let finished = finished?;
        let report = search.report();
        let text = if self.json { report.to_json() } else { report.to_markdown() };
        if !text.is_empty() {
            say(text.trim_end());
        }
        if !finished {
            note!("go on with: {}", again(ranks, &format!("sweep --out {}", quoted(out))));
            return Ok(stop.code());
        }
        note!("{:.1} s; the results are in {}", start.elapsed().as_secs_f64(), out.display());
        match report.best() {
            Some(_) => note!("next: reptile train {}", quoted(&out.join("best.toml"))),
            None => note!("every configuration diverged: lower inner.rate or outer.rate"),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// --out, or a new folder below `runs`.
    fn folder(&self) -> Result<OutFolder> {
        let stem = self.sweep.as_ref().and_then(|path| path.file_stem());
        let name = stem.map_or("sweep".into(), |stem| stem.to_string_lossy().into_owned());
        OutFolder::new(self.out.as_deref(), &name)
    }

    fn prepare(&self, out: &Path, resume: bool, writes: bool) -> Result<Prepared> {
        if !resume {
            let Some(path) = &self.sweep else {
                bail!("nothing to search: give a SWEEP.toml (see docs/sweep.md)");
            };
            if writes {
                Prepared::check_unused(out)?;
            }
            return Ok(Prepared::read(path)?);
        }
        let prepared = Prepared::reopen(out)?;
        if let Some(path) = &self.sweep
            && !prepared.is_that_of(path)?
        {
            bail!(
                "{}: another sweep was begun in {}; leave the file out to go on with that one, or \
                 give another --out",
                path.display(),
                out.display()
            );
        }
        Ok(prepared)
    }
}
