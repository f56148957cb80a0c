//! The parameters of a layer in both layouts (see [`crate::model`]).

use crate::layers::shape::{Shape, padded};

/// One named parameter tensor in PyTorch's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// `conv1.weight`, `dense2.bias`, …: the layer and the kind of parameter.
    pub name: String,
    /// Sizes in PyTorch's order, such as `[units, inputs]` or `[filters, C, height, width]`.
    pub shape: Vec<usize>,
    /// Start in the canonical layout, in floats.
    pub offset: usize,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What an output of a layer with weights reads of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All numbers: a dense layer.
    All,
    /// The pixels under a window: a convolution.
    Window,
    /// Likewise, of fewer channels than a vector holds and below all other parameters: the packed matrix has a row for
    /// each number under the window, in PyTorch's order, instead of a padded pixel a tap.
    NarrowWindow,
}

/// The weights of a dense layer or a convolution: packed, a matrix with a row for each tap and
/// channel (channels rounded up to a multiple of four), then the bias; a column for each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// What an output reads.
    pub reads: Reads,
    /// Channels of the input; for a narrow convolution, all numbers under the kernel.
    pub channels: usize,
    /// Pixels under the kernel: for a dense layer the whole image, for a narrow convolution 1.
    pub taps: usize,
    /// Units of a dense layer, or filters of a convolution.
    pub outputs: usize,
}

impl Weights {
    /// Inputs of an output.
    pub fn inputs(&self) -> usize {
        self.channels * self.taps
    }

    /// Rows of the packed matrix before the bias.
    pub fn rows(&self) -> usize {
        self.taps * padded(self.channels)
    }

    /// Columns of the packed matrix.
    pub fn columns(&self) -> usize {
        padded(self.outputs)
    }
}

/// The parameters of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// There are none.
    None,
    /// A matrix and a bias.
    Weights(Weights),
    /// The scale and the shift of a norm, of this shape each; packed, they are one after the other.
    Affine(Shape),
}

impl Parameters {
    /// Floats in the packed layout.
    pub fn packed_len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Weights(weights) => (weights.rows() + 1) * weights.columns(),
            Self::Affine(shape) => 2 * shape.packed(),
        }
    }

    /// Whether the packed layout has more than `most` floats.
    pub(crate) fn exceed(&self, most: usize) -> bool {
        let [rows, columns] = match self {
            Self::None => [0, 0],
            Self::Weights(weights) => [weights.rows().saturating_add(1), weights.outputs],
            Self::Affine(shape) => [shape.pixels().saturating_mul(2), shape.channels],
        };
        let columns = columns.checked_next_multiple_of(4).unwrap_or(usize::MAX);
        columns.saturating_mul(rows) > most
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Weights(weights) => (weights.inputs() + 1) * weights.outputs,
            Self::Affine(shape) => 2 * shape.elements(),
        }
    }

    /// Calls `visit(canonical index, packed index)` for each, counted from the layer's first.
    pub(crate) fn for_each(&self, visit: &mut impl FnMut(usize, usize)) {
        match self {
            Self::None => {}
            Self::Weights(weights) => {
                let columns = weights.columns();
                let bias = weights.outputs * weights.inputs();
                for output in 0..weights.outputs {
                    for channel in 0..weights.channels {
                        for tap in 0..weights.taps {
                            let input = channel * weights.taps + tap;
                            let row = tap * padded(weights.channels) + channel;
                            visit(output * weights.inputs() + input, row * columns + output);
                        }
                    }
                    visit(bias + output, weights.rows() * columns + output);
                }
            }
            Self::Affine(shape) => {
                for number in 0..shape.elements() {
                    let at = shape.packed_index(number);
                    visit(number, at);
                    visit(shape.elements() + number, shape.packed() + at);
                }
            }
        }
    }
}
