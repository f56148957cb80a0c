//! The `reptile` program: parses, dispatches, sets the exit code.

use std::process::ExitCode;

use clap::Parser;
use reptile::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
