//! The outer optimisers: what makes a step of Δ, the mean way that the tasks moved.

mod adam;
mod interpolation;
mod momentum;
mod nesterov;
#[cfg(all(test, feature = "reference"))]
mod tests;

use crate::optimizers::{Settings, registry};

registry! {
    /// The outer optimiser by its name.
    #[derive(Default)]
    OuterOptimizer, Outer, Settings { beta1: 0.9, ..Settings::DEFAULT };
    /// θ ← θ + ε Δ (the paper's).
    #[default]
    Interpolation = "interpolation" => interpolation::Interpolation,
    /// SGD with momentum on −Δ.
    Momentum = "momentum" => momentum::Momentum,
    /// SGD with Nesterov's momentum on −Δ.
    Nesterov = "nesterov" => nesterov::Nesterov,
    /// Adam on −Δ in TensorFlow's form.
    Adam = "adam" => adam::Adam,
}

impl Outer {
    /// The paper's Reptile.
    pub const INTERPOLATION: Self = Self::new(OuterOptimizer::Interpolation, Settings::DEFAULT);

    /// The float64 twin of a step: moves the initialisation `parameters` `[P]` by `delta` `[P]`.
    #[cfg(feature = "reference")]
    pub fn step(
        &self,
        rate: f64,
        parameters: &mut [f64],
        delta: &[f64],
        state: &mut crate::optimizers::OptimizerState,
    ) {
        let gradient: Vec<f64> = delta.iter().map(|delta| -delta).collect();
        self.optimizer.rule().step(&self.settings, rate, parameters, &gradient, state);
    }
}
