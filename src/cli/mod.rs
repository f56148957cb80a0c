//! The command line: one file a subcommand.

#[macro_use]
mod words;

mod adapt;
mod bench;
mod common;
mod compress;
mod device_lost;
mod devices;
mod eval;
mod export;
mod flags;
mod models;
mod online;
mod out_folder;
mod plot;
mod predict;
mod presets;
#[cfg(target_os = "linux")]
mod processors;
mod ranks;
mod reproduce;
mod stop;
mod sweep;
mod train;
mod training;
mod vectors;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use device_lost::{in_one_line, is_lost};
use words::all_said;

/// Reptile meta-learning that lives on the GPU.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the adapters of this machine and the kernel variants that each would get.
    Devices(devices::Devices),
    /// List the presets with a line on each, or print one as TOML.
    Presets(presets::Presets),
    /// Meta-train a network.
    Train(train::Train),
    /// Adapt a trained network to test tasks (or take adapted models) and report loss and accuracy.
    Eval(eval::Eval),
    /// Adapt a checkpoint to tasks of your own, or to test tasks, and keep the models.
    Adapt(adapt::Adapt),
    /// Tell images or examples apart by a few labelled ones.
    Predict(predict::Predict),
    /// Write a network, meta-learned or adapted, as an ONNX file.
    Export(export::Export),
    /// Learn from tasks as they arrive, beside joint training and learning from scratch.
    Online(online::Online),
    /// Compress adapted models, as differences from the checkpoint that they were adapted from.
    Compress(compress::Compress),
    /// Restore adapted models from compressed ones.
    Decompress(compress::Decompress),
    /// Train and evaluate cells of the paper into one table; stops and resumes like any run.
    Reproduce(reproduce::Reproduce),
    /// Search for good settings: configurations and seeds train as one batch.
    Sweep(sweep::Sweep),
    /// Measure a device: training speed and kernels, beside its own ceilings.
    Bench(bench::Bench),
    /// Draw a run: learning curves and, for sine tasks, predictions before and after adaptation.
    Plot(plot::Plot),
}

/// The program: reads its arguments, runs the subcommand and says what it could not do; the code is for the shell.
pub fn main() -> ExitCode {
    // SAFETY: the program begins here, with a single thread.
    unsafe { vectors::widen() };
    let result = match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            // Help and the version are results and go to stdout.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            match error.print() {
                Err(unwritten) if code == 0 && unwritten.kind() != ErrorKind::BrokenPipe => {
                    Err(anyhow::anyhow!("stdout: {unwritten}"))
                }
                _ => Ok(ExitCode::from(code)),
            }
        }
    };
    result.unwrap_or_else(|error| {
        note!("error: {error:#}");
        ExitCode::FAILURE
    })
}

impl Cli {
    /// Runs the subcommand; the code is for the shell.
    ///
    /// # Errors
    /// Whatever the subcommand could not do, with the remedy.
    fn run(self) -> anyhow::Result<ExitCode> {
        tracing_subscriber::fmt()
            .with_env_filter(
                tracing_subscriber::EnvFilter::try_from_default_env()
                    .unwrap_or_else(|_| "warn,wgpu_hal=off,wgpu_core=off".into()),
            )
            .with_writer(std::io::stderr)
            .without_time()
            // It would be told on stderr, and end the program where there is none.
            .log_internal_errors(false)
            .init();
        // Of the commands that go on where they were.
        let resumes =
            matches!(self.command, Command::Train(_) | Command::Sweep(_) | Command::Reproduce(_));
        let result = match self.command {
            Command::Devices(command) => command.run(),
            Command::Presets(command) => command.run(),
            Command::Train(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Adapt(command) => command.run(),
            Command::Predict(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Online(command) => command.run(),
            Command::Compress(command) => command.run(),
            Command::Decompress(command) => command.run(),
            Command::Reproduce(command) => command.run(),
            Command::Sweep(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Plot(command) => command.run(),
        };
        let result = result.and_then(|code| all_said().map(|()| code));
        result.map_err(|error| match is_lost(&error) {
            true if !resumes => anyhow::anyhow!("{}: start the command again", in_one_line(&error)),
            true => anyhow::anyhow!(
                "{}: start again with --resume, or the next time with --on-device-lost retry",
                in_one_line(&error)
            ),
            false => flags::with_flags(error),
        })
    }
}
