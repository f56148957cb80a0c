//! Values that cannot be: each check names the key and the remedy.

mod optimizers;
mod strategy;
mod tasks;

use crate::checks::{ordered, positive};
use crate::config::settings::Config;
use crate::error::{Error, Result};
use crate::meta::{Algorithm, InnerSpec, OuterSpec};
use crate::model::{Loss, Model};
use crate::tasks::TaskSpec;

impl Config {
    /// Checks every value and returns the network. What the files of arrays say (their tasks' sizes) is checked once
    /// they have been read, by [`crate::config::Job`].
    ///
    /// # Errors
    /// [`Error::Config`] that names the key and the remedy, [`Error::Model`] for the network.
    pub fn validate(&self) -> Result<Model> {
        let model = Model::new(self.model.clone())?;
        let mut config = self.clone();
        if let TaskSpec::Arrays(spec) = &mut config.tasks {
            // Until then there is room for all.
            spec.way.get_or_insert(1);
            spec.train_shots.get_or_insert(UNKNOWN);
            spec.queries.get_or_insert(1);
        }
        validate(&config, &model)?;
        Ok(model)
    }
}

/// The examples of a task of which the number is not known yet.
const UNKNOWN: usize = 1 << 16;

fn validate(config: &Config, model: &Model) -> Result<()> {
    in_toml("seed", config.seed)?;
    count("runs", config.runs as u64)?;
    count("iterations", config.iterations)?;
    tasks::tasks(&config.tasks, model)?;
    inner(config, &config.inner)?;
    outer(config, &config.outer)?;
    strategy::strategy(config)?;
    config.memory.check(&config.outer)?;
    config.distributed.check()?;
    evaluation(config)?;
    products(config)?;
    at_least("log.every", config.log.every, 1)?;
    at_least("log.checkpoint_every", config.log.checkpoint_every, 1)?;
    at_least("log.keep", config.log.keep as u64, 1)
}

fn at_least(key: &str, value: u64, least: u64) -> Result<()> {
    if value >= least {
        return Ok(());
    }
    Err(Error::config(key, format!("{value} is too small; give {least} or more")))
}

/// A number that the device counts in 32 bits.
fn count(key: &str, value: u64) -> Result<()> {
    at_least(key, value, 1)?;
    if u32::try_from(value).is_ok() {
        return Ok(());
    }
    Err(Error::config(key, format!("{value} is too large; the device counts up to {}", u32::MAX)))
}

/// A number that a run's config.toml can hold.
fn in_toml(key: &str, value: u64) -> Result<()> {
    if i64::try_from(value).is_ok() {
        return Ok(());
    }
    Err(Error::config(key, format!("{value} is too large; give at most {}", i64::MAX)))
}

fn inner(config: &Config, spec: &InnerSpec) -> Result<()> {
    positive("inner.rate", spec.rate)?;
    spec.schedule.validate("inner.schedule")?;
    count("inner.batch", spec.batch as u64)?;
    match (spec.steps, spec.epochs) {
        (Some(_), Some(_)) => {
            return Err(Error::config("inner.steps", "give either steps or epochs, not both"));
        }
        (None, None) => return Err(Error::config("inner.steps", "give steps or epochs")),
        (Some(steps), None) => count("inner.steps", steps as u64)?,
        (None, Some(epochs)) => count("inner.epochs", epochs as u64)?,
    }
    if spec.replacement && spec.batch > config.support_samples() {
        let message = format!(
            "{} examples cannot be drawn without repeats from the {} of a task; lower it or set \
             inner.replacement = false",
            spec.batch,
            config.support_samples()
        );
        return Err(Error::config("inner.batch", message));
    }
    optimizers::inner(spec)?;
    positive("inner.weight_decay", spec.weight_decay)?;
    if spec.weight_decay > 1.0 {
        let message = "above 1 it would grow the parameters; it is their factor before each step";
        return Err(Error::config("inner.weight_decay", message));
    }
    Ok(())
}

