//! A checked layer: its shapes, its window, its place in both parameter layouts.

use crate::model::spec::Activation;
use crate::model::{TensorInfo, padded};

/// How kernels hold one example between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All numbers in their own order, then zeros up to a multiple of four: what a network that starts with
    /// a dense layer takes, and what every dense layer makes.
    Row,
    /// `[H, W, C]` with C padded to a multiple of four.
    Image,
}

/// Shape of one example between two layers; a row of n features is `[n, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels C of an image, or features of a row.
    pub channels: usize,
    /// Rows of pixels H.
    pub height: usize,
    /// Columns of pixels W.
    pub width: usize,
}

impl Shape {
    /// A row of `n` features.
    pub const fn features(n: usize) -> Self {
        Self { channels: n, height: 1, width: 1 }
    }

    /// Pixels of one channel.
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Numbers.
    pub const fn elements(self) -> usize {
        self.channels * self.pixels()
    }

    /// How kernels hold it: the one place where that is decided. An image of a single pixel is a row.
    pub const fn layout(self) -> Layout {
        if self.pixels() == 1 { Layout::Row } else { Layout::Image }
    }

    /// Floats that kernels hold for it: `[H, W, C]` with C rounded up to whole vectors.
    pub const fn packed(self) -> usize {
        self.pixels() * padded(self.channels)
    }

    /// `[C, H, W]` numbers as kernels hold them: appends `[H, W, C]` with zeros behind C.
    pub fn pack(self, chw: &[f32], out: &mut Vec<f32>) {
        for pixel in 0..self.pixels() {
            out.extend((0..self.channels).map(|channel| chw[channel * self.pixels() + pixel]));
            out.extend((self.channels..padded(self.channels)).map(|_| 0.0));
        }
    }

    /// The inverse of [`Shape::pack`].
    pub fn unpack(self, packed: &[f32]) -> Vec<f32> {
        (0..self.elements()).map(|index| packed[self.packed_index(index)]).collect()
    }

    /// Where kernels hold number `index` of `[C, H, W]`.
    pub(super) fn packed_index(self, index: usize) -> usize {
        (index % self.pixels()) * padded(self.channels) + index / self.pixels()
    }
}

/// The window that a convolution or a pooling moves over an image: `[height, width]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels under the window.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Padding before the first row and column.
    pub before: [usize; 2],
}

impl Window {
    /// One pixel at a time.
    pub const POINT: Self = Self { kernel: [1, 1], stride: [1, 1], before: [0, 0] };

    /// Pixels of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// A matrix on all numbers of an example.
    Dense,
    /// A convolution with bias; its padding is zeros.
    Conv(Window),
    /// Batch-norm with this ε.
    BatchNorm {
        /// Added to each channel's variance before its root is taken.
        epsilon: f32,
    },
    /// Group-norm; with one group a layer-norm.
    GroupNorm {
        /// Groups of consecutive channels, which divide the channels.
        groups: usize,
        /// Added to each group's variance before its root is taken.
        epsilon: f32,
        /// Whether scale and shift have a number for each number of an example, and not for each channel.
        per_number: bool,
    },
    /// The largest value of each window; padding does not count.
    MaxPool(Window),
    /// With a window of one pixel, the identity (an activation of its own).
    AveragePool(Window),
}

/// The weights of a dense layer or a convolution: packed, a matrix with a row for each tap and
/// channel (channels rounded up to a multiple of four), then the bias; a column for each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
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

/// A layer with its place in the network and in both parameter layouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// `conv1`, `norm1`, `dense1`, …, counted by kind.
    pub name: String,
    /// What it computes before the activation.
    pub op: Op,
    /// The function of each number after `op`.
    pub activation: Activation,
    /// Shape of one example that it takes.
    pub input: Shape,
    /// Shape of one example that it makes.
    pub output: Shape,
    /// A convolution of fewer channels than a vector holds, below all other parameters: its packed
    /// matrix has a row for each number under the kernel, in PyTorch's order, instead of a padded
    /// pixel a tap.
    pub narrow: bool,
    /// Kernels hold its inputs as bytes that stand for 0..1, four to a word: a dense layer that reads
    /// images.
    pub bytes: bool,
    /// Start of the parameters in the packed layout, in floats.
    pub packed_offset: usize,
    /// Start of the parameters in the canonical layout, in floats.
    pub canonical_offset: usize,
}

impl Layer {
    /// Numbers of one example that it takes.
    pub fn inputs(&self) -> usize {
        self.input.elements()
    }

    /// Numbers of one example that it makes.
    pub fn outputs(&self) -> usize {
        self.output.elements()
    }

    /// Floats of one example that it takes, as kernels hold them.
    pub fn inputs_padded(&self) -> usize {
        self.input.packed()
    }

    /// Words of 32 bits of one example that it takes: floats, or four bytes each.
    pub fn input_words(&self) -> usize {
        if self.bytes { self.inputs_padded() / 4 } else { self.inputs_padded() }
    }

