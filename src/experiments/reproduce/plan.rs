//! Which cells are to be trained and evaluated, and how.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::config::presets::{self, Preset};
use crate::error::{Error, Result};
use crate::meta::Schedule;
use crate::tasks::TaskSpec;

/// Validations of a training whose preset has none.
const VALIDATIONS: u64 = 20;
/// Tasks of a validation that are not gone below.
const FEWEST: u64 = 20;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Plan {
    /// Names of presets.
    pub cells: Vec<String>,
    /// Factor on the meta-iterations and on all that counts them.
    pub scale: f64,
    /// Seeds, the runs of one process.
    pub seeds: usize,
    /// Test tasks, instead of the presets' own.
    pub tasks: Option<usize>,
    /// Settings on top: dotted key, value.
    pub set: Vec<(String, String)>,
    /// Folder of the data set.
    pub data: Option<PathBuf>,
}

/// One training with the cells that are evaluated from it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Training {
    /// The preset that is trained, and the name of its folder.
    pub preset: &'static Preset,
    /// Presets that share it; they differ in their mode of evaluation.
    pub cells: Vec<&'static Preset>,
    /// The preset's configuration with the plan's scale, seeds and settings.
    pub config: Config,
}

impl Plan {
    /// The presets `cells` as they are, with one seed each.
    pub fn new(cells: Vec<String>) -> Self {
        Self { cells, scale: 1.0, seeds: 1, tasks: None, set: Vec::new(), data: None }
    }

    /// The plan in `folder`.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none or it is damaged, [`Error::Io`].
    pub fn load(folder: &Path) -> Result<Self> {
        super::load(folder)?.ok_or_else(|| {
            let message = format!("holds no reproduction: {} is missing", super::FILE);
            Error::data(folder, message)
        })
    }

    /// Stores it in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        super::save(folder, self)
    }

    /// Adds cells that are not in it.
    pub fn add(&mut self, cells: &[String]) {
        for cell in cells {
            if !self.cells.contains(cell) {
                self.cells.push(cell.clone());
            }
        }
    }

    /// The trainings, each once and with a checked configuration. A cell brings its transductive twin.
    ///
    /// # Errors
    /// [`Error::Config`] for unknown cells and impossible values.
    pub fn trainings(&self) -> Result<Vec<Training>> {
        if !(self.scale.is_finite() && self.scale > 0.0) {
            let message = format!("{} is not possible; give a number above 0", self.scale);
            return Err(Error::config("scale", message));
        }
        let mut trainings: Vec<Training> = Vec::new();
        for name in &self.cells {
            let cell = presets::find(name)?;
            let preset = presets::find(cell.training())?;
            if !trainings.iter().any(|training| training.preset.name() == preset.name()) {
                let config = self.config(preset)?;
                config.validate()?;
                trainings.push(Training { preset, cells: Vec::new(), config });
            }
        }
        let sets: BTreeSet<&str> = trainings.iter().filter_map(|it| data_set(&it.config)).collect();
        if self.data.is_some() && sets.len() > 1 {
            let message = format!(
                "the cells need several data sets ({}); leave it out and set REPTILE_DATA to \
                 the folder above them",
                sets.into_iter().collect::<Vec<_>>().join(", ")
            );
            return Err(Error::config("cells' data", message));
        }
        for training in &mut trainings {
            let name = training.preset.name();
            let both = self.cells.iter().any(|cell| cell == name);
            let wanted = |cell: &&Preset| {
                cell.training() == name && (both || self.cells.iter().any(|own| own == cell.name()))
            };
            training.cells = presets::all().iter().filter(wanted).collect();
        }
        Ok(trainings)
    }

    /// The configuration under which `preset` is trained.
    fn config(&self, preset: &Preset) -> Result<Config> {
        let text = self.scaled(preset.config()?).to_toml();
        let mut settings = vec![("runs".to_string(), self.seeds.to_string())];
        settings.extend(self.tasks.map(|tasks| ("eval.tasks".to_string(), tasks.to_string())));
        if let (Some(data), Some(_)) = (&self.data, data_set(&preset.config()?)) {
            settings.push(("tasks.data".into(), data.display().to_string()));
        }
        settings.extend(self.set.iter().cloned());
        let mut config =
            Config::with_overrides(&text, &format!("preset {}", preset.name()), &settings)?;
        config.make_paths_absolute(None)?;
        Ok(config)
    }

    /// `config` with all that counts meta-iterations scaled, and with validations.
    fn scaled(&self, mut config: Config) -> Config {
        let scaled = |count: u64| ((count as f64 * self.scale).round() as u64).max(1);
        config.iterations = scaled(config.iterations);
        config.log.every = scaled(config.log.every);
        for schedule in [&mut config.inner.schedule, &mut config.outer.schedule] {
            if let Schedule::Exponential { every, .. } = schedule {
                *every = scaled(*every);
            }
        }
        config.eval.every = match config.eval.every {
            0 => (config.iterations / VALIDATIONS).max(1),
            every => scaled(every),
        };
        limit_validations(&mut config);
        config
    }
}

/// Keeps the inner steps of validations to a quarter of those of training: by fewer tasks, down to
/// [`FEWEST`], then by fewer validations, down to two.
fn limit_validations(config: &mut Config) {
    let work = (config.outer.meta_batch as u64).saturating_mul(config.inner_steps() as u64).max(1);
    let steps = (config.eval.steps as u64).max(1);
    let validations = (config.iterations / config.eval.every).max(1);
    let tasks = config.iterations.saturating_mul(work) / (4 * steps * validations);
    let most = config.eval.validation_tasks as u64;
    let tasks = tasks.clamp(FEWEST.min(most), most);
    config.eval.validation_tasks = tasks as usize;
    let every = (4 * tasks * steps).div_ceil(work).min(config.iterations / 2);
    config.eval.every = config.eval.every.max(every);
}

