//! The layers of networks: a file for each type, and the registry that lists them ([`LayerSpec`]).
//!
//! A type's file holds its keys in a configuration, how it infers shapes and parameters, how it records its forward and its
//! backward pass on the device, the float64 twin of both, and samples for tests. Models, plans, the reference, configuration
//! and tests loop over the registry: a new type is its file, its shaders and a line in [`LayerSpec`].

mod activation;
mod average_pool;
mod batch_norm;
mod conv2d;
mod dense;
mod flatten;
mod function;
mod global_pool;
mod group_norm;
mod layer;
mod layer_norm;
mod matrix;
mod max_pool;
mod parameters;
mod pass;
mod place;
mod pool;
mod shape;
mod window;

pub(crate) use activation::ACTIVATION;
pub use activation::Activation;
pub use average_pool::AveragePool;
pub use batch_norm::BatchNorm;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use flatten::Flatten;
pub use function::Function;
pub use global_pool::GlobalPool;
pub use group_norm::GroupNorm;
pub use layer::Layer;
pub use layer_norm::LayerNorm;
pub use matrix::{
    backward_tiles, forward_tiles, layer_backward, layer_forward, layer_update, update_tiles,
};
pub use max_pool::MaxPool;
pub use parameters::{Parameters, Reads, TensorInfo, Weights};
pub use pass::{Backward, Batch, Below, Forward, Left, Outputs};
pub use place::Place;
pub use shape::{Layout, Shape, padded, vectors};
pub use window::{Extent, Padding, PaddingName, Window};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
#[cfg(feature = "onnx")]
use crate::onnx::{Graph, Value};

/// What is known before a layer.
#[derive(Debug)]
pub(crate) struct Before {
    /// Shape of an example.
    pub shape: Shape,
    /// Whether the shape is an image, not a row of features.
    pub image: bool,
    /// Whether no layer before it has parameters.
    pub first: bool,
}

/// What a layer has in a graph of ONNX operators.
#[cfg(feature = "onnx")]
#[derive(Debug)]
pub(crate) struct Own<'a> {
    /// Weight and bias, or scale and shift, if it has such: names, shapes and numbers.
    pub tensors: Vec<(TensorInfo, &'a [f32])>,
    /// Mean and variance of each channel, where they are fixed.
    pub statistics: Option<&'a [Vec<f32>; 2]>,
}

/// What a layer makes.
#[derive(Debug)]
pub(crate) struct Made {
    /// What its tensors are named by, with a number; nothing if it has none.
    pub name: Option<&'static str>,
    /// Shape of an example.
    pub output: Shape,
    /// The window that it moves over an image, or [`Window::POINT`].
    pub window: Window,
    /// What it learns.
    pub parameters: Parameters,
    /// The function behind its operation.
    pub activation: Activation,
}

/// What the file of a type of layer says; `self` is the layer as its user described it.
trait LayerType {
    /// The activation that it is, if it is nothing else.
    fn joins(&self) -> Option<Activation> {
        None
    }

    /// Checks it behind `before`, and says what it makes and whether an image follows; nothing if it has no layer of its own.
    ///
    /// # Errors
    /// A sentence that names what does not fit, and what would.
    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String>;

    /// Whether its parameters are kept as they start.
    fn frozen(&self) -> bool {
        false
    }

    /// Keeps them so, if it has any.
    fn freeze(&mut self) {}

    /// Whether what it makes of an example depends on the other examples of the batch.
    fn couples_examples(&self) -> bool {
        false
    }

    /// Floats that it keeps of a batch of `examples` for the way back, beside its outputs.
    fn statistics(&self, _: &Place, _examples: usize) -> usize {
        0
    }

    /// Records the forward pass, the activation included.
    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()>;

    /// Records the backward pass, the slope of the activation below and the inner step included.
    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left>;

    /// The float64 twin: z, before the activation.
    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64>;

    /// dL/dx from dz = dL/dz.
    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64>;

    /// The gradient by its own parameters.
    #[cfg(feature = "reference")]
    fn twin_gradient(&self, _: &Place, _x: &[f64], _dz: &[f64]) -> Vec<f64> {
        Vec::new()
    }

    /// Adds it to `graph`: z, before the activation, of the value `x`.
    #[cfg(feature = "onnx")]
    fn onnx(&self, place: &Place, graph: &mut Graph, own: &Own<'_>, x: Value) -> Value;

    /// Layers of the type for tests; the first one has every key set.
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// The registry: an enum of types by their names in a configuration (in kebab-case), and where each of them is.
macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident($own:ident),)*) => {
        /// One layer as its user describes it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "kebab-case")]
        pub enum LayerSpec {
            $($(#[$doc])* $name($own),)*
        }

        impl LayerSpec {
            fn kind(&self) -> &dyn LayerType {
                match self { $(Self::$name(own) => own,)* }
            }

            /// Keeps its parameters, if it has any, as they start.
            #[must_use]
            pub fn frozen(mut self) -> Self {
                match &mut self { $(Self::$name(own) => own.freeze(),)* }
                self
            }

            /// Layers of every type for tests; of each type the first one has every key set.
            pub fn samples() -> Vec<Vec<Self>> {
                vec![$($own::samples().into_iter().map(Self::$name).collect()),*]
            }
        }

        $(impl From<$own> for LayerSpec {
            fn from(own: $own) -> Self {
                Self::$name(own)
            }
        })*
    };
}

registry! {
    /// A matrix on all numbers of an example.
    Dense(Dense),
    /// A convolution.
    Conv2d(Conv2d),
    /// The statistics of a channel over the batch.
    BatchNorm(BatchNorm),
    /// The statistics of an example.
    LayerNorm(LayerNorm),
    /// The statistics of a group of an example's channels.
    GroupNorm(GroupNorm),
    /// The largest value of each window.
    MaxPool(MaxPool),
    /// The mean of each window.
    AveragePool(AveragePool),
    /// The mean of each channel over the whole image.
    GlobalPool(GlobalPool),
    /// An image as one row of numbers.
    Flatten(Flatten),
    /// A function of each number.
    Activation(Function),
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Checks what all norms need.
fn check_norm(before: &Before, what: &str, epsilon: f32) -> Result<(), String> {
    if !(epsilon.is_finite() && epsilon > 0.0) {
        return Err(format!("{what}: epsilon {epsilon} is not possible; give one above 0"));
    }
    if !before.image && before.shape.pixels() > 1 {
        return Err(format!(
            "a {what} of the numbers of a flattened image is not possible; put it before `flatten`, \
             where it takes channels, or behind a dense layer"
        ));
    }
    Ok(())
}
