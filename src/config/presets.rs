//! Configurations that come with the program: a TOML file a family (`presets/`), and rows of settings
//! on top of it.

mod table;
#[cfg(test)]
mod tests;

use std::sync::{LazyLock, OnceLock};

use serde::Serialize;

use crate::config::settings::Config;
use crate::error::{Error, Result};
use crate::meta::Mean;

/// An accuracy as the paper prints it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figure {
    /// Mean over test tasks, in percent.
    pub accuracy: f64,
    /// The ± behind it, in percent.
    pub interval: f64,
}

impl Figure {
    /// As it is shown in a table.
    pub fn text(self) -> String {
        Mean { mean: self.accuracy, interval: self.interval }.text(2, " %")
    }
}

/// A configuration that comes with the program.
#[derive(Clone, Debug)]
pub struct Preset {
    name: String,
    training: String,
    description: String,
    paper: Option<Figure>,
    base: &'static str,
    set: Vec<(String, String)>,
    text: OnceLock<String>,
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(table::presets);

/// All presets.
pub fn all() -> &'static [Preset] {
    &PRESETS
}

/// The presets' names.
pub fn names() -> Vec<&'static str> {
    all().iter().map(Preset::name).collect()
}

/// The preset of this name.
///
/// # Errors
/// [`Error::Config`] with the nearest name if there is no such preset.
pub fn find(name: &str) -> Result<&'static Preset> {
    all().iter().find(|preset| preset.name == name).ok_or_else(|| {
        let nearest = names().into_iter().min_by_key(|known| strsim::levenshtein(known, name));
        Error::config(
            "preset",
            format!(
                "there is no preset `{name}`; did you mean `{}`? All: {}",
                nearest.unwrap_or_default(),
                names().join(", ")
            ),
        )
    })
}

/// The text of a preset: its family's file, or that with its settings, resolved.
///
/// # Errors
/// As [`find`].
pub fn get(name: &str) -> Result<&'static str> {
    find(name)?.text()
}

impl Preset {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The preset whose training is also this one's: its own name, or that of the twin from which
    /// only the evaluation differs.
    pub fn training(&self) -> &str {
        &self.training
    }

    /// A line on it.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What the paper reports.
    pub fn paper(&self) -> Option<Figure> {
        self.paper
    }

    /// Its configuration.
    ///
    /// # Errors
    /// None for the presets of this crate.
    pub fn config(&self) -> Result<Config> {
        Config::with_overrides(self.base, &format!("preset {}", self.name), &self.set)
    }

    fn text(&self) -> Result<&str> {
        if self.set.is_empty() {
            return Ok(self.base);
        }
        if self.text.get().is_none() {
            let text = self.config()?.to_toml();
            self.text.get_or_init(|| text);
        }
        Ok(self.text.get().map_or(self.base, String::as_str))
    }

    /// The complete configuration as TOML, behind what the family's file says of itself.
    ///
    /// # Errors
    /// As [`Preset::config`].
    pub fn resolved(&self) -> Result<String> {
        let comments: String = self
            .base
            .lines()
            .take_while(|line| line.starts_with('#'))
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = self.config()?.to_toml();
        Ok(format!("# {}: {}\n#\n{comments}{config}", self.name, self.description))
    }
}