/// The data set that `config` needs, by the name of its folder below REPTILE_DATA.
fn data_set(config: &Config) -> Option<&str> {
    match &config.tasks {
        TaskSpec::Omniglot(_) => Some("omniglot"),
        TaskSpec::Images(spec) => spec.set.as_deref(),
        _ => None,
    }
}

/// The data set of `config` and where it should be, if it is not there.
pub fn missing_data(config: &Config) -> Option<String> {
    let name = data_set(config)?;
    let below = || std::env::var_os("REPTILE_DATA").map(|root| Path::new(&root).join(name));
    let named = config.tasks.data().map(Path::to_path_buf);
    match named.or_else(below) {
        Some(folder) if folder.is_dir() => None,
        Some(folder) => Some(format!("{name} in {}", folder.display())),
        None => Some(name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cells: &[&str], scale: f64) -> Plan {
        let cells = cells.iter().map(|cell| cell.to_string()).collect();
        Plan { scale, seeds: 2, tasks: Some(7), ..Plan::new(cells) }
    }

    fn names(training: &Training) -> Vec<&str> {
        training.cells.iter().map(|cell| cell.name()).collect()
    }

    #[test]
    fn twins_share_a_training_and_a_plain_cell_brings_its_twin() {
        let cells = ["sine", "omniglot-5w1s-t", "omniglot-5w1s", "omniglot-5w5s-t", "sine"];
        let trainings = plan(&cells, 1.0).trainings().unwrap();
        assert_eq!(trainings.len(), 3);
        assert_eq!(names(&trainings[0]), ["sine"]);
        assert_eq!(names(&trainings[1]), ["omniglot-5w1s", "omniglot-5w1s-t"]);
        assert_eq!(names(&trainings[2]), ["omniglot-5w5s-t"]);
        for training in &trainings {
            assert!(!training.config.eval.transductive);
            assert_eq!((training.config.runs, training.config.eval.tasks), (2, 7));
        }
    }

    #[test]
    fn everything_that_counts_iterations_is_scaled() {
        let trainings =
            plan(&["omniglot-mlp-10w", "omniglot-5w1s", "sine"], 0.01).trainings().unwrap();
        let [stairs, omniglot, sine] = &trainings[..] else { panic!("three trainings") };
        assert_eq!(stairs.config.iterations, 100);
        assert!(matches!(
            stairs.config.outer.schedule,
            Schedule::Exponential { every: 10, staircase: true, .. }
        ));
        for config in [&omniglot.config, &sine.config] {
            assert_eq!(config.log.every, 1);
        }
        assert_eq!((omniglot.config.iterations, sine.config.iterations), (1000, 300));
        let tiny = plan(&["sine"], 1e-9).trainings().unwrap();
        assert_eq!((tiny[0].config.iterations, tiny[0].config.eval.every), (1, 1));
    }

    /// Iterations, their inner steps, and those of all validations.
    #[test]
    fn validations_take_a_quarter_of_the_steps_or_less() {
        let validations = |cell: &str, scale: f64| {
            let config = plan(&[cell], scale).trainings().unwrap()[0].config.clone();
            let eval = &config.eval;
            (eval.every, eval.validation_tasks, config)
        };
        let (every, tasks, _) = validations("omniglot-5w1s", 1.0);
        assert_eq!((every, tasks), (5000, 100), "as the preset has it");
        let (every, tasks, _) = validations("omniglot-5w1s", 0.1);
        assert_eq!((every, tasks), (500, 62));
        let (every, tasks, _) = validations("omniglot-5w1s", 0.01);
        assert_eq!((every, tasks), (160, 20));
        assert_eq!(validations("sine", 0.001).0, 15, "two at least");
        for cell in ["omniglot-20w5s", "cifar-fs-5w1s", "gradcomb-g1", "sine"] {
            let (every, tasks, config) = validations(cell, 0.2);
            let work = config.outer.meta_batch * config.inner_steps() * config.iterations as usize;
            let steps = tasks * config.eval.steps * (config.iterations / every) as usize;
            assert!(4 * steps <= work, "{cell}: {steps} of {work}");
        }
    }

    #[test]
    fn settings_come_last_and_impossible_plans_are_refused() {
        let mut plan = plan(&["omniglot-mlp-5w1s", "sine"], 0.5);
        plan.set = vec![("iterations".into(), "3".into())];
        plan.data = Some("/data".into());
        let trainings = plan.trainings().unwrap();
        assert!(trainings.iter().all(|training| training.config.iterations == 3));
        assert_eq!(missing_data(&trainings[0].config).unwrap(), "omniglot in /data");
        assert_eq!(missing_data(&trainings[1].config), None);
        for scale in [0.0, -1.0, f64::NAN] {
            let text = Plan { scale, ..plan.clone() }.trainings().unwrap_err().to_string();
            assert!(text.contains("`scale`"), "{text}");
        }
        let text = Plan { seeds: 0, ..plan.clone() }.trainings().unwrap_err().to_string();
        assert!(text.contains("runs"), "{text}");
        let unknown = Plan { cells: vec!["omniglot-5w2s".into()], ..plan };
        assert!(unknown.trainings().unwrap_err().to_string().contains("`omniglot-5w1s`"));
    }
}
