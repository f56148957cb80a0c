//! Where a layer stands in a network: shapes, its window, its parameters in both layouts.

use crate::layers::activation::Activation;
use crate::layers::parameters::{Parameters, Reads, TensorInfo, Weights};
use crate::layers::shape::Shape;
use crate::layers::window::Window;
#[cfg(feature = "onnx")]
use crate::onnx::Attribute;

/// The place of a layer in its network.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// `conv1`, `norm1`, `dense1`, …, counted by kind; empty without parameters.
    pub name: String,
    /// The function of each number after the layer's operation.
    pub activation: Activation,
    /// Shape of one example that it takes.
    pub input: Shape,
    /// Shape of one example that it makes.
    pub output: Shape,
    /// The window of a convolution or a pooling.
    pub window: Window,
    /// What it learns.
    pub parameters: Parameters,
    /// Kernels hold its inputs as bytes that stand for 0..1, four to a word: a dense layer that reads
    /// images.
    pub bytes: bool,
    /// Start of the parameters in the packed layout, in floats.
    pub packed_offset: usize,
    /// Start of the parameters in the canonical layout, in floats.
    pub canonical_offset: usize,
}

impl Place {
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
        match self.parameters {
            Parameters::Weights(weights) => Some(weights),
            Parameters::None | Parameters::Affine(_) => None,
        }
    }

    /// Whether it is a convolution of [`Reads::NarrowWindow`].
    pub fn is_narrow(&self) -> bool {
        self.weights().is_some_and(|weights| weights.reads == Reads::NarrowWindow)
    }

    /// Floats of its parameters in the packed layout.
    pub fn packed_len(&self) -> usize {
        self.parameters.packed_len()
    }

    /// Number of its parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }

    /// Its named tensors: weight and bias in PyTorch's shapes, or nothing.
    pub(crate) fn tensors(&self) -> Vec<TensorInfo> {
        let [weight, bias] = match self.parameters {
            Parameters::None => return Vec::new(),
            Parameters::Weights(Weights { reads: Reads::All, outputs, .. }) => {
                [vec![outputs, self.inputs()], vec![outputs]]
            }
            Parameters::Weights(Weights { outputs, .. }) => {
                let [height, width] = self.window.kernel;
                [vec![outputs, self.input.channels, height, width], vec![outputs]]
            }
            Parameters::Affine(shape) if shape.pixels() == 1 => {
                [vec![shape.channels], vec![shape.channels]]
            }
            Parameters::Affine(Shape { channels, height, width }) => {
                [vec![channels, height, width], vec![channels, height, width]]
            }
        };
        let tensor = |kind: &str, shape, offset| TensorInfo {
            name: format!("{}.{kind}", self.name),
            shape,
            offset,
        };
        let weight = tensor("weight", weight, self.canonical_offset);
        let bias = tensor("bias", bias, self.canonical_offset + weight.elements());
        vec![weight, bias]
    }

    /// Inputs of an output and outputs of an input, as initial values count them (Glorot and Bengio
    /// 2010; a convolution's taps count).
    pub(crate) fn fans(&self) -> [usize; 2] {
        match self.weights() {
            Some(weights) => [weights.inputs(), weights.outputs * self.window.taps()],
            None => [self.inputs(), self.outputs()],
        }
    }

    /// Its window as ONNX says it.
    #[cfg(feature = "onnx")]
    pub(crate) fn onnx_window(&self) -> [(&'static str, Attribute); 3] {
        let Window { kernel, stride, before } = self.window;
        let [input, output] = [self.input, self.output].map(|shape| [shape.height, shape.width]);
        // As little behind the image as the last window needs.
        let behind = [0, 1].map(|axis| {
            let end = (output[axis] - 1) * stride[axis] + kernel[axis];
            end.saturating_sub(input[axis] + before[axis])
        });
        let ints = |of: &[usize]| Attribute::Ints(of.iter().map(|size| *size as i64).collect());
        [
            ("kernel_shape", ints(&kernel)),
            ("strides", ints(&stride)),
            ("pads", ints(&[before, behind].concat())),
        ]
    }

    /// Multiply-adds of its product for one example.
    pub fn products(&self) -> u64 {
        self.weights()
            .map_or(0, |weights| (self.output.pixels() * weights.inputs() * weights.outputs) as u64)
    }

    /// Calls `visit(canonical index, packed index)` for each of its parameters.
    pub(crate) fn for_each_parameter(&self, visit: &mut impl FnMut(usize, usize)) {
        let (canonical, packed) = (self.canonical_offset, self.packed_offset);
        self.parameters.for_each(&mut |own, at| visit(canonical + own, packed + at));
    }
}
