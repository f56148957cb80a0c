//! `sgd`: θ ← θ − α g.

use crate::gpu::Source;
use crate::optimizers::{Kept, Rule, Settings};

pub(in crate::optimizers) struct Sgd;

impl Rule for Sgd {
    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn kept(&self, _: &Settings) -> Kept {
        Kept::NOTHING
    }

    fn library(&self, source: Source, _: &Settings) -> Source {
        source.library(shader!("lib/update_sgd.wgsl"))
    }

    #[cfg(feature = "reference")]
    fn step(
        &self,
        _: &Settings,
        rate: f64,
        parameters: &mut [f64],
        gradient: &[f64],
        _: &mut crate::optimizers::OptimizerState,
    ) {
        crate::float64::add_scaled(parameters, -rate, gradient);
    }
}
