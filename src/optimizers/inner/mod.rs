//! The inner optimisers: what makes a step of a gradient.

mod adam;
mod adamw;
mod momentum;
mod rmsprop;
mod sgd;
#[cfg(all(test, feature = "reference"))]
pub(super) mod tests;

pub(super) use adam::Adam;
pub(super) use momentum::Momentum;
pub(super) use sgd::Sgd;

use crate::optimizers::{Settings, registry};

registry! {
    /// The inner optimiser by its name.
    InnerOptimizer, Inner, Settings::DEFAULT;
    /// θ ← θ − α g.
    Sgd = "sgd" => sgd::Sgd,
    /// SGD with momentum in PyTorch's form, Nesterov's as an option.
    Momentum = "momentum" => momentum::Momentum,
    /// RMSprop in PyTorch's form: neither centred nor with momentum.
    RmsProp = "rmsprop" => rmsprop::RmsProp,
    /// Adam in TensorFlow's form; the papers use β1 = 0.
    Adam = "adam" => adam::Adam,
    /// Adam in PyTorch's form with decoupled weight decay.
    AdamW = "adamw" => adamw::AdamW,
}

impl Inner {
    /// Plain SGD.
    pub const SGD: Self = Self::new(InnerOptimizer::Sgd, Settings::DEFAULT);

    /// The float64 twin of a step: moves `parameters` `[P]` against `gradient` `[P]`. SGD leaves `state` as it is.
    #[cfg(feature = "reference")]
    pub fn step(
        &self,
        rate: f64,
        parameters: &mut [f64],
        gradient: &[f64],
        state: &mut crate::optimizers::OptimizerState,
    ) {
        self.optimizer.rule().step(&self.settings, rate, parameters, gradient, state);
    }
}
