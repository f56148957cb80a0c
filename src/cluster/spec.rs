//! `[distributed]`: how the ranks of a job come to one network.

use serde::{Deserialize, Serialize};

use crate::checks::positive;
use crate::error::{Error, Result};
use crate::meta::TrainerSetup;

/// How several ranks train together; only `train --distributed` looks at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DistributedSpec {
    /// Meta-iterations H that a rank takes on its own between two exchanges. Default 1.
    pub local_steps: u64,
    /// What makes a step of the mean difference of all ranks. Default interpolation.
    pub optimizer: RoundOptimizer,
    /// Its rate. Default 1 for interpolation, 0.7 for the others (DiLoCo's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    /// Momentum of the optimisers that have one. Default 0.9.
    pub momentum: f32,
    /// Whether the exchange runs beside the next round and is applied one round late. Default false.
    pub overlap: bool,
    /// As what differences of parameters are sent. Default f32.
    pub exchange: Exchange,
}

impl Default for DistributedSpec {
    fn default() -> Self {
        Self {
            local_steps: 1,
            optimizer: RoundOptimizer::default(),
            rate: None,
            momentum: 0.9,
            overlap: false,
            exchange: Exchange::default(),
        }
    }
}

/// What makes a step of the mean difference of all ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoundOptimizer {
    /// θ ← θ + rate · Δ: with the rate 1 the mean of the ranks (local SGD).
    #[default]
    Interpolation,
    /// SGD with momentum on −Δ.
    Momentum,
    /// SGD with Nesterov's momentum on −Δ (DiLoCo, Douillard et al. 2023).
    Nesterov,
}

/// As what differences of parameters are sent; what that leaves out is added to the next difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    /// As they are: 4 bytes a parameter.
    #[default]
    F32,
    /// Half precision: 2 bytes.
    F16,
    /// Whole numbers from −127 to 127 with a scale for each 256 of them: 1 byte.
    Int8,
}

impl DistributedSpec {
    /// The rate of its optimiser.
    pub fn rate(&self) -> f32 {
        let default = if self.optimizer == RoundOptimizer::Interpolation { 1.0 } else { 0.7 };
        self.rate.unwrap_or(default)
    }

    /// Whether the sums over the tasks of each meta-iteration are exchanged in its midst, so that all ranks together do what
    /// one process does with all tasks. Otherwise ranks go their own ways for a round, and the differences are averaged.
    pub fn sums_tasks(&self) -> bool {
        self.local_steps == 1
            && self.optimizer == RoundOptimizer::Interpolation
            && self.rate() == 1.0
            && !self.overlap
            && self.exchange == Exchange::F32
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key and the remedy.
    pub fn check(&self) -> Result<()> {
        if self.local_steps == 0 {
            return Err(Error::config("distributed.local_steps", "is 0; give 1 or more"));
        }
        positive("distributed.rate", self.rate())?;
        if !(0.0..1.0).contains(&self.momentum) {
            let message = format!("{} is not from 0 to below 1; give such a number", self.momentum);
            return Err(Error::config("distributed.momentum", message));
        }
        Ok(())
    }

    /// Makes `setup` rank `rank` of `size`: it takes the tasks behind those of the ranks before it.
    ///
    /// # Errors
    /// [`Error::Config`] for what ranks do not share: a state of every task slot, a memory, telemetry.
    pub fn share(&self, setup: &mut TrainerSetup, rank: usize, size: usize) -> Result<()> {
        setup.check_shareable()?;
        let tasks = setup.outer.meta_batch;
        setup.first_task = rank.saturating_mul(tasks);
        setup.shared_tasks = self.sums_tasks().then_some(size.saturating_mul(tasks));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_summed_where_nothing_else_is_wanted() {
        let spec = DistributedSpec::default;
        assert!(spec().sums_tasks());
        assert!(DistributedSpec { rate: Some(1.0), momentum: 0.5, ..spec() }.sums_tasks());
        for other in [
            DistributedSpec { local_steps: 2, ..spec() },
            DistributedSpec { rate: Some(0.5), ..spec() },
            DistributedSpec { optimizer: RoundOptimizer::Nesterov, ..spec() },
            DistributedSpec { overlap: true, ..spec() },
            DistributedSpec { exchange: Exchange::F16, ..spec() },
        ] {
            assert!(!other.sums_tasks(), "{other:?}");
        }
    }

    #[test]
    fn diloco_is_nesterov_with_the_defaults() {
        let spec = DistributedSpec { optimizer: RoundOptimizer::Nesterov, ..Default::default() };
        assert_eq!((spec.rate(), spec.momentum), (0.7, 0.9));
        spec.check().unwrap();
        for (key, wrong) in [
            ("distributed.local_steps", DistributedSpec { local_steps: 0, ..spec.clone() }),
            ("distributed.rate", DistributedSpec { rate: Some(-1.0), ..spec.clone() }),
            ("distributed.momentum", DistributedSpec { momentum: 1.0, ..spec.clone() }),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
