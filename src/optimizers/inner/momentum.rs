//! `momentum`: u ← μ u + g, θ ← θ − α u; with `nesterov` θ ← θ − α (g + μ u) (Sutskever et al. 2013 in the form of
//! `torch.optim.SGD`, without dampening).

use crate::gpu::Source;
use crate::optimizers::{Kept, Rule, Settings};

pub(in crate::optimizers) struct Momentum;

impl Rule for Momentum {
    fn keys(&self) -> &'static [&'static str] {
        &["momentum", "nesterov"]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        Kept { first: settings.momentum > 0.0, second: false }
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        source
            .constant("MOMENTUM", settings.momentum)
            .constant("NESTEROV", settings.nesterov)
            .library(shader!("lib/update_momentum.wgsl"))
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
        let momentum = crate::optimizers::as_written(settings.momentum);
        state.steps += 1;
        for ((parameter, g), u) in parameters.iter_mut().zip(gradient).zip(&mut state.m) {
            *u = momentum * *u + g;
            *parameter -= rate * if settings.nesterov { g + momentum * *u } else { *u };
        }
    }
}
