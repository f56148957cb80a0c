//! `reptile devices`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cli::common::DeviceArgs;
use crate::cli::words::say;
use crate::gpu::{AdapterReport, list_adapters, no_adapter};

/// List the adapters of this machine.
#[derive(Debug, Args)]
pub struct Devices {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Devices {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (choice, options) = (self.device.choice(), self.device.options());
        let entries = list_adapters(&choice);
        if entries.is_empty() {
            return Err(no_adapter(&choice).into());
        }
        let list: Vec<AdapterReport> = entries.iter().map(|entry| entry.report(&options)).collect();
        if self.json {
            say(serde_json::to_string_pretty(&list)?);
        } else {
            list.iter().for_each(say);
        }
        Ok(ExitCode::SUCCESS)
    }
}
