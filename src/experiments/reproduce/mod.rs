//! Cells of the paper, trained and evaluated in one folder: what is to be done, what is done, and the
//! table of both.
//!
//! The folder holds `reproduce.json` (the [`Plan`]), a run's folder for each training with its
//! [`Results`] beside the run's own files, and what [`write_table`] makes of them.

mod plan;
mod results;
mod table;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{atomic, text_file};
use crate::error::{Error, Result};

pub use plan::{Plan, Training, missing_data};
pub use results::{Results, Stored};
pub use table::write_table;

const FILE: &str = "reproduce.json";

/// Reads the file of `folder`, if it is there.
fn load<T: DeserializeOwned>(folder: &Path) -> Result<Option<T>> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let text = text_file::read(&path)?;
    let value = serde_json::from_str(&text)
        .map_err(|error| Error::data(&path, format!("{error}; mend it, or give another folder")))?;
    Ok(Some(value))
}

fn save<T: Serialize>(folder: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("plain data is valid JSON");
    atomic::write(&folder.join(FILE), format!("{text}\n").as_bytes())
}
