//! The description of a network: what a user writes in TOML or with [`ModelSpec::builder`].

use serde::{Deserialize, Serialize};

use crate::layers::{
    Activation, BatchNorm, Conv2d, Dense, Extent, Function, GroupNorm, LayerNorm, LayerSpec,
    MaxPool, Padding, padded,
};

/// How parameters start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Weights uniform in ±√(6 / (fan_in + fan_out)), biases zero (Glorot and Bengio 2010).
    #[default]
    Glorot,
    /// Weights uniform in ±√(6 / fan_in), biases zero (He et al. 2015, gain √2).
    He,
    /// Weights and biases uniform in ±1 / √fan_in: what `torch.nn.Linear` and `Conv2d` start from.
    Torch,
}

/// What a network is trained to lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean squared error, mean over batch and outputs.
    Mse,
    /// Softmax cross-entropy against class labels, mean over the batch.
    CrossEntropy,
}

impl Loss {
    /// Words of 32 bits that hold an example's target, where the network has so many outputs: values, padded, or
    /// a label.
    pub fn target_words(self, outputs: usize) -> usize {
        match self {
            Self::Mse => padded(outputs),
            Self::CrossEntropy => 1,
        }
    }
}

/// A network as its user describes it; [`crate::model::Model::new`] checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelSpec {
    /// Shape of one example: `[features]`, or `[C, H, W]` for images.
    pub input: Vec<usize>,
    /// From the input to the output; the last one is linear.
    pub layers: Vec<LayerSpec>,
    /// What training lowers; it decides whether targets are values or class labels.
    pub loss: Loss,
    /// How parameters start. Default glorot.
    #[serde(default)]
    pub init: Init,
}

impl ModelSpec {
    /// Starts a network whose examples have the shape `input`.
    ///
    /// ```
    /// use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
    /// let sine = ModelSpec::builder(&[1])
    ///     .dense(64, Activation::Tanh)
    ///     .dense(64, Activation::Tanh)
    ///     .dense(1, Activation::Linear)
    ///     .loss(Loss::Mse);
    /// assert_eq!(Model::new(sine)?.parameter_count(), 4353);
    ///
    /// let mut omniglot = ModelSpec::builder(&[1, 28, 28]).loss(Loss::CrossEntropy);
    /// for _ in 0..4 {
    ///     omniglot = omniglot.conv2d(64, 3, 2, Padding::SAME).batch_norm(Activation::Relu);
    /// }
    /// let omniglot = omniglot.dense(5, Activation::Linear);
    /// assert_eq!(Model::new(omniglot)?.parameter_count(), 113_221);
    /// # Ok::<(), reptile::Error>(())
    /// ```
    pub fn builder(input: &[usize]) -> Self {
        Self { input: input.to_vec(), layers: Vec::new(), loss: Loss::Mse, init: Init::Glorot }
    }

    /// Adds any layer.
    pub fn layer(mut self, layer: impl Into<LayerSpec>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Adds a dense layer.
    pub fn dense(self, units: usize, activation: Activation) -> Self {
        self.layer(Dense::new(units, activation))
    }

    /// Adds a convolution without an activation.
    pub fn conv2d(
        self,
        filters: usize,
        kernel: impl Into<Extent>,
        stride: impl Into<Extent>,
        padding: Padding,
    ) -> Self {
        self.layer(Conv2d { stride: stride.into(), padding, ..Conv2d::new(filters, kernel) })
    }

    /// Adds a batch-norm with ε = 1e-3.
    pub fn batch_norm(self, activation: Activation) -> Self {
        self.layer(BatchNorm::new(activation))
    }

    /// Adds a layer-norm with ε = 1e-5.
    pub fn layer_norm(self, activation: Activation) -> Self {
        self.layer(LayerNorm::new(activation))
    }

    /// Adds a group-norm of `groups` groups with ε = 1e-5.
    pub fn group_norm(self, groups: usize, activation: Activation) -> Self {
        self.layer(GroupNorm::new(groups, activation))
    }

    /// Adds a max-pooling whose stride is its size.
    pub fn max_pool(self, size: impl Into<Extent>, padding: Padding) -> Self {
        self.layer(MaxPool { size: size.into(), stride: None, padding })
    }

    /// Adds an activation of its own.
    pub fn activation(self, function: Activation) -> Self {
        self.layer(Function { function })
    }

    /// Sets the loss.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Sets how weights start.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }
}
