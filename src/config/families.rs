//! The files of `presets/`: a complete configuration a family of presets.

pub(super) const SINE: &str = include_str!("../../presets/sine.toml");
pub(super) const MLP: &str = include_str!("../../presets/omniglot-mlp.toml");
pub(super) const MLP_10_WAY: &str = include_str!("../../presets/omniglot-mlp-10w.toml");
pub(super) const OMNIGLOT: &str = include_str!("../../presets/omniglot.toml");
pub(super) const MINI_IMAGENET: &str = include_str!("../../presets/miniimagenet.toml");
pub(super) const GRADIENTS: &str = include_str!("../../presets/gradcomb.toml");
