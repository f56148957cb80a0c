//! The description of a network: what a user writes in TOML or with [`ModelSpec::builder`].

use serde::{Deserialize, Serialize};

use crate::model::padded;

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

/// Height and width of a kernel or a stride: one number for both, or `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Extent {
    /// One number for both.
    Square(usize),
    /// `[height, width]`.
    Sides([usize; 2]),
}

impl Extent {
    /// `[height, width]`.
    pub fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side, side],
            Self::Sides(sides) => sides,
        }
    }
}

impl From<usize> for Extent {
    fn from(side: usize) -> Self {
        Self::Square(side)
    }
}

impl From<[usize; 2]> for Extent {
    fn from(sides: [usize; 2]) -> Self {
        Self::Sides(sides)
    }
}

/// A padding by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingName {
    /// As many rows and columns as make ⌈size / stride⌉ outputs, half of them (rounded down) before
    /// the image, the rest behind it: TensorFlow's SAME.
    Same,
    /// None.
    Valid,
}

/// Rows and columns around an image: `"same"`, `"valid"`, one number for all sides, or
/// `[top, bottom, left, right]`. Convolutions see zeros there, max-pooling −∞, and average pooling
/// leaves them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Padding {
    /// `"same"` or `"valid"`.
    Named(PaddingName),
    /// So many rows and columns on every side.
    All(usize),
    /// `[top, bottom, left, right]`.
    Sides([usize; 4]),
}

impl Padding {
    /// TensorFlow's SAME.
    pub const SAME: Self = Self::Named(PaddingName::Same);
    /// None.
    pub const VALID: Self = Self::Named(PaddingName::Valid);

    /// `[top, bottom, left, right]` of a window over an image of `size` `[height, width]`.
    pub(super) fn sides(
        self,
        kernel: [usize; 2],
        stride: [usize; 2],
        size: [usize; 2],
    ) -> [usize; 4] {
        let same = |axis: usize| {
            let outputs = size[axis].div_ceil(stride[axis]);
            let covered = ((outputs - 1) * stride[axis]).saturating_add(kernel[axis]);
            let total = covered.saturating_sub(size[axis]);
            [total / 2, total - total / 2]
        };
        match self {
            Self::Named(PaddingName::Same) => {
                let ([top, bottom], [left, right]) = (same(0), same(1));
                [top, bottom, left, right]
            }
            Self::Named(PaddingName::Valid) => [0; 4],
            Self::All(all) => [all; 4],
            Self::Sides(sides) => sides,
        }
    }
}

fn same() -> Padding {
    Padding::SAME
}

fn one() -> Extent {
    Extent::Square(1)
}

fn epsilon() -> f32 {
    1e-3
}

fn small_epsilon() -> f32 {
    1e-5
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerSpec {
    /// y = activation(W x + b), W of shape `[units, inputs]`. An image is flattened in the order
    /// (C, H, W), as PyTorch does.
    Dense {
        /// Numbers that it makes of an example.
        units: usize,
        /// Default linear.
        #[serde(default)]
        activation: Activation,
    },
    /// A convolution with bias, W of shape `[filters, C, kernel height, kernel width]`.
    Conv2d {
        /// Channels of the output.
        filters: usize,
        /// Pixels of the kernel.
        kernel: Extent,
        /// Default 1.
        #[serde(default = "one")]
        stride: Extent,
        /// Default same.
        #[serde(default = "same")]
        padding: Padding,
        /// Default linear.
        #[serde(default)]
        activation: Activation,
    },
    /// γ (x − mean) / √(variance + ε) + β with the mean and the (biased) variance of each channel
    /// over the batch at hand, in training and evaluation alike: there are no running averages.
    BatchNorm {
        /// Default 1e-3.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// Default linear.
        #[serde(default)]
        activation: Activation,
    },
    /// γ ⊙ (x − mean) / √(variance + ε) + β with the mean and the (biased) variance of all numbers of an example; γ and β
    /// have the example's shape (`torch.nn.LayerNorm` of all but the batch's axis).
    LayerNorm {
        /// Default 1e-5.
        #[serde(default = "small_epsilon")]
        epsilon: f32,
        /// Default linear.
        #[serde(default)]
        activation: Activation,
    },
    /// As a layer-norm over each of `groups` groups of consecutive channels; γ and β are `[C]` (`torch.nn.GroupNorm`).
    GroupNorm {
        /// Groups, which divide the channels.
        groups: usize,
        /// Default 1e-5.
        #[serde(default = "small_epsilon")]
        epsilon: f32,
        /// Default linear.
        #[serde(default)]
        activation: Activation,
    },
    /// The largest value of each window.
    MaxPool {
        /// Pixels of the window.
        size: Extent,
        /// Default: the size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Extent>,
        /// Default same.
        #[serde(default = "same")]
        padding: Padding,
    },
    /// The mean of each window; padding does not count.
    AveragePool {
        /// Pixels of the window.
        size: Extent,
        /// Default: the size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Extent>,
        /// Default same.
        #[serde(default = "same")]
        padding: Padding,
    },
    /// The mean of each channel over the whole image.
    GlobalPool,
    /// An image as one row of numbers, for the dense layer that follows (which flattens by itself).
    Flatten,
    /// A function of each number.
    Activation {
        /// Which one.
        function: Activation,
    },
}

/// A network as its user describes it; [`crate::model::Model::new`] checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub fn layer(mut self, layer: LayerSpec) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds a dense layer.
    pub fn dense(self, units: usize, activation: Activation) -> Self {
        self.layer(LayerSpec::Dense { units, activation })
    }

    /// Adds a convolution without an activation.
    pub fn conv2d(
        self,
        filters: usize,
        kernel: impl Into<Extent>,
        stride: impl Into<Extent>,
        padding: Padding,
    ) -> Self {
        self.layer(LayerSpec::Conv2d {
            filters,
            kernel: kernel.into(),
            stride: stride.into(),
            padding,
            activation: Activation::Linear,
        })
    }

    /// Adds a batch-norm with ε = 1e-3.
    pub fn batch_norm(self, activation: Activation) -> Self {
        self.layer(LayerSpec::BatchNorm { epsilon: epsilon(), activation })
    }

    /// Adds a layer-norm with ε = 1e-5.
    pub fn layer_norm(self, activation: Activation) -> Self {
        self.layer(LayerSpec::LayerNorm { epsilon: small_epsilon(), activation })
    }

    /// Adds a group-norm of `groups` groups with ε = 1e-5.
    pub fn group_norm(self, groups: usize, activation: Activation) -> Self {
        self.layer(LayerSpec::GroupNorm { groups, epsilon: small_epsilon(), activation })
    }

    /// Adds a max-pooling whose stride is its size.
    pub fn max_pool(self, size: impl Into<Extent>, padding: Padding) -> Self {
        self.layer(LayerSpec::MaxPool { size: size.into(), stride: None, padding })
    }

    /// Adds an activation of its own.
    pub fn activation(self, function: Activation) -> Self {
        self.layer(LayerSpec::Activation { function })
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
