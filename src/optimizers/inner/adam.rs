//! `adam` in TensorFlow's form (Kingma and Ba 2015, the text before section 2.1): m ← β1 m + (1 − β1) g,
//! v ← β2 v + (1 − β2) g², θ ← θ − α √(1 − β2ᵗ) / (1 − β1ᵗ) · m / (√v + ε).

use crate::gpu::Source;
use crate::optimizers::settings::adam_constants;
use crate::optimizers::{Kept, Rule, Settings};

pub(in crate::optimizers) struct Adam;

impl Rule for Adam {
    fn keys(&self) -> &'static [&'static str] {
        &["beta1", "beta2", "epsilon"]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        Kept { first: settings.beta1 > 0.0, second: true }
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        adam_constants(source, settings).library(shader!("lib/update_adam.wgsl"))
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
        let Settings { beta1, beta2, epsilon, .. } = *settings;
        let [beta1, beta2, epsilon] = [beta1, beta2, epsilon].map(crate::optimizers::as_written);
        state.steps += 1;
        let t = state.steps as f64;
        let rate = rate * (1.0 - beta2.powf(t)).sqrt() / (1.0 - beta1.powf(t));
        let moments = state.m.iter_mut().zip(&mut state.v);
        for ((parameter, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *parameter -= rate * *m / (v.sqrt() + epsilon);
        }
    }
}
