//! The description of a network: what a user writes in TOML or with [`ModelSpec::builder`].

use serde::{Deserialize, Serialize};

/// The function after a layer's affine part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The identity: what the last layer has.
    #[default]
    Linear,
    /// tanh z.
    Tanh,
    /// max(z, 0), with derivative 0 at 0.
    Relu,
    /// 1 / (1 + e^−z).
    Sigmoid,
    /// z · Φ(z) with the exact normal distribution function Φ (PyTorch's default form).
    Gelu,
}

/// How parameters start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Weights uniform in ±√(6 / (fan_in + fan_out)), biases zero (Glorot and Bengio 2010).
    #[default]
    Glorot,
    /// Weights uniform in ±√(6 / fan_in), biases zero (He et al. 2015, gain √2).
    He,
    /// Weights and biases uniform in ±1 / √fan_in: what `torch.nn.Linear` starts from.
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

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum LayerSpec {
    /// y = activation(W x + b), W of shape `[units, inputs]`.
    Dense {
        units: usize,
        #[serde(default)]
        activation: Activation,
    },
}

/// A network as its user describes it; [`crate::model::Model::new`] checks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Shape of one example: `[features]`, or `[C, H, W]` for images (flattened in that order).
    pub input: Vec<usize>,
    /// From the input to the output; the last one is linear.
    pub layers: Vec<LayerSpec>,
    pub loss: Loss,
    #[serde(default)]
    pub init: Init,
}

impl ModelSpec {
    /// Starts a network whose examples have the shape `input`.
    ///
    /// ```
    /// use reptile::model::{Activation, Loss, Model, ModelSpec};
    /// let spec = ModelSpec::builder(&[1])
    ///     .dense(64, Activation::Tanh)
    ///     .dense(64, Activation::Tanh)
    ///     .dense(1, Activation::Linear)
    ///     .loss(Loss::Mse);
    /// assert_eq!(Model::new(spec)?.parameter_count(), 4353);
    /// # Ok::<(), reptile::Error>(())
    /// ```
    pub fn builder(input: &[usize]) -> Self {
        Self { input: input.to_vec(), layers: Vec::new(), loss: Loss::Mse, init: Init::Glorot }
    }

    /// Adds a dense layer.
    pub fn dense(mut self, units: usize, activation: Activation) -> Self {
        self.layers.push(LayerSpec::Dense { units, activation });
        self
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
