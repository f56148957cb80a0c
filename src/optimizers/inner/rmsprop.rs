//! `rmsprop`: v ← ρ v + (1 − ρ) g², θ ← θ − α g / (√v + ε) (Tieleman and Hinton 2012 in the form of `torch.optim.RMSprop`;
//! its `alpha` is ρ).

use crate::gpu::Source;
use crate::optimizers::{Kept, Rule, Settings, decay_constants};

pub(in crate::optimizers) struct RmsProp;

impl Rule for RmsProp {
    fn keys(&self) -> &'static [&'static str] {
        &["rho", "epsilon"]
    }

    fn kept(&self, _: &Settings) -> Kept {
        Kept { first: false, second: true }
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        decay_constants(source, ["RHO", "RHO_REST", "LOG_RHO"], settings.rho)
            .constant("EPSILON", settings.epsilon)
            .library(shader!("lib/update_rmsprop.wgsl"))
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
        let [rho, epsilon] = [settings.rho, settings.epsilon].map(crate::optimizers::as_written);
        state.steps += 1;
        for ((parameter, g), v) in parameters.iter_mut().zip(gradient).zip(&mut state.v) {
            *v = rho * *v + (1.0 - rho) * g * g;
            *parameter -= rate * g / (v.sqrt() + epsilon);
        }
    }
}
