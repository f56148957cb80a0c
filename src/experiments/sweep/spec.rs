//! The file of a sweep: a base configuration, the keys to vary with their values, and how to search.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::{Config, overrides, presets};
use crate::disk::text_file;
use crate::error::{Error, Result};
use crate::experiments::sweep::values::Choice;
use crate::rng::{Part, Phase, Stream};

/// Keys that may vary: none of them changes the shape of a network or of a task.
const KEYS: [&str; 5] = ["inner.rate", "inner.steps", "inner.batch", "outer.rate", "strategy.rate"];
/// Runs of a sweep at most: configurations × seeds.
pub(super) const MOST_RUNS: usize = 4096;

/// How trials are chosen and given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// All combinations of the values, each trained to its end.
    #[default]
    Grid,
    /// So many combinations drawn at random.
    Random,
    /// Successive halving: a share 1/η of the trials goes on after each rung, to η times as many
    /// meta-iterations (Li et al. 2018, arXiv 1810.05934, in its synchronous form). The trials are the
    /// grid, or drawn, if `samples` is set.
    Halving,
}

/// What a sweep's file says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SweepSpec {
    /// The preset that all trials share, or
    preset: Option<String>,
    /// the configuration file, relative to the sweep's.
    config: Option<PathBuf>,
    /// `key=value` on top of it.
    #[serde(default)]
    set: Vec<String>,
    /// Seeds of every configuration: that of the base, and the ones after it. Default 1.
    #[serde(default = "one")]
    pub seeds: usize,
    /// Default grid.
    #[serde(default)]
    pub search: Method,
    /// Configurations that are drawn.
    samples: Option<usize>,
    /// What they are drawn from. Default 0.
    #[serde(default)]
    seed: u64,
    /// Halving: trials for one that goes on. Default 3.
    #[serde(default = "three")]
    eta: u64,
    /// Halving: meta-iterations of the first rung.
    first: Option<u64>,
    /// Key: a list of values, `{ log = [from, to], count = n }` or `{ linear = [from, to], count = n }`.
    values: Table,
}

fn one() -> usize {
    1
}

fn three() -> u64 {
    3
}

/// One configuration of a sweep.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// The keys that vary, with this trial's values.
    pub values: BTreeMap<String, Value>,
    /// All of it, with one run.
    pub config: Config,
}

