//! What a network is: layers, shapes, parameter layout, initial values, FLOPs. No GPU here.
//!
//! Parameters have two layouts. The *canonical* one is PyTorch's: the tensors one after another
//! (`conv1.weight` `[out, in, kh, kw]`, `conv1.bias` `[out]`, `norm1.weight` `[C]`, …,
//! `dense1.weight` `[out, in]`), row-major; files, the reference and the public API use it. The
//! *packed* one is the kernels': a dense layer or a convolution is a matrix with a row for each tap
//! and channel (the last row is the bias) and a column for each output, both padded to multiples of
//! four; a norm is its scale and its shift, a row each (`[H, W, C]` where a layer-norm has one for each number). The padding is zero and stays zero.
//! [`Model::pack`] and [`Model::unpack`] convert.
//!
//! Examples are `[C, H, W]` outside and, between the layers of a network that takes images,
//! `[H, W, C]` on the device, with C padded likewise ([`Layout`]).

mod infer;
#[cfg(feature = "onnx")]
mod onnx;
mod spare;
mod spec;

pub use crate::layers::{
    Activation, Extent, Layer, LayerSpec, Layout, Padding, PaddingName, Shape, TensorInfo, Weights,
    Window, padded,
};
#[cfg(feature = "onnx")]
pub use onnx::OnnxSettings;
pub use spec::{Init, Loss, ModelSpec};

use std::ops::Range;

use rand::RngExt;

use crate::error::Result;
use crate::layers::Parameters;
use crate::rng::{Part, Phase, Stream};

/// A checked network.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    spec: ModelSpec,
    layers: Vec<Layer>,
    tensors: Vec<TensorInfo>,
}

impl Model {
    /// Checks `spec` and lays out its parameters.
    ///
    /// # Errors
    /// [`crate::Error::Model`] that names the layer, if a size is zero, a layer does not fit what comes
    /// before it, the head is not linear or gives an image, or the packed parameters are more than
    /// 32 bits can count.
    pub fn new(spec: ModelSpec) -> Result<Self> {
        let layers = infer::layers(&spec)?;
        let tensors = layers.iter().flat_map(|layer| layer.tensors()).collect();
        Ok(Self { spec, layers, tensors })
    }