/// Products that the device counts in 32 bits.
fn products(config: &Config) -> Result<()> {
    let (eval, outer) = (&config.eval, &config.outer);
    let places = "steps × batch, the length of a task's minibatches,";
    for (key, what, [one, other]) in [
        ("inner.steps", places, [config.inner_steps(), config.inner.batch]),
        ("eval.steps", places, [eval.steps, eval.batch]),
        ("outer.meta_batch", "runs × meta_batch", [config.runs, outer.meta_batch]),
    ] {
        let product = one.saturating_mul(other);
        if u32::try_from(product).is_err() {
            let message =
                format!("{what} is {product}; the device counts up to {}, lower one", u32::MAX);
            return Err(Error::config(key, message));
        }
    }
    Ok(())
}

fn outer(config: &Config, spec: &OuterSpec) -> Result<()> {
    positive("outer.rate", spec.rate)?;
    spec.schedule.validate("outer.schedule")?;
    count("outer.meta_batch", spec.meta_batch as u64)?;
    optimizers::outer(spec)?;
    if spec.tail_shots == 0 {
        return Ok(());
    }
    if spec.algorithm != Algorithm::Fomaml {
        return Err(Error::config("outer.tail_shots", "a tail needs algorithm = \"fomaml\""));
    }
    let [_, group, _] = config.tasks.groups();
    if spec.tail_shots >= group {
        let message = format!(
            "{} of the {group} examples of a class; leave some to train on",
            spec.tail_shots
        );
        return Err(Error::config("outer.tail_shots", message));
    }
    if config.inner_steps() < 2 {
        let message = "the tail is the last inner step; give inner.steps of 2 or more";
        return Err(Error::config("outer.tail_shots", message));
    }
    let pool = config.support_samples() / group * (group - spec.tail_shots);
    if config.inner.replacement && config.inner.batch > pool {
        let message = format!(
            "{} examples cannot be drawn from the {pool} before the tail",
            config.inner.batch
        );
        return Err(Error::config("inner.batch", message));
    }
    Ok(())
}

fn evaluation(config: &Config) -> Result<()> {
    let eval = &config.eval;
    let counts = [
        ("eval.tasks", eval.tasks),
        ("eval.steps", eval.steps),
        ("eval.batch", eval.batch),
        ("eval.validation_tasks", eval.validation_tasks),
    ];
    for (key, value) in counts {
        count(key, value as u64)?;
    }
    if eval.replacement && eval.batch > config.eval_support_samples() {
        let message = format!(
            "{} examples cannot be drawn without repeats from the {} of a test task; lower it",
            eval.batch,
            config.eval_support_samples()
        );
        return Err(Error::config("eval.batch", message));
    }
    stop_rules(config)
}

/// Seconds that a training may be given: thirty years.
const LONGEST: f64 = 1e9;

