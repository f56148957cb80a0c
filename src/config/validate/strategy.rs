//! The `[strategy]` part, and whether the tasks have room for its query.

use crate::config::settings::Config;
use crate::error::{Error, Result};
use crate::meta::StrategyKind;

/// Checks the strategy of `config`.
pub(super) fn strategy(config: &Config) -> Result<()> {
    config.strategy.check(&config.inner, &config.outer)?;
    if config.strategy.kind == StrategyKind::Hypergradient && config.inner_steps() < 2 {
        let message = "a hypergradient is of two steps, one behind the other; give 2 or more, or take \
                       \"meta-sgd\"";
        return Err(Error::config("inner.steps", message));
    }
    if config.strategy.kind == StrategyKind::None { Ok(()) } else { query(config) }
}

/// The query of a training task.
fn query(config: &Config) -> Result<()> {
    let shots = config.strategy.query_shots;
    if shots == 0 {
        return Ok(());
    }
    let [_, group, _] = config.tasks.groups();
    if !config.strategy.has_query() {
        let message = "only \"meta-sgd\" has a query; leave it out";
        return Err(Error::config("strategy.query_shots", message));
    }
    if shots >= group {
        let message = format!("{shots} of the {group} examples of a class; leave some to train on");
        return Err(Error::config("strategy.query_shots", message));
    }
    let pool = config.support_samples() / group * (group - shots);
    if config.inner.replacement && config.inner.batch > pool {
        let message = format!(
            "{} examples cannot be drawn from the {pool} before the query",
            config.inner.batch
        );
        return Err(Error::config("inner.batch", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, presets};

    #[test]
    fn each_impossible_value_names_its_key() {
        let kind = ("strategy.kind", "meta-sgd");
        for (assignments, part) in [
            (vec![("strategy.rate", "-1")], "strategy.rate"),
            (vec![("strategy.rate", "81")], "0 to 80"),
            (
                vec![kind, ("strategy.min_rate", "0.5"), ("strategy.max_rate", "0.1")],
                "strategy.min_rate",
            ),
            (vec![("strategy.kind", "hypergradient"), ("inner.steps", "1")], "inner.steps"),
            (vec![("strategy.momentum", "1")], "strategy.momentum"),
            (vec![("strategy.momentum", "0.5"), ("outer.optimizer", "adam")], "interpolation"),
            (vec![("strategy.guard", "0.5")], "strategy.guard"),
            (vec![("strategy.min_rate", "0")], "strategy.min_rate"),
            (vec![kind, ("inner.rate", "2")], "strategy.max_rate"),
            (vec![kind, ("inner.optimizer", "adam")], "inner.optimizer"),
            (vec![kind, ("inner.weight_decay", "0.9")], "inner.weight_decay"),
            (vec![kind, ("inner.schedule.kind", "linear")], "inner.schedule"),
            (vec![kind, ("outer.algorithm", "fomaml")], "outer.algorithm"),
            (vec![kind, ("strategy.query_shots", "50")], "leave some"),
            (vec![("memory.blend", "0")], "memory.blend"),
            (vec![("memory.capacity", "2"), ("outer.meta_batch", "3")], "memory.capacity"),
            (vec![("memory.capacity", "70000")], "65535"),
            (vec![("memory.capacity", "3"), ("outer.algorithm", "fomaml")], "outer.algorithm"),
            (vec![("strategy.kind", "aruba"), ("strategy.query_shots", "5")], "meta-sgd"),
            (vec![("strategy.kind", "aruba"), ("strategy.refine", "-1")], "strategy.refine"),
            (vec![("strategy.refine", "0.1")], "strategy.refine"),
            (
                vec![
                    ("strategy.kind", "aruba"),
                    ("strategy.granularity", "layer"),
                    ("strategy.refine", "0.1"),
                ],
                "strategy.granularity",
            ),
        ] {
            let list: Vec<_> =
                assignments.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            let config =
                Config::with_overrides(presets::get("sine").unwrap(), "sine", &list).unwrap();
            let text = config.validate().expect_err("must be refused").to_string();
            assert!(text.contains(part), "{assignments:?}: {text}");
        }
    }
}
