//! Every setting of a run, with its default (docs/config.md).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::meta::{
    EvalSpec, InnerSpec, MemorySpec, Origin, OuterSpec, PlanKind, StopSpec, StrategySpec,
    TrainerSetup,
};
use crate::model::{Model, ModelSpec};
use crate::tasks::{Batches, TaskSpec};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Seed of run 0, at most 2⁶³ − 1 (TOML's integers); run r has `seed + r`. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Independent runs R in one process. Default 1.
    #[serde(default = "one")]
    pub runs: usize,
    /// Meta-iterations, fewer than 2³² (the device counts in 32 bits).
    pub iterations: u64,
    /// How the inner loops run. Default auto.
    #[serde(default)]
    pub plan: PlanKind,
    /// The network.
    pub model: ModelSpec,
    /// Where tasks come from.
    pub tasks: TaskSpec,
    /// The learner of one task.
    pub inner: InnerSpec,
    /// The meta-learner.
    pub outer: OuterSpec,
    /// How inner rates and the outer direction are learned. Default: not at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: StrategySpec,
    /// The ring of adapted parameter sets. Default: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: MemorySpec,
    /// Adaptation to test and validation tasks.
    pub eval: EvalSpec,
    /// When to stop early. Default: never.
    #[serde(default)]
    pub stop: StopSpec,
    /// What is written to the run's folder.
    #[serde(default)]
    pub log: LogSpec,
}

/// `[log]`: what is written to the run's folder, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogSpec {
    /// A line of metrics every so many meta-iterations (means since the line before). Default 10.
    pub every: u64,
    /// The inner losses of each step every so many meta-iterations; 0 = never. Default 0.
    pub inner: u64,
    /// A checkpoint every so many meta-iterations. Default 1000.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the newest ones. Default 3.
    pub keep: usize,
    /// Also write TensorBoard's event files. Default false.
    pub tensorboard: bool,
    /// In each line of metrics also norms and products of gradients and the spread of the tasks, by layer; the plan
    /// is then layered. Default false.
    #[serde(skip_serializing_if = "is_default")]
    pub telemetry: bool,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self {
            every: 10,
            inner: 0,
            checkpoint_every: 1000,
            keep: 3,
            tensorboard: false,
            telemetry: false,
        }
    }
}

fn one() -> usize {
    1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Config {
    /// The complete configuration as TOML, with every default written out.
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

    /// Support examples of a training task.
    pub fn support_samples(&self) -> usize {
        let [way, group, _] = self.tasks.groups();
        way.saturating_mul(group)
    }

    /// Support examples of a test task.
    pub fn eval_support_samples(&self) -> usize {
        let [way, _, group] = self.tasks.groups();
        way.saturating_mul(group)
    }

    /// Inner steps K of a training task.
    pub fn inner_steps(&self) -> usize {
        self.inner.steps(self.support_samples())
    }

    /// What a trainer of `model` on tasks of `origin` is made from.
    pub fn trainer_setup(&self, model: Model, origin: Origin) -> TrainerSetup {
        let [way, group, _] = self.tasks.groups();
        let query = self.strategy.has_query();
        TrainerSetup {
            model,
            seed: self.seed,
            runs: self.runs,
            own: Vec::new(),
            iterations: self.iterations,
            plan: self.plan,
            inner: self.inner.clone(),
            outer: self.outer.clone(),
            strategy: self.strategy.clone(),
            memory: self.memory.clone(),
            telemetry: self.log.telemetry,
            batches: Batches {
                way,
                group,
                tail: if query { self.strategy.query_shots } else { self.outer.tail_shots },
                steps: self.inner_steps() + usize::from(query),
                batch: self.inner.batch,
                replacement: self.inner.replacement,
            },
            origin,
        }
    }
}
