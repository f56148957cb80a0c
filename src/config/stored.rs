//! What a run keeps of its configuration: the text, a hash, paths that hold from everywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::settings::{Config, LogSpec};
use crate::error::{Error, Result};
use crate::meta::{PlanKind, StopSpec, StrategyKind};
use crate::tasks::TaskSpec;

impl Config {
    /// The complete configuration as TOML, with every default written out but those that depend on other keys, as
    /// `strategy.rate` on the strategy's kind.
    ///
    /// # Panics
    /// If a number or path has no form in TOML; [`Config::validate`] refuses those.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is plain data")
    }

    /// Makes the paths of the data set and of class lists absolute, as seen from the working directory or, where nothing is
    /// there, from the folder of the configuration's file `beside`: so that every later command finds them from wherever it
    /// runs.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no working directory.
    pub fn make_paths_absolute(&mut self, beside: Option<&Path>) -> Result<()> {
        let folder = beside.and_then(Path::parent);
        for path in self.tasks.paths_mut() {
            let near = folder.map(|folder| folder.join(&path)).filter(|near| near.exists());
            let seen = near.filter(|_| !path.exists()).unwrap_or_else(|| path.clone());
            let absolute = std::path::absolute(&seen).map_err(Error::io(&seen))?;
            // Without a way over folders that may be renamed.
            let back = absolute.components().any(|part| part == std::path::Component::ParentDir);
            let real = back.then(|| absolute.canonicalize().ok()).flatten();
            *path = real.unwrap_or(absolute);
        }
        Ok(())
    }

    /// A SHA-256 (hex) of everything that must not change when a run is resumed: all but `stop`,
    /// `log`, `plan`, the number of test and validation tasks, the validation schedule, the c of ARUBA++ and the
    /// place of the data.
    pub fn hash(&self) -> String {
        let mut fixed = self.clone();
        fixed.stop = StopSpec::default();
        fixed.log = LogSpec::default();
        fixed.plan = PlanKind::Auto;
        fixed.eval.tasks = 0;
        fixed.eval.every = 0;
        fixed.eval.validation_tasks = 0;
        fixed.strategy.refine = 0.0;
        if fixed.strategy.kind != StrategyKind::None {
            // What is left open is the kind's own, however it was written.
            fixed.strategy.rate = Some(fixed.strategy.rate());
            fixed.strategy.guard = Some(fixed.strategy.guard());
        }
        fixed.tasks.forget_data();
        Sha256::digest(fixed.to_toml()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a run under this configuration is one under `other`, longer or shorter. Class lists do not count: the
    /// classes are stored with the run.
    pub fn is_same_run_as(&self, other: &Self) -> bool {
        let [a, b] = [(self, other), (other, self)].map(|(config, beside)| {
            let mut fixed = Self { iterations: 0, ..config.clone() };
            // What one leaves to the files, the other knows from them.
            beside.known_sizes().into_iter().for_each(|sizes| fixed.take_sizes(sizes));
            if let TaskSpec::Omniglot(spec) = &mut fixed.tasks {
                (spec.train_classes, spec.test_classes) = (None, None);
            }
            fixed.hash()
        });
        a == b
    }

    /// The keys whose values are not those of `other`, each as `key = value` here.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let values = |config: &Self| {
            let mut values = BTreeMap::new();
            let table = toml::Value::try_from(config).expect("a configuration is plain data");
            flatten(String::new(), table, &mut values);
            values
        };
        let (own, other) = (values(self), values(other));
        let changed = own.iter().filter(|(key, value)| other.get(*key) != Some(value));
        let removed = other.keys().filter(|key| !own.contains_key(*key));
        let changed = changed.map(|(key, value)| format!("{key} = {value}"));
        changed.chain(removed.map(|key| format!("without {key}"))).collect()
    }

    /// The sizes that the files of arrays say, where the configuration leaves them open: classes of a task, support
    /// examples of a training task, queries of a test task.
    pub(super) fn take_sizes(&mut self, [way, train_shots, queries]: [usize; 3]) {
        if let TaskSpec::Arrays(spec) = &mut self.tasks {
            spec.way.get_or_insert(way);
            spec.train_shots.get_or_insert(train_shots);
            spec.queries.get_or_insert(queries);
        }
    }

    /// Those sizes, where they are known.
    fn known_sizes(&self) -> Option<[usize; 3]> {
        let TaskSpec::Arrays(spec) = &self.tasks else { return None };
        Some([spec.way?, spec.train_shots?, spec.queries?])
    }

    /// The files of class lists, as absolute paths as far as there is a working directory.
    pub fn class_lists(&self) -> [Option<PathBuf>; 2] {
        let TaskSpec::Omniglot(spec) = &self.tasks else { return [None, None] };
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let test_classes = match spec.tests_training_classes() {
            true => spec.test_classes.clone(),
            false => spec.test_classes.as_ref().map(absolute),
        };
        [spec.train_classes.as_ref().map(absolute), test_classes]
    }
}

/// The values in `value` by their dotted keys, elements of lists by their numbers.
fn flatten(key: String, value: toml::Value, all: &mut BTreeMap<String, String>) {
    let below =
        |name: &str| if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
    match value {
        toml::Value::Table(table) => {
            table.into_iter().for_each(|(name, value)| flatten(below(&name), value, all));
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            let numbered = list.into_iter().enumerate();
            numbered.for_each(|(place, value)| flatten(below(&place.to_string()), value, all));
        }
        value => {
            all.insert(key, value.to_string());
        }
    }
}
