//! The configuration of a run: one TOML file, every key with its default (docs/config.md).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Table;

use crate::error::{Error, Result};
use crate::meta::{EvalSpec, InnerSpec, OuterSpec, PlanKind, StopSpec};
use crate::model::{Model, ModelSpec};
use crate::run::{overrides, presets};
use crate::tasks::TaskSpec;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of run 0; run r has `seed + r`.
    #[serde(default)]
    pub seed: u64,
    /// Independent runs R in one process.
    #[serde(default = "one")]
    pub runs: usize,
    /// Meta-iterations.
    pub iterations: u64,
    /// How the inner loops run.
    #[serde(default)]
    pub plan: PlanKind,
    pub model: ModelSpec,
    pub tasks: TaskSpec,
    pub inner: InnerSpec,
    pub outer: OuterSpec,
    pub eval: EvalSpec,
    #[serde(default)]
    pub stop: StopSpec,
    #[serde(default)]
    pub log: LogSpec,
}

/// `[log]`: what is written to the run's folder, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSpec {
    /// A line of metrics every so many meta-iterations (means since the line before).
    pub every: u64,
    /// The inner losses of each step every so many meta-iterations; 0 = never.
    pub inner: u64,
    /// A checkpoint every so many meta-iterations.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { every: 10, inner: 0, checkpoint_every: 1000, keep: 3 }
    }
}

fn one() -> usize {
    1
}