impl SweepSpec {
    /// Reads the text of a sweep's file; `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`] for unknown keys and wrong types.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let message = error.to_string().trim_end().replace('\n', " ");
            Error::config(origin, format!("{message}; see docs/sweep.md"))
        })
    }

    /// The configuration that all trials share, with absolute paths. Files are looked up beside `folder`.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no base or two, if it has several runs, or as
    /// [`Config::with_overrides`]; [`Error::Io`].
    pub fn base(&self, folder: &Path) -> Result<Config> {
        let (text, origin) = match (&self.preset, &self.config) {
            (Some(name), None) => {
                let text = presets::get(name).map_err(|error| named("preset", error))?;
                (text.to_string(), format!("preset {name}"))
            }
            (None, Some(file)) => {
                let path = folder.join(file);
                (text_file::read(&path)?, path.display().to_string())
            }
            _ => {
                let message = "give one of `preset` and `config`";
                return Err(Error::config("the sweep's base", message));
            }
        };
        let set: Result<Vec<_>> =
            self.set.iter().map(|text| overrides::parse_assignment(text)).collect();
        let set = set.map_err(|error| named("set", error))?;
        let mut config = Config::with_overrides(&text, &origin, &set)?;
        config
            .make_paths_absolute(self.config.as_ref().map(|file| folder.join(file)).as_deref())?;
        if config.runs != 1 {
            let message = "a sweep trains every configuration with `seeds` seeds; leave runs at 1";
            return Err(Error::config("runs", message));
        }
        Ok(config)
    }

    /// The trials on top of `base`, in a fixed order, each checked.
    ///
    /// # Errors
    /// [`Error::Config`] for keys that may not vary, values that are none, or too many trials.
    pub fn trials(&self, base: &Config) -> Result<Vec<Trial>> {
        let choices = self.choices()?;
        let combinations = match (self.search, self.samples) {
            (Method::Grid, None) | (Method::Halving, None) => grid(&choices)?,
            (Method::Grid, Some(_)) => {
                let message = "a grid takes all combinations; leave it out, or search at random";
                return Err(Error::config("samples", message));
            }
            (_, Some(count @ 1..=MOST_RUNS)) => self.draw(&choices, count)?,
            (Method::Random, None) | (_, Some(_)) => {
                let message = format!("say how many configurations to draw, 1 to {MOST_RUNS}");
                return Err(Error::config("samples", message));
            }
        };
        let runs = self.seeds.checked_mul(combinations.len());
        if !runs.is_some_and(|runs| (1..=MOST_RUNS).contains(&runs)) {
            let message = format!(
                "{} seeds of {} configurations; a sweep has 1 to {MOST_RUNS} runs",
                self.seeds,
                combinations.len()
            );
            return Err(Error::config("seeds", message));
        }
        if base.seed > i64::MAX as u64 - self.seeds as u64 {
            return Err(Error::config("seed", "of the base leaves no room for the seeds after it"));
        }
        let text = base.to_toml();
        let trial = |values: BTreeMap<String, Value>| -> Result<Trial> {
            let set: Vec<_> = values.iter().map(|(k, v)| (k.clone(), v.to_string())).collect();
            let config = Config::with_overrides(&text, "the sweep's base", &set)?;
            config.validate()?;
            Ok(Trial { values, config })
        };
        combinations.into_iter().map(trial).collect()
    }

    /// Meta-iterations after which trials are compared, the last of them `iterations`; how many of
    /// `trials` take part in each.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible numbers of halving.
    pub fn rungs(&self, iterations: u64, trials: usize) -> Result<Vec<(u64, usize)>> {
        if self.search != Method::Halving {
            if self.first.is_some() {
                let message = "only `search = \"halving\"` has rungs; leave it out";
                return Err(Error::config("first", message));
            }
            return Ok(vec![(iterations, trials)]);
        }
        if self.eta < 2 {
            return Err(Error::config("eta", "must be at least 2"));
        }
        let Some(first @ 1..) = self.first else {
            let message = "give the meta-iterations of the first rung, at least 1";
            return Err(Error::config("first", message));
        };
        if first > iterations {
            let message = format!("{first} is more than the {iterations} of the base");
            return Err(Error::config("first", message));
        }
        let (mut rungs, mut budget, mut left) = (Vec::new(), first, trials);
        while left > 1 && budget < iterations {
            rungs.push((budget, left));
            left = left.div_ceil(self.eta as usize);
            budget = budget.saturating_mul(self.eta);
        }
        rungs.push((iterations, left));
        Ok(rungs)
    }

    fn choices(&self) -> Result<BTreeMap<String, Choice>> {
        let mut flat = BTreeMap::new();
        flatten(&self.values, "", &mut flat);
        if flat.is_empty() {
            return Err(Error::config("values", "names no key to vary; see docs/sweep.md"));
        }
        let choice = |(key, value): (String, Value)| {
            if !KEYS.contains(&key.as_str()) {
                let message = format!(
                    "a sweep varies {}; others change shapes or what is compared, or are not \
                     searched: set them for all with `set`",
                    KEYS.join(", ")
                );
                return Err(Error::config(format!("values.{key}"), message));
            }
            Ok((key.clone(), Choice::read(&key, &value)?))
        };
        flat.into_iter().map(choice).collect()
    }

    /// So many different combinations.
    fn draw(
        &self,
        choices: &BTreeMap<String, Choice>,
        count: usize,
    ) -> Result<Vec<BTreeMap<String, Value>>> {
        let of_trial = |trial: usize| {
            let stream = Stream::new(self.seed, Phase::Search, 0, trial as u32);
            let uniform = stream.draws(Part::Task).random_iter::<f32>();
            let drawn = choices.iter().zip(uniform);
            drawn.map(|((key, choice), u)| (key.clone(), choice.at(f64::from(u)))).collect()
        };
        let (mut drawn, mut seen) = (Vec::new(), BTreeSet::new());
        for trial in 0..64 * count {
            let values: BTreeMap<String, Value> = of_trial(trial);
            if drawn.len() < count && seen.insert(format!("{values:?}")) {
                drawn.push(values);
            }
        }
        if drawn.len() < count {
            let message = format!("there are only {} different configurations", drawn.len());
            return Err(Error::config("samples", message));
        }
        Ok(drawn)
    }
}

/// `error` under the key of the sweep's file instead of a flag.
fn named(key: &str, error: Error) -> Error {
    match error {
        Error::Config { message, .. } => Error::config(key, message),
        error => error,
    }
}

/// Dotted keys of nested tables; a table with a range is a value.
fn flatten(table: &Table, prefix: &str, flat: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) if !inner.contains_key("log") && !inner.contains_key("linear") => {
                flatten(inner, &key, flat);
            }
            value => {
                flat.insert(key, value.clone());
            }
        }
    }
}

