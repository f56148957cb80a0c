//! The optimisers: a file for each inner rule and each outer rule, and the registries that list them.
//!
//! A rule is what it keeps for each parameter, the WGSL function that makes a step (`shaders/lib/update_*.wgsl` and
//! `shaders/lib/outer_*.wgsl`) with its constants, and the same step in float64. Kernels, plans, configuration, checkpoints
//! and tests loop over the registries: a new rule is its file, its shader and a line in [`InnerOptimizer`] or
//! [`OuterOptimizer`]. The numbers that rules read are [`Settings`], one vocabulary for all.

mod inner;
mod outer;
mod settings;
#[cfg(feature = "reference")]
mod state;

pub use inner::{Inner, InnerOptimizer};
pub use outer::{Outer, OuterOptimizer};
pub use settings::Settings;
#[cfg(feature = "reference")]
pub(crate) use settings::as_written;
pub(crate) use settings::decay_constants;
#[cfg(feature = "reference")]
pub use state::OptimizerState;

use crate::gpu::Source;

/// What a rule keeps for each parameter from one step to the next; the step's number is kept by the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// A mean or sum of gradients: Adam's m, the u of momentum.
    pub first: bool,
    /// A mean of squared gradients: the v of Adam and RMSprop.
    pub second: bool,
}

impl Kept {
    /// Nothing.
    pub const NOTHING: Self = Self { first: false, second: false };

    /// Whether there is anything.
    pub fn any(self) -> bool {
        self.first || self.second
    }
}

/// What the file of a rule says. Outer rules take −Δ for the gradient, the rate ε for α.
trait Rule: Sync {
    /// The settings that it reads, by their keys in a configuration.
    fn keys(&self) -> &'static [&'static str];

    /// What it keeps.
    fn kept(&self, settings: &Settings) -> Kept;

    /// Adds the function of its step, and the constants of that.
    fn library(&self, source: Source, settings: &Settings) -> Source;

    /// The float64 twin of its step: moves `parameters` `[P]` against `gradient` `[P]`.
    #[cfg(feature = "reference")]
    fn step(
        &self,
        settings: &Settings,
        rate: f64,
        parameters: &mut [f64],
        gradient: &[f64],
        state: &mut OptimizerState,
    );
}

/// A registry: an enum of rules by their names in a configuration, and where each of them is.
macro_rules! registry {
    (
        $(#[$about:meta])* $names:ident, $with:ident, $defaults:expr;
        $($(#[$doc:meta])* $name:ident = $text:literal => $rule:expr,)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $names {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl $names {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in a configuration.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The settings that it reads, by their keys in a configuration.
            pub fn keys(self) -> &'static [&'static str] {
                self.rule().keys()
            }

            fn rule(self) -> &'static dyn $crate::optimizers::Rule {
                match self { $(Self::$name => &$rule,)* }
            }
        }

        impl std::fmt::Display for $names {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.name())
            }
        }

        /// A rule with its settings.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $with {
            /// The rule.
            pub optimizer: $names,
            /// The numbers that it reads; it passes over the others.
            pub settings: $crate::optimizers::Settings,
        }

        impl From<$names> for $with {
            /// With the settings that a configuration has by default.
            fn from(optimizer: $names) -> Self {
                Self { optimizer, settings: $defaults }
            }
        }

        impl $with {
            /// `optimizer` with `settings`.
            pub const fn new(
                optimizer: $names,
                settings: $crate::optimizers::Settings,
            ) -> Self {
                Self { optimizer, settings }
            }

            /// What it keeps for each parameter.
            pub fn kept(&self) -> $crate::optimizers::Kept {
                self.optimizer.rule().kept(&self.settings)
            }

            /// Adds the function of its step to a kernel, and the constants of that.
            pub(crate) fn library(&self, source: $crate::gpu::Source) -> $crate::gpu::Source {
                self.optimizer.rule().library(source, &self.settings)
            }
        }
    };
}

use registry;
