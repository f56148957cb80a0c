//! `adam`: Adam on the pseudo-gradient −Δ, in TensorFlow's form.

use crate::gpu::Source;
use crate::optimizers::settings::adam_constants;
use crate::optimizers::{Kept, Rule, Settings, inner};

pub(in crate::optimizers) struct Adam;

impl Rule for Adam {
    fn keys(&self) -> &'static [&'static str] {
        &["beta1", "beta2", "epsilon"]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        inner::Adam.kept(settings)
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        adam_constants(source, settings).library(shader!("lib/outer_adam.wgsl"))
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
        inner::Adam.step(settings, rate, parameters, gradient, state);
    }
}