/// All combinations, the last key's values fastest; a combination that is listed twice counts once.
fn grid(choices: &BTreeMap<String, Choice>) -> Result<Vec<BTreeMap<String, Value>>> {
    let mut all = vec![BTreeMap::new()];
    for (key, choice) in choices {
        let values = choice.all(key)?;
        if all.len() * values.len() > MOST_RUNS {
            let message = format!("more than {MOST_RUNS} combinations; take fewer values");
            return Err(Error::config("values", message));
        }
        let with = |trial: &BTreeMap<String, Value>| {
            let trial = trial.clone();
            let key = key.clone();
            values.iter().map(move |value| {
                let mut trial = trial.clone();
                trial.insert(key.clone(), value.clone());
                trial
            })
        };
        all = all.iter().flat_map(|trial| with(trial).collect::<Vec<_>>()).collect();
    }
    let mut seen = BTreeSet::new();
    all.retain(|trial| seen.insert(format!("{trial:?}")));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(text: &str) -> Result<Vec<Trial>> {
        let spec = SweepSpec::from_toml(text, "test")?;
        spec.trials(&spec.base(Path::new("."))?)
    }

    fn message(text: &str) -> String {
        trials(text).unwrap_err().to_string()
    }

    #[test]
    fn a_grid_has_all_combinations_in_order() {
        let trials = trials(
            "preset = \"sine\"\nset = [\"iterations=50\"]\n[values]\n\
             inner.rate = { log = [0.001, 0.1], count = 3 }\nouter.rate = [0.5, 1.0]",
        )
        .unwrap();
        let rates: Vec<[f32; 2]> =
            trials.iter().map(|trial| [trial.config.inner.rate, trial.config.outer.rate]).collect();
        let wanted = [[0.001, 0.5], [0.001, 1.0], [0.01, 0.5], [0.01, 1.0], [0.1, 0.5], [0.1, 1.0]];
        assert_eq!(rates, wanted);
        assert!(trials.iter().all(|trial| trial.config.iterations == 50));
    }

    #[test]
    fn draws_lie_in_their_ranges_and_depend_on_the_seed() {
        let draw = |seed| {
            let text = format!(
                "preset = \"sine\"\nsearch = \"random\"\nsamples = 40\nseed = {seed}\n[values]\n\
                 inner.rate = {{ log = [0.001, 0.1] }}\ninner.steps = {{ linear = [2, 9] }}"
            );
            trials(&text).unwrap()
        };
        let drawn = draw(1);
        assert_eq!(drawn.len(), 40);
        let steps: BTreeSet<usize> = drawn.iter().map(|trial| trial.config.inner_steps()).collect();
        assert!(steps.len() > 4 && steps.iter().all(|steps| (2..=9).contains(steps)), "{steps:?}");
        let small = drawn.iter().filter(|trial| trial.config.inner.rate < 0.01).count();
        assert!((10..=30).contains(&small), "half of a logarithmic range: {small}");
        assert_eq!(draw(1), drawn);
        assert_ne!(draw(2), drawn);
    }

    #[test]
    fn halving_gives_up_all_but_a_share_at_each_rung() {
        let spec = SweepSpec::from_toml(
            "preset = \"sine\"\nsearch = \"halving\"\nfirst = 100\n[values]\ninner.rate = [0.1]",
            "test",
        )
        .unwrap();
        assert_eq!(spec.rungs(2000, 27).unwrap(), [(100, 27), (300, 9), (900, 3), (2000, 1)]);
        assert_eq!(spec.rungs(150, 27).unwrap(), [(100, 27), (150, 9)]);
        assert!(spec.rungs(50, 27).unwrap_err().to_string().contains("first"));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for (text, parts) in [
            (
                "preset = \"sine\"\nseeds = 5000\n[values]\ninner.rate = [0.1]",
                ["seeds", "4096 runs"],
            ),
            (
                "preset = \"sine\"\nsearch = \"random\"\nsamples = 3\n[values]\n\
                 inner.rate = [0.1, 0.2]",
                ["samples", "only 2"],
            ),
            ("preset = \"sin\"\n[values]\ninner.rate = [0.1]", ["`preset`", "sine"]),
        ] {
            let message = message(text);
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_swept_is_refused_by_name() {
        for (text, parts) in [
            (
                "preset = \"sine\"\n[values]\nmodel.input = [[1]]",
                ["values.model.input", "change shapes"],
            ),
            ("preset = \"sine\"\n[values]", ["values", "no key"]),
            ("[values]\ninner.rate = [0.1]", ["base", "preset"]),
            ("preset = \"sine\"\n[values]\ninner.rate = 0.1", ["values.inner.rate", "give a list"]),
            (
                "preset = \"sine\"\n[values]\ninner.rate = { log = [0, 1], count = 3 }",
                ["values.inner.rate", "above 0"],
            ),
            (
                "preset = \"sine\"\n[values]\ninner.rate = { log = [0.1, 1] }",
                ["values.inner.rate", "count"],
            ),
            ("preset = \"sine\"\n[values]\ninner.rate = [-1.0]", ["inner.rate", "-1"]),
            (
                "preset = \"sine\"\nsearch = \"random\"\n[values]\ninner.rate = [0.1]",
                ["samples", "draw"],
            ),
            (
                "preset = \"sine\"\nset = [\"runs=2\"]\n[values]\ninner.rate = [0.1]",
                ["runs", "seeds"],
            ),
            (
                "preset = \"sine\"\nsede = 1\n[values]\ninner.rate = [0.1]",
                ["sede", "docs/sweep.md"],
            ),
        ] {
            let message = message(text);
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}