impl Config {
    /// Reads a configuration; `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`] for unknown keys (with the nearest known one), missing ones and wrong types.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        Self::with_overrides(text, origin, &[])
    }

    /// Reads a configuration and sets `assignments` (dotted key, value) on top.
    ///
    /// # Errors
    /// As [`Config::from_toml`].
    pub fn with_overrides(
        text: &str,
        origin: &str,
        assignments: &[(String, String)],
    ) -> Result<Self> {
        let invalid = |error: toml::de::Error| {
            Error::config(origin, error.to_string().trim_end().to_string())
        };
        let mut table: Table = toml::from_str(text).map_err(invalid)?;
        let known = known_keys();
        overrides::check_keys(&table, &known, origin)?;
        for (key, value) in assignments {
            overrides::assign(&mut table, key, value)?;
            settle_choices(&mut table, key);
        }
        overrides::check_keys(&table, &known, "the settings")?;
        table.try_into().map_err(invalid)
    }

    /// The complete configuration as TOML, with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is plain data")
    }

    /// A SHA-256 (hex) of everything that must not change when a run is resumed: all but `stop`,
    /// `log`, `plan`, the number of test and validation tasks, the validation schedule and the place
    /// of the data.
    pub fn hash(&self) -> String {
        let mut fixed = self.clone();
        fixed.stop = StopSpec::default();
        fixed.log = LogSpec::default();
        fixed.plan = PlanKind::Auto;
        fixed.eval.tasks = 0;
        fixed.eval.every = 0;
        fixed.eval.validation_tasks = 0;
        if let TaskSpec::Omniglot(spec) = &mut fixed.tasks {
            spec.data = None;
        }
        Sha256::digest(fixed.to_toml()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Support examples of a training task.
    pub fn support_samples(&self) -> usize {
        match &self.tasks {
            TaskSpec::Sine(spec) => spec.points,
            TaskSpec::Omniglot(spec) => spec.way * spec.train_shots,
        }
    }

    /// Support examples of a test task.
    pub fn eval_support_samples(&self) -> usize {
        match &self.tasks {
            TaskSpec::Sine(spec) => spec.shots,
            TaskSpec::Omniglot(spec) => spec.way * spec.shots,
        }
    }

    /// Inner steps K of a training task.
    pub fn inner_steps(&self) -> usize {
        self.inner.steps(self.support_samples())
    }

    /// Checks every value and returns the network.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key and the remedy, [`Error::Model`] for the network.
    pub fn validate(&self) -> Result<Model> {
        super::validate::validate(self)?;
        Model::new(self.model.clone())
    }
}

/// Where one key excludes others that a file may hold, setting it removes them.
fn settle_choices(table: &mut Table, key: &str) {
    let rival = match key {
        "inner.steps" => "epochs",
        "inner.epochs" => "steps",
        _ => return,
    };
    if let Some(inner) = table.get_mut("inner").and_then(toml::Value::as_table_mut) {
        inner.remove(rival);
    }
}

/// Every key that a configuration may hold: those of the presets with all optional keys set.
pub(crate) fn known_keys() -> BTreeSet<String> {
    const OPTIONAL: &str = r#"
        [inner]
        steps = 1
        epochs = 1
        schedule = { kind = "", final = 0.0, ratio = 0.5, every = 1, staircase = true }
        [outer]
        schedule = { kind = "", final = 0.0, ratio = 0.5, every = 1, staircase = true }
        [tasks]
        data = ""
        train_classes = ""
        test_classes = ""
        [stop]
        seconds = 1.0
        target = 1.0
        patience = 1
    "#;
    let table = |text: &str| toml::from_str::<Table>(text).expect("a constant of this crate");
    let mut known = overrides::keys(&table(OPTIONAL));
    for name in presets::names() {
        let text = presets::get(name).expect("a name of the list");
        // Written out again, so that defaults appear; not through `from_toml`, which asks here.
        let config: Config = table(text).try_into().expect("presets are valid");
        known.extend(overrides::keys(&table(&config.to_toml())));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine() -> &'static str {
        presets::get("sine").unwrap()
    }

    fn with(assignments: &[(&str, &str)]) -> Result<Config> {
        let list: Vec<_> =
            assignments.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::with_overrides(sine(), "preset sine", &list)
    }

    #[test]
    fn overrides_reach_every_kind_of_key() {
        let config = with(&[
            ("model.layers.0.units", "32"),
            ("inner.optimizer", "adam"),
            ("inner.rate", "1"),
            ("inner.steps", "7"),
            ("outer.schedule", "{ kind = 'cosine', final = 0.01 }"),
            ("stop.patience", "3"),
        ])
        .unwrap();
        assert_eq!(config.inner.steps, Some(7));
        assert_eq!(config.inner.epochs, None, "steps replace epochs");
        assert_eq!(config.inner.rate, 1.0);
        assert_eq!(config.stop.patience, Some(3));
        assert!(config.to_toml().contains("units = 32"));
    }

    #[test]
    fn unknown_keys_are_named_with_their_neighbours() {
        let text = with(&[("inner.lr", "1")]).unwrap_err().to_string();
        assert!(text.contains("inner.lr"), "{text}");
        let text = with(&[("outer.metabatch", "1")]).unwrap_err().to_string();
        assert!(text.contains("outer.meta_batch"), "{text}");
        let file = sine().replace("rate = 0.02", "raet = 0.02");
        let text = Config::from_toml(&file, "mine.toml").unwrap_err().to_string();
        assert!(text.contains("mine.toml") && text.contains("`inner.rate`"), "{text}");
    }

    #[test]
    fn broken_files_name_their_origin() {
        let text = Config::from_toml("seed = ", "mine.toml").unwrap_err().to_string();
        assert!(text.contains("mine.toml"), "{text}");
        let text = with(&[("inner.batch", "many")]).unwrap_err().to_string();
        assert!(text.contains("batch"), "{text}");
    }

    #[test]
    fn the_hash_ignores_what_may_change_on_resume() {
        let hash = |assignments: &[(&str, &str)]| with(assignments).unwrap().hash();
        let plain = hash(&[]);
        assert_eq!(plain, hash(&[("log.every", "1"), ("stop.seconds", "5"), ("eval.tasks", "9")]));
        assert_ne!(plain, hash(&[("inner.rate", "0.03")]));
        assert_ne!(plain, hash(&[("seed", "1")]));
    }

    #[test]
    fn every_key_is_documented() {
        let text = include_str!("../../docs/config.md");
        for key in known_keys() {
            assert!(text.contains(&format!("`{key}`")), "docs/config.md does not name `{key}`");
        }
    }
}