    /// Floats of one example that it makes, as kernels hold them.
    pub fn outputs_padded(&self) -> usize {
        self.output.packed()
    }

    /// The weights, where there are any.
    pub fn weights(&self) -> Option<Weights> {
        let outputs = self.output.channels;
        let (channels, taps) = match self.op {
            Op::Dense => (self.input.channels, self.input.pixels()),
            Op::Conv(window) if self.narrow => (self.input.channels * window.taps(), 1),
            Op::Conv(window) => (self.input.channels, window.taps()),
            Op::BatchNorm { .. } | Op::GroupNorm { .. } | Op::MaxPool(_) | Op::AveragePool(_) => {
                return None;
            }
        };
        Some(Weights { channels, taps, outputs })
    }

    /// The shape of a norm's scale and of its shift; packed, they are one after the other.
    pub fn affine(&self) -> Option<Shape> {
        match self.op {
            Op::BatchNorm { .. } | Op::GroupNorm { per_number: false, .. } => {
                Some(Shape::features(self.output.channels))
            }
            Op::GroupNorm { .. } => Some(self.output),
            Op::Dense | Op::Conv(_) | Op::MaxPool(_) | Op::AveragePool(_) => None,
        }
    }

    /// Floats of its parameters in the packed layout.
    pub fn packed_len(&self) -> usize {
        let of_weights = |weights: Weights| (weights.rows() + 1) * weights.columns();
        let affine = self.affine().map_or(0, |shape| 2 * shape.packed());
        self.weights().map_or(affine, of_weights)
    }

    /// Number of its parameters.
    pub fn parameter_count(&self) -> usize {
        let of_weights = |weights: Weights| (weights.inputs() + 1) * weights.outputs;
        let affine = self.affine().map_or(0, |shape| 2 * shape.elements());
        self.weights().map_or(affine, of_weights)
    }

    /// Its named tensors: weight and bias in PyTorch's shapes, or nothing.
    pub(super) fn tensors(&self) -> Vec<TensorInfo> {
        let outputs = self.output.channels;
        let weight = match self.op {
            Op::Dense => vec![outputs, self.inputs()],
            Op::Conv(Window { kernel: [height, width], .. }) => {
                vec![outputs, self.input.channels, height, width]
            }
            Op::GroupNorm { per_number: true, .. } if self.output.pixels() > 1 => {
                let Shape { channels, height, width } = self.output;
                vec![channels, height, width]
            }
            Op::BatchNorm { .. } | Op::GroupNorm { .. } => vec![outputs],
            Op::MaxPool(_) | Op::AveragePool(_) => return Vec::new(),
        };
        let tensor = |kind: &str, shape, offset| TensorInfo {
            name: format!("{}.{kind}", self.name),
            shape,
            offset,
        };
        let bias = if self.affine().is_some() { weight.clone() } else { vec![outputs] };
        let weight = tensor("weight", weight, self.canonical_offset);
        let bias = tensor("bias", bias, self.canonical_offset + weight.elements());
        vec![weight, bias]
    }

    /// Inputs of an output and outputs of an input, as initial values count them (Glorot and Bengio
    /// 2010; a convolution's taps count).
    pub(super) fn fans(&self) -> [usize; 2] {
        match self.op {
            Op::Conv(window) => {
                [self.input.channels, self.output.channels].map(|channels| channels * window.taps())
            }
            _ => [self.inputs(), self.outputs()],
        }
    }

    /// Multiply-adds of its product for one example.
    pub fn products(&self) -> u64 {
        let pixels = match self.op {
            Op::Conv(_) => self.output.pixels(),
            _ => 1,
        };
        self.weights().map_or(0, |weights| (pixels * weights.inputs() * weights.outputs) as u64)
    }

    /// Calls `visit(canonical index, packed index)` for each of its parameters.
    pub(super) fn for_each_parameter(&self, visit: &mut impl FnMut(usize, usize)) {
        let (canonical, packed) = (self.canonical_offset, self.packed_offset);
        let Some(weights) = self.weights() else {
            let Some(shape) = self.affine() else { return };
            for number in 0..shape.elements() {
                let at = shape.packed_index(number);
                visit(canonical + number, packed + at);
                visit(canonical + shape.elements() + number, packed + shape.packed() + at);
            }
            return;
        };
        let columns = weights.columns();
        let bias = canonical + weights.outputs * weights.inputs();
        for output in 0..weights.outputs {
            for channel in 0..weights.channels {
                for tap in 0..weights.taps {
                    let input = channel * weights.taps + tap;
                    let row = tap * padded(weights.channels) + channel;
                    visit(
                        canonical + output * weights.inputs() + input,
                        packed + row * columns + output,
                    );
                }
            }
            visit(bias + output, packed + weights.rows() * columns + output);
        }
    }
}