fn stop_rules(config: &Config) -> Result<()> {
    let (eval, stop) = (&config.eval, &config.stop);
    if stop.seconds.is_some_and(|seconds| !(seconds > 0.0 && seconds <= LONGEST)) {
        let message = format!("give a number of seconds above 0, {LONGEST:e} at most");
        return Err(Error::config("stop.seconds", message));
    }
    if let Some(target) = stop.target {
        let accuracy = config.model.loss == Loss::CrossEntropy;
        if accuracy && !(target > 0.0 && target <= 1.0) {
            let message = format!("{target} is no accuracy; give a share above 0 and up to 1");
            return Err(Error::config("stop.target", message));
        }
        if !(target.is_finite() && target >= 0.0) {
            let message = format!("{target} is no loss; give a number of 0 or more");
            return Err(Error::config("stop.target", message));
        }
    }
    if stop.patience == Some(0) {
        return Err(Error::config("stop.patience", "give 1 or more validations"));
    }
    if (stop.target.is_some() || stop.patience.is_some()) && eval.every == 0 {
        let message =
            "a target or patience needs validations: set eval.every to a number of iterations";
        return Err(Error::config("eval.every", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, presets};
    use crate::model::{Activation, Loss, ModelSpec, Padding};
    use crate::tasks::TaskSpec;

    /// A preset, assignments on top of it, and what the message must hold.
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

    /// The message that `assignments` on top of a preset meet.
    fn refused(preset: &str, assignments: &[(&str, &str)]) -> String {
        let list: Vec<_> =
            assignments.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let config = Config::with_overrides(presets::get(preset).unwrap(), preset, &list).unwrap();
        config.validate().expect_err("must be refused").to_string()
    }

    #[test]
    fn each_impossible_value_names_its_key() {
        let cases: [Case; 40] = [
            ("sine", &[("runs", "0")], "runs"),
            ("sine", &[("iterations", "0")], "iterations"),
            ("sine", &[("inner.rate", "0")], "inner.rate"),
            ("sine", &[("inner.momentum", "0.5")], "set inner.optimizer = \"momentum\""),
            ("sine", &[("inner.nesterov", "true")], "inner.nesterov"),
            ("sine", &[("inner.optimizer", "momentum"), ("inner.momentum", "1")], "inner.momentum"),
            ("sine", &[("inner.optimizer", "rmsprop"), ("inner.rho", "-0.5")], "inner.rho"),
            (
                "sine",
                &[("inner.optimizer", "adam"), ("inner.decoupled_weight_decay", "0.1")],
                "\"adam\" does not read it; leave it out, or set inner.optimizer = \"adamw\"",
            ),
            ("sine", &[("inner.rate", "nan")], "inner.rate"),
            ("sine", &[("inner.beta2", "1")], "inner.beta2"),
            ("sine", &[("inner.weight_decay", "1.1")], "inner.weight_decay"),
            ("sine", &[("inner.batch", "51"), ("inner.replacement", "true")], "inner.batch"),
            ("sine", &[("outer.meta_batch", "0")], "outer.meta_batch"),
            ("sine", &[("outer.tail_shots", "2")], "fomaml"),
            ("sine", &[("tasks.shots", "51")], "tasks.shots"),
            ("sine", &[("tasks.amplitude", "[2, 1]")], "tasks.amplitude"),
            ("sine", &[("model.input", "[2]")], "model"),
            ("sine", &[("stop.patience", "2")], "eval.every"),
            (
                "sine",
                &[("outer.schedule", "{ kind = 'linear', final = -1 }")],
                "outer.schedule.final",
            ),
            ("sine", &[("tasks.range", "[1, 1]")], "tasks.range"),
            ("sine", &[("runs", "4294967296")], "runs"),
            ("sine", &[("iterations", "4294967296")], "iterations"),
            ("sine", &[("stop.seconds", "1e20")], "stop.seconds"),
            ("sine", &[("stop.seconds", "inf")], "stop.seconds"),
            ("sine", &[("stop.seconds", "nan")], "stop.seconds"),
            ("sine", &[("stop.seconds", "0.0")], "stop.seconds"),
            ("sine", &[("inner.epochs", "4294967296")], "inner.epochs"),
            ("sine", &[("inner.steps", "4294967295")], "inner.steps"),
            ("sine", &[("inner.epochs", "4294967295")], "inner.steps"),
            ("sine", &[("eval.steps", "4294967295")], "eval.steps"),
            ("sine", &[("runs", "65536"), ("outer.meta_batch", "65536")], "runs × meta_batch"),
            ("sine", &[("stop.target", "-1"), ("eval.every", "1")], "stop.target"),
            ("sine", &[("stop.target", "nan"), ("eval.every", "1")], "stop.target"),
            ("omniglot-mlp-5w1s", &[("stop.target", "95"), ("eval.every", "1")], "stop.target"),
            ("omniglot-mlp-5w1s", &[("stop.target", "nan"), ("eval.every", "1")], "stop.target"),
            ("omniglot-mlp-5w1s", &[("tasks.size", "9223372036854775807")], "tasks.size"),
            ("omniglot-mlp-5w1s", &[("tasks.size", "4294967295")], "model.input"),
            ("omniglot-mlp-5w1s", &[("tasks.way", "9223372036854775807")], "tasks.way"),
            ("omniglot-mlp-5w1s", &[("tasks.way", "6")], "model.layers"),
            ("omniglot-mlp-5w1s", &[("tasks.size", "20")], "model.input"),
        ];
        for (preset, assignments, part) in cases {
            let text = refused(preset, assignments);
            assert!(text.contains(part), "{assignments:?}: {text}");
        }
    }

    #[test]
    fn images_must_fit_the_network() {
        let text = presets::get("omniglot-mlp-5w1s").unwrap();
        let list = [
            ("tasks.kind", "images"),
            ("tasks.way", "5"),
            ("tasks.shots", "1"),
            ("tasks.train_shots", "5"),
            ("tasks.size", "32"),
            ("model.input", "[3, 32, 32]"),
        ];
        let config = |changes: &[(&str, &str)]| {
            let all = list.iter().chain(changes);
            let all: Vec<_> =
                all.map(|(key, value)| (key.to_string(), value.to_string())).collect();
            Config::with_overrides(text, "images", &all).unwrap()
        };
        let message = |changes: &[(&str, &str)]| {
            config(changes).validate().err().map(|error| error.to_string())
        };
        assert_eq!(message(&[]), None);
        assert_eq!(message(&[("tasks.channels", "1"), ("model.input", "[1024]")]), None);
        let cases = [
            (vec![("tasks.channels", "2")], "tasks.channels"),
            (vec![("tasks.channels", "1")], "[1, 32, 32]"),
            (vec![("tasks.size", "84")], "[3, 84, 84]"),
            (vec![("tasks.size", "9223372036854775807")], "tasks.size"),
            (vec![("tasks.way", "6")], "model.layers"),
            (vec![("tasks.shots", "256")], "tasks.shots"),
            (vec![("tasks.set", "../elsewhere")], "tasks.set"),
            (vec![("model.loss", "mse")], "model.loss"),
        ];
        for (changes, part) in cases {
            let text = message(&changes).expect("must be refused");
            assert!(text.contains(part), "{changes:?}: {text}");
        }
        // A row of numbers has no shape, but an image has.
        let mut turned = config(&[("model.input", "[32, 32, 3]")]);
        assert!(turned.validate().is_ok());
        let conv = ModelSpec::builder(&[32, 32, 3]).loss(Loss::CrossEntropy);
        turned.model = conv.conv2d(4, 3, 1, Padding::SAME).dense(5, Activation::Linear);
        assert!(turned.validate().unwrap_err().to_string().contains("[3, 32, 32]"));
    }

    #[test]
    fn glyphs_must_be_possible() {
        let base = [("kind", "glyphs"), ("way", "5"), ("shots", "1"), ("train_shots", "5")];
        let message = |key: &'static str, value: &'static str| {
            let list: Vec<_> = base.into_iter().chain([(key, value)]).collect();
            let list = list.iter().map(|(key, value)| (format!("tasks.{key}"), value.to_string()));
            let text = presets::get("omniglot-mlp-5w1s").unwrap();
            let config = Config::with_overrides(text, "glyphs", &list.collect::<Vec<_>>()).unwrap();
            config.validate().err().map(|error| error.to_string())
        };
        assert_eq!(message("queries", "2"), None);
        let cases = [
            ("jitter", "-0.1"),
            ("rotation", "nan"),
            ("scale", "1.5"),
            ("shear", "inf"),
            ("shift", "2"),
            ("width", "[0, 0.1]"),
            ("width", "[0.2, 0.1]"),
            ("way", "1"),
            ("shots", "256"),
        ];
        for (key, value) in cases {
            let text = message(key, value).expect("must be refused");
            assert!(text.contains(&format!("tasks.{key}")), "{text}");
        }
        assert!(message("size", "20").expect("must be refused").contains("model.input"));
    }

    #[test]
    fn what_toml_cannot_hold_is_refused() {
        let config = Config::from_toml(presets::get("sine").unwrap(), "sine").unwrap();
        let late = Config { seed: u64::MAX, ..config };
        assert!(late.validate().unwrap_err().to_string().contains("seed"));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf_8_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let text = presets::get("omniglot-mlp-5w1s").unwrap();
        let mut config = Config::from_toml(text, "preset").unwrap();
        if let TaskSpec::Omniglot(spec) = &mut config.tasks {
            spec.data = Some(std::ffi::OsString::from_vec(vec![0xff]).into());
        }
        assert!(config.validate().unwrap_err().to_string().contains("tasks.data"));
    }

    #[test]
    fn a_tail_must_leave_examples_and_steps() {
        let fomaml = ("outer.algorithm", "fomaml");
        let text = refused("omniglot-mlp-5w1s", &[fomaml, ("outer.tail_shots", "10")]);
        assert!(text.contains("outer.tail_shots"), "{text}");
        let single = [fomaml, ("outer.tail_shots", "2"), ("inner.steps", "1")];
        assert!(refused("omniglot-mlp-5w1s", &single).contains("inner.steps"));
    }
}
