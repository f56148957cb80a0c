//! From TOML to a configuration.

use std::path::Path;

use toml::Table;

use crate::config::overrides::Schema;
use crate::config::settings::Config;
use crate::disk::text_file;
use crate::error::{Error, Result};

impl Config {
    /// Reads a configuration; `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`] for unknown keys (with the nearest known one), missing ones and wrong types.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        Self::with_overrides(text, origin, &[])
    }

    /// Reads the configuration in the file `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, else as [`Config::from_toml`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = text_file::read(path)?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads a configuration and sets `assignments` (dotted key, value) on top, the later ones over
    /// the earlier ones. A value is TOML or, failing that, a text. Setting `inner.steps` removes
    /// `inner.epochs` and the other way round; another `kind` of tasks or schedule removes the keys
    /// of the former one.
    ///
    /// # Errors
    /// As [`Config::from_toml`].
    pub fn with_overrides(
        text: &str,
        origin: &str,
        assignments: &[(String, String)],
    ) -> Result<Self> {
        let mut table: Table = toml::from_str(text)
            .map_err(|error| Error::config(origin, error.to_string().trim_end()))?;
        let schema = Schema::new();
        schema.check(&table, origin)?;
        for (index, (key, value)) in assignments.iter().enumerate() {
            schema.assign(&mut table, (key, value), &assignments[..index])?;
        }
        schema.check(&table, "the settings")?;
        table.try_into().map_err(|error: toml::de::Error| {
            let source = if assignments.is_empty() { "" } else { " with the settings" };
            let message = error.to_string().trim_end().replace('\n', " ");
            Error::config(format!("{origin}{source}"), format!("{message}; see docs/config.md"))
        })
    }
}
