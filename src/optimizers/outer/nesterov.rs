//! `nesterov`: SGD with Nesterov's momentum on the pseudo-gradient −Δ in the form of `torch.optim.SGD`: u ← μ u − Δ,
//! θ ← θ − ε (μ u − Δ). With the mean of the clients' ways for Δ it is the outer step of DiLoCo (Douillard et al. 2023).

use crate::gpu::Source;
use crate::optimizers::{Kept, Rule, Settings, inner};

pub(in crate::optimizers) struct Nesterov;

impl Rule for Nesterov {
    fn keys(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        inner::Momentum.kept(settings)
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        source.constant("MOMENTUM", settings.momentum).library(shader!("lib/outer_nesterov.wgsl"))
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
        let settings = Settings { nesterov: true, ..*settings };
        inner::Momentum.step(&settings, rate, parameters, gradient, state);
    }
}
