//! `adamw` (Loshchilov and Hutter 2019 in the form of `torch.optim.AdamW`): θ ← (1 − α λ) θ, then Adam with
//! m̂ = m / (1 − β1ᵗ) and v̂ = v / (1 − β2ᵗ): θ ← θ − α m̂ / (√v̂ + ε).

use crate::gpu::Source;
use crate::optimizers::settings::adam_constants;
use crate::optimizers::{Kept, Rule, Settings};

pub(in crate::optimizers) struct AdamW;

impl Rule for AdamW {
    fn keys(&self) -> &'static [&'static str] {
        &["beta1", "beta2", "epsilon", "decoupled_weight_decay"]
    }

    fn kept(&self, settings: &Settings) -> Kept {
        super::Adam.kept(settings)
    }

    fn library(&self, source: Source, settings: &Settings) -> Source {
        adam_constants(source, settings)
            .constant("DECAY", settings.decoupled_weight_decay)
            .library(shader!("lib/update_adamw.wgsl"))
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
        let Settings { beta1, beta2, epsilon, decoupled_weight_decay, .. } = *settings;
        let [beta1, beta2, epsilon, decay] =
            [beta1, beta2, epsilon, decoupled_weight_decay].map(crate::optimizers::as_written);
        state.steps += 1;
        let t = state.steps as f64;
        let corrections = [1.0 - beta1.powf(t), 1.0 - beta2.powf(t)];
        let moments = state.m.iter_mut().zip(&mut state.v);
        for ((parameter, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *parameter *= 1.0 - rate * decay;
            *parameter -= rate * (*m / corrections[0]) / ((*v / corrections[1]).sqrt() + epsilon);
        }
    }
}
