//! The numbers of the inner and the outer optimiser.

use crate::error::{Error, Result};
use crate::meta::{InnerOptimizer, InnerSpec, OuterSpec};
use crate::optimizers::Settings;

pub(super) fn inner(spec: &InnerSpec) -> Result<()> {
    spec.rule().settings.check("inner")?;
    unread(spec)
}

pub(super) fn outer(spec: &OuterSpec) -> Result<()> {
    spec.rule().settings.check("outer")
}

/// Refuses a setting that is not at its default and that the optimiser passes over. (Adam's have always been accepted with
/// SGD.)
fn unread(spec: &InnerSpec) -> Result<()> {
    let default = Settings::DEFAULT;
    let read = spec.optimizer.keys();
    for (key, set) in [
        ("momentum", spec.momentum != default.momentum),
        ("nesterov", spec.nesterov != default.nesterov),
        ("rho", spec.rho != default.rho),
        ("decoupled_weight_decay", spec.decoupled_weight_decay != default.decoupled_weight_decay),
    ] {
        if set && !read.contains(&key) {
            let readers = InnerOptimizer::ALL.iter().filter(|other| other.keys().contains(&key));
            let readers: Vec<String> = readers.map(|other| format!("\"{other}\"")).collect();
            let message = format!(
                "the optimiser \"{}\" does not read it; leave it out, or set inner.optimizer = {}",
                spec.optimizer,
                readers.join(" or ")
            );
            return Err(Error::config(format!("inner.{key}"), message));
        }
    }
    Ok(())
}
