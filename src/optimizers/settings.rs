//! The numbers that rules read, and how they become constants of kernels.

use crate::checks::{below_one, positive};
use crate::error::Result;
use crate::gpu::Source;

/// The numbers that rules read, but for their rate. [`Default`] has those of `[inner]`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// β1: decay of Adam's first moment; 0 keeps none.
    pub beta1: f32,
    /// β2: decay of Adam's second moment.
    pub beta2: f32,
    /// ε: added to the root of the second moment.
    pub epsilon: f32,
    /// μ: what momentum keeps of u at each step; 0 keeps none.
    pub momentum: f32,
    /// Whether momentum looks ahead (Nesterov's form).
    pub nesterov: bool,
    /// ρ: decay of RMSprop's second moment.
    pub rho: f32,
    /// λ: the decoupled weight decay of AdamW.
    pub decoupled_weight_decay: f32,
}

impl Settings {
    /// The defaults of `[inner]`.
    pub const DEFAULT: Self = Self {
        beta1: 0.0,
        beta2: 0.999,
        epsilon: 1e-8,
        momentum: 0.9,
        nesterov: false,
        rho: 0.99,
        decoupled_weight_decay: 0.01,
    };
}

impl Settings {
    /// Refuses numbers that no rule can work with; `part` of the configuration names them.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config).
    pub(crate) fn check(&self, part: &str) -> Result<()> {
        let Self { beta1, beta2, epsilon, momentum, nesterov: _, rho, decoupled_weight_decay } =
            *self;
        below_one(&format!("{part}.beta1"), beta1)?;
        below_one(&format!("{part}.beta2"), beta2)?;
        positive(&format!("{part}.epsilon"), epsilon)?;
        below_one(&format!("{part}.momentum"), momentum)?;
        below_one(&format!("{part}.rho"), rho)?;
        below_one(&format!("{part}.decoupled_weight_decay"), decoupled_weight_decay)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A number of the configuration as its user wrote it: 0.999 and not the nearest f32 of it, so that 1 − β keeps its
/// digits.
pub(crate) fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// β, 1 − β and ln β of a decay rate; ln 0 is not used.
pub(crate) fn decay_constants(source: Source, names: [&'static str; 3], beta: f32) -> Source {
    let exact = as_written(beta);
    let log = if exact > 0.0 { exact.ln() } else { -1.0 };
    source
        .constant(names[0], beta)
        .constant(names[1], (1.0 - exact) as f32)
        .constant(names[2], log as f32)
}

/// The constants of Adam, and what it needs for its corrections.
pub(super) fn adam_constants(source: Source, settings: &Settings) -> Source {
    let source = decay_constants(source, ["BETA1", "BETA1_REST", "LOG_BETA1"], settings.beta1);
    let source = decay_constants(source, ["BETA2", "BETA2_REST", "LOG_BETA2"], settings.beta2);
    source.constant("EPSILON", settings.epsilon).library(shader!("lib/one_minus_exp.wgsl"))
}
