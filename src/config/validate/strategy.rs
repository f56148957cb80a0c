//! The `[strategy]` and `[memory]` parts, and whether the rest fits them.

use super::{below_one, positive};
use crate::config::settings::Config;
use crate::error::{Error, Result};
use crate::meta::{
    Algorithm, Granularity, InnerOptimizer, OuterOptimizer, Schedule, StrategyKind, StrategySpec,
};

/// The largest β: rates move by far less.
const LARGEST_STEP: f32 = 1e6;

/// The largest c: it counts beside the squares of all meta-iterations.
const LARGEST_REFINE: f32 = 1e9;

/// The most entries: the device counts slots of a product of two such numbers.
const LARGEST_MEMORY: usize = 65_535;

/// Checks the strategy of `config`.
pub(super) fn strategy(config: &Config) -> Result<()> {
    let spec = &config.strategy;
    below_one("strategy.momentum", spec.momentum)?;
    if spec.momentum > 0.0 && config.outer.optimizer != OuterOptimizer::Interpolation {
        let message = "the direction of a strategy takes the place of momentum and Adam; set \
                       outer.optimizer = \"interpolation\"";
        return Err(Error::config("strategy.momentum", message));
    }
    if !(0.0..=LARGEST_STEP).contains(&spec.rate) {
        let message = format!(
            "{} would make the rates overflow; give a number from 0 to {LARGEST_STEP}",
            spec.rate
        );
        return Err(Error::config("strategy.rate", message));
    }
    positive("strategy.min_rate", spec.min_rate)?;
    positive("strategy.max_rate", spec.max_rate)?;
    if !(1e-9..=1e9).contains(&spec.zeta) {
        let message = format!("{} is not possible; give a number from 1e-9 to 1e9", spec.zeta);
        return Err(Error::config("strategy.zeta", message));
    }
    positive("strategy.power", spec.power)?;
    if !(spec.guard == 0.0 || spec.guard >= 1.0 && spec.guard.is_finite()) {
        let message =
            format!("{} is not possible; give a factor of 1 or more, or 0 for none", spec.guard);
        return Err(Error::config("strategy.guard", message));
    }
    refine(spec)?;
    if spec.kind == StrategyKind::None {
        return Ok(());
    }
    let [low, high] = [spec.min_rate, spec.max_rate];
    if !(low..=high).contains(&config.inner.rate) {
        let message = format!(
            "{} is where the learned rates start, which is not between strategy.min_rate = {low} and \
             strategy.max_rate = {high}",
            config.inner.rate
        );
        return Err(Error::config("inner.rate", message));
    }
    let (inner, outer) = (&config.inner, &config.outer);
    for (fits, key, message) in [
        (
            inner.optimizer == InnerOptimizer::Sgd,
            "inner.optimizer",
            "a learned strategy sets the rates of SGD; set it to \"sgd\"",
        ),
        (
            inner.schedule == Schedule::Constant,
            "inner.schedule",
            "a learned strategy changes the inner rates itself; leave the schedule constant",
        ),
        (
            inner.weight_decay == 1.0,
            "inner.weight_decay",
            "a learned strategy wants to see the gradients alone; set it to 1",
        ),
        (
            outer.algorithm == Algorithm::Reptile,
            "outer.algorithm",
            "a learned strategy goes with \"reptile\"",
        ),
    ] {
        if !fits {
            return Err(Error::config(key, message));
        }
    }
    query(config)
}

/// The c of ARUBA++.
fn refine(spec: &StrategySpec) -> Result<()> {
    if !(0.0..=LARGEST_REFINE).contains(&spec.refine) {
        let message =
            format!("{} is not possible; give a number from 0 to {LARGEST_REFINE}", spec.refine);
        return Err(Error::config("strategy.refine", message));
    }
    let own = spec.kind == StrategyKind::Aruba && spec.granularity == Granularity::Parameter;
    if spec.refine > 0.0 && !own {
        let message = "ARUBA++ goes on from sums of squares of every parameter, which \"aruba\" with \
                       strategy.granularity = \"parameter\" learns; leave it out (0)";
        return Err(Error::config("strategy.refine", message));
    }
    Ok(())
}

/// Checks the memory of `config`.
pub(super) fn memory(config: &Config) -> Result<()> {
    let (spec, outer) = (&config.memory, &config.outer);
    if !(spec.blend > 0.0 && spec.blend <= 1.0) {
        let message = format!("{} is not possible; give a share above 0 and up to 1", spec.blend);
        return Err(Error::config("memory.blend", message));
    }
    if spec.capacity == 0 {
        return Ok(());
    }
    if !(outer.meta_batch..=LARGEST_MEMORY).contains(&spec.capacity) {
        let message = format!(
            "{} entries; give {} (outer.meta_batch: every task of a meta-iteration has its entry) to \
             {LARGEST_MEMORY}, or 0 for none",
            spec.capacity, outer.meta_batch
        );
        return Err(Error::config("memory.capacity", message));
    }
    if outer.algorithm != Algorithm::Reptile {
        return Err(Error::config("outer.algorithm", "a memory goes with \"reptile\""));
    }
    Ok(())
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
            (vec![("strategy.rate", "1e30")], "overflow"),
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
