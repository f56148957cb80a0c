//! `reptile presets`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::run::presets;

/// List the presets, or print one.
#[derive(Debug, Args)]
pub struct Presets {
    /// Print this preset as TOML, to be saved and changed.
    name: Option<String>,
}

impl Presets {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.name {
            Some(name) => print!("{}", presets::get(&name)?),
            None => {
                for name in presets::names() {
                    println!("{name:<20} {}", presets::description(name)?);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
