//! `interpolation`: θ ← θ + ε Δ, the outer step of the Reptile paper.

use crate::gpu::Source;
use crate::optimizers::{Kept, Rule, Settings, inner};

pub(in crate::optimizers) struct Interpolation;

impl Rule for Interpolation {
    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        inner::Sgd.kept(settings)
    }

    fn library(&self, source: Source, _: &Settings) -> Source {
        source.library(shader!("lib/outer_interpolation.wgsl"))
    }

    #[cfg(feature = "reference")]
    fn step(
        &self,
        settings: &Settings,
        rate: f64,
        parameters: &mut [f64],
        gradient: &[f64],
        state: &mut crate::optimizers::OptimizerState,
    ) {
        inner::Sgd.step(settings, rate, parameters, gradient, state);
    }
}
