//! `momentum`: SGD with momentum on the pseudo-gradient −Δ in the form of `torch.optim.SGD`: u ← μ u − Δ, θ ← θ − ε u.

use crate::gpu::Source;
use crate::optimizers::{Kept, Rule, Settings, inner};

pub(in crate::optimizers) struct Momentum;

impl Rule for Momentum {
    fn keys(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        inner::Momentum.kept(settings)
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        source.constant("MOMENTUM", settings.momentum).library(shader!("lib/outer_momentum.wgsl"))
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
        let settings = Settings { nesterov: false, ..*settings };
        inner::Momentum.step(&settings, rate, parameters, gradient, state);
    }
}