    /// The description it was made from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The layers, input first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers that have parameters.
    pub fn layers_with_parameters(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.parameter_count() > 0)
    }

    /// The named tensors in canonical order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// What it is trained to lower.
    pub fn loss(&self) -> Loss {
        self.spec.loss
    }

    /// Whether it is a multilayer perceptron that is trained as a whole: dense layers alone, each of which reads a row.
    pub fn is_mlp(&self) -> bool {
        let plain = |layer: &Layer| layer.is_dense() && layer.input.layout() == Layout::Row;
        self.layers.iter().all(|layer| plain(layer) && !layer.is_frozen())
    }

    /// Whether some layers are kept as they start.
    pub fn has_frozen_layers(&self) -> bool {
        self.layers.iter().any(Layer::is_frozen)
    }

    /// Where the parameters that are kept as they start lie in a set `[P]`: before all others.
    pub fn frozen_parameters(&self) -> Range<usize> {
        let first = self.layers.iter().find(|layer| layer.is_trained());
        0..first.map_or(0, |layer| layer.canonical_offset)
    }

    /// Whether a prediction depends on the other examples of its batch.
    pub fn has_batch_statistics(&self) -> bool {
        self.layers.iter().any(Layer::couples_examples)
    }

    /// Numbers in one example.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// How kernels hold an example.
    pub fn input_layout(&self) -> Layout {
        self.layers[0].input.layout()
    }

    /// Floats of an example as kernels hold it.
    pub fn inputs_padded(&self) -> usize {
        self.layers[0].inputs_padded()
    }

    /// The same network, for images as bytes where its first layer can read them: a dense layer that is
    /// not the last as well.
    pub fn reading_bytes(&self) -> Self {
        let mut model = self.reading_numbers();
        let several = model.layers.len() > 1;
        let first = &mut model.layers[0];
        first.set_bytes(several && first.is_dense());
        model
    }

    /// The same network, for examples as numbers.
    pub fn reading_numbers(&self) -> Self {
        let mut model = self.clone();
        model.layers[0].set_bytes(false);
        model
    }

    /// Words of 32 bits that hold an example of a batch.
    pub fn input_words(&self) -> usize {
        self.layers[0].input_words()
    }

    /// Words of 32 bits that hold an example's target.
    pub fn target_words(&self) -> usize {
        self.loss().target_words(self.outputs())
    }

    /// Examples `[…, inputs]` as kernels hold them: `[…, inputs_padded]`.
    pub fn pack_inputs(&self, examples: &[f32]) -> Vec<f32> {
        let mut packed = Vec::with_capacity(examples.len() / self.inputs() * self.inputs_padded());
        for example in examples.chunks_exact(self.inputs()) {
            self.layers[0].input.pack(example, &mut packed);
        }
        packed
    }

    /// Examples as kernels hold them, back as `[…, inputs]`: the inverse of [`Model::pack_inputs`].
    pub fn unpack_inputs(&self, packed: &[f32]) -> Vec<f32> {
        let shape = self.layers[0].input;
        packed.chunks_exact(self.inputs_padded()).flat_map(|one| shape.unpack(one)).collect()
    }

    /// Numbers in one prediction.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs()
    }

    /// Trainable numbers: the length of the canonical layout.
    pub fn parameter_count(&self) -> usize {
        self.tensors.iter().map(TensorInfo::elements).sum()
    }

    /// The length of the packed layout in floats, a multiple of four.
    pub fn packed_len(&self) -> usize {
        self.layers.iter().map(|layer| layer.packed_len()).sum()
    }

    /// Initial parameters in canonical order, drawn from `seed`.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.parameter_count()];
        for (index, layer) in self.layers.iter().enumerate() {
            let own = &mut values[layer.canonical_offset..][..layer.parameter_count()];
            if let Parameters::Affine(shape) = layer.parameters {
                own[..shape.elements()].fill(1.0);
            }
            let Some(weights) = layer.weights() else { continue };
            let [fan_in, fan_out] = layer.fans().map(|fan| fan as f64);
            let limit = match self.spec.init {
                Init::Glorot => (6.0 / (fan_in + fan_out)).sqrt(),
                Init::He => (6.0 / fan_in).sqrt(),
                Init::Torch => 1.0 / fan_in.sqrt(),
            };
            let drawn = match self.spec.init {
                Init::Torch => own.len(),
                Init::Glorot | Init::He => weights.outputs * weights.inputs(),
            };
            let stream = Stream::new(seed, Phase::Init, 0, index as u32);
            let uniform = stream.draws(Part::Task).random_iter::<f32>();
            for (parameter, u) in own[..drawn].iter_mut().zip(uniform) {
                *parameter = ((2.0 * f64::from(u) - 1.0) * limit) as f32;
            }
        }
        values
    }

    /// Canonical → packed, for one parameter set (or one set of per-parameter state).
    ///
    /// # Panics
    /// If `canonical` is not [`Model::parameter_count`] long.
    pub fn pack(&self, canonical: &[f32]) -> Vec<f32> {
        assert_eq!(canonical.len(), self.parameter_count(), "one canonical parameter set");
        let mut packed = vec![0.0; self.packed_len()];
        self.for_each_parameter(|canonical_index, packed_index| {
            packed[packed_index] = canonical[canonical_index];
        });
        packed
    }

    /// Packed → canonical, the inverse of [`Model::pack`].
    ///
    /// # Panics
    /// If `packed` is not [`Model::packed_len`] long.
    pub fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        assert_eq!(packed.len(), self.packed_len(), "one packed parameter set");
        let mut canonical = vec![0.0; self.parameter_count()];
        self.for_each_parameter(|canonical_index, packed_index| {
            canonical[canonical_index] = packed[packed_index];
        });
        canonical
    }

    /// Calls `visit(canonical index, packed index)` for every parameter.
    fn for_each_parameter(&self, mut visit: impl FnMut(usize, usize)) {
        for layer in &self.layers {
            layer.for_each_parameter(&mut visit);
        }
    }

    /// Floating-point operations of one inner step on `batch` examples: two for each multiply-add
    /// of the matrix products (forward, weights' gradient, inputs' gradient but for the first layer
    /// with weights).
    pub fn flops_per_step(&self, batch: usize) -> u64 {
        let all: u64 = self.layers.iter().map(|layer| layer.products()).sum();
        let first = self.layers.iter().map(|layer| layer.products()).find(|products| *products > 0);
        2 * batch as u64 * (3 * all - first.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn sine() -> ModelSpec {
        ModelSpec::builder(&[1])
            .dense(64, Activation::Tanh)
            .dense(64, Activation::Tanh)
            .dense(1, Activation::Linear)
    }

    #[test]
    fn names_and_shapes_are_those_of_pytorch() {
        let model = Model::new(sine()).unwrap();
        let names: Vec<_> =
            model.tensors().iter().map(|t| (t.name.as_str(), t.shape.clone())).collect();
        assert_eq!(names[0], ("dense1.weight", vec![64, 1]));
        assert_eq!(names[1], ("dense1.bias", vec![64]));
        assert_eq!(names[4], ("dense3.weight", vec![1, 64]));
        assert_eq!(model.parameter_count(), 4353);
        assert_eq!(model.flops_per_step(10), 252_160);
    }

    /// The paper's networks for Omniglot and Mini-ImageNet, 5-way.
    fn papers() -> [Model; 2] {
        let mut omniglot = ModelSpec::builder(&[1, 28, 28]).loss(Loss::CrossEntropy);
        let mut imagenet = ModelSpec::builder(&[3, 84, 84]).loss(Loss::CrossEntropy);
        for _ in 0..4 {
            omniglot = omniglot.conv2d(64, 3, 2, Padding::SAME).batch_norm(Activation::Relu);
            imagenet = imagenet
                .conv2d(32, 3, 1, Padding::SAME)
                .batch_norm(Activation::Linear)
                .max_pool(2, Padding::SAME)
                .activation(Activation::Relu);
        }
        [omniglot, imagenet].map(|spec| Model::new(spec.dense(5, Activation::Linear)).unwrap())
    }

    #[test]
    fn the_papers_networks_have_their_sizes() {
        let [omniglot, imagenet] = papers();
        assert_eq!((omniglot.parameter_count(), omniglot.layers()[8].inputs()), (113_221, 256));
        assert_eq!((imagenet.parameter_count(), imagenet.layers()[12].inputs()), (34_661, 1152));
        let names: Vec<_> =
            omniglot.tensors().iter().map(|t| (t.name.as_str(), t.shape.clone())).collect();
        assert_eq!(names[0], ("conv1.weight", vec![64, 1, 3, 3]));
        assert_eq!(names[2], ("norm1.weight", vec![64]));
        assert_eq!(names[4], ("conv2.weight", vec![64, 64, 3, 3]));
        assert_eq!(names[16], ("dense1.weight", vec![5, 256]));
        // Nominal: a convolution's taps over its padding count.
        assert_eq!(omniglot.flops_per_step(10), 157_209_600);
        for model in papers() {
            let canonical: Vec<f32> = (1..=model.parameter_count()).map(|i| i as f32).collect();
            assert_eq!(model.unpack(&model.pack(&canonical)), canonical);
        }
    }

    #[test]
    fn images_are_packed_channels_last() {
        let spec = ModelSpec::builder(&[2, 1, 2]).conv2d(1, 1, 1, Padding::SAME);
        let model = Model::new(spec.dense(1, Activation::Linear)).unwrap();
        assert_eq!(model.input_layout(), Layout::Image);
        assert_eq!(
            model.pack_inputs(&[1.0, 2.0, 3.0, 4.0]),
            [1.0, 3.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0]
        );
    }

    #[test]
    fn packing_round_trips_and_pads_with_zeros() {
        let spec = ModelSpec::builder(&[3]).dense(5, Activation::Relu).dense(2, Activation::Linear);
        let model = Model::new(spec).unwrap();
        let canonical: Vec<f32> = (1..=model.parameter_count()).map(|i| i as f32).collect();
        let packed = model.pack(&canonical);
        assert_eq!(packed.len(), 5 * 8 + 9 * 4);
        assert_eq!(packed.iter().filter(|v| **v != 0.0).count(), canonical.len());
        assert_eq!(model.unpack(&packed), canonical);
        assert_eq!(packed[8], canonical[1], "row 1 of the packed layer is input 1");
    }

    #[test]
    fn initial_values_keep_to_their_bound() {
        let model = Model::new(sine()).unwrap();
        let values = model.initial(3);
        let limit = (6.0_f32 / 128.0).sqrt();
        let hidden = &values[128..128 + 4096];
        assert!(hidden.iter().all(|w| w.abs() <= limit));
        assert!(hidden.iter().any(|w| w.abs() > 0.95 * limit));
        assert!(values[64..128].iter().all(|b| *b == 0.0));
        assert_eq!(values, model.initial(3));
        assert_ne!(values, model.initial(4));
    }

    #[test]
    fn impossible_networks_are_refused() {
        let no_layer = ModelSpec::builder(&[1]);
        let curved_head = ModelSpec::builder(&[1]).dense(3, Activation::Tanh);
        let empty = ModelSpec::builder(&[3]).dense(0, Activation::Linear);
        let no_input = ModelSpec::builder(&[0]).dense(2, Activation::Linear);
        let wide = ModelSpec::builder(&[usize::MAX / 2, 3]).dense(2, Activation::Linear);
        let large = ModelSpec::builder(&[70_000]).dense(70_000, Activation::Linear);
        let huge = ModelSpec::builder(&[1]).dense(usize::MAX, Activation::Linear);
        for spec in [no_layer, curved_head, empty, no_input, wide, large, huge] {
            assert!(matches!(Model::new(spec), Err(Error::Model(_))));
        }
        let deep = (0..300).fold(ModelSpec::builder(&[1]), |it, _| it.dense(1, Activation::Linear));
        let text = Model::new(deep).unwrap_err().to_string();
        assert!(text.contains("it has 300 layers; give at most 128"), "{text}");
        let curved = ModelSpec::builder(&[1]).dense(3, Activation::Relu);
        let text = Model::new(curved).unwrap_err().to_string();
        assert!(text.contains("the last layer is relu;"), "{text}");
    }
}
