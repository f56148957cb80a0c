//! What a network is: layers, shapes, parameter layout, initial values, FLOPs. No GPU here.
//!
//! Parameters have two layouts. The *canonical* one is PyTorch's: the tensors one after another
//! (`dense1.weight` `[out, in]`, `dense1.bias` `[out]`, …), row-major; files, the reference and the
//! public API use it. The *packed* one is the kernels': a layer is a matrix of `inputs_padded + 1`
//! rows (the weights of one input each, the last row is the bias) and `outputs_padded` columns,
//! both padded to multiples of four; the padding is zero and stays zero. [`Model::pack`] and
//! [`Model::unpack`] convert.

mod spec;

pub use spec::{Activation, Init, LayerSpec, Loss, ModelSpec};

use crate::error::{Error, Result};
use crate::rng::{Part, Phase, Stream, unit};

/// `n` rounded up to a multiple of four: the width of a vector in the kernels.
pub const fn padded(n: usize) -> usize {
    n.div_ceil(4) * 4
}

/// A dense layer with its place in both layouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    pub inputs: usize,
    pub outputs: usize,
    pub activation: Activation,
    /// Start of the layer in the packed layout, in floats.
    pub packed_offset: usize,
    /// Start of the layer in the canonical layout, in floats.
    pub canonical_offset: usize,
}

impl Dense {
    /// Inputs rounded up to a multiple of four.
    pub fn inputs_padded(&self) -> usize {
        padded(self.inputs)
    }

    /// Outputs rounded up to a multiple of four.
    pub fn outputs_padded(&self) -> usize {
        padded(self.outputs)
    }

    /// Floats of the layer in the packed layout, the bias row included.
    pub fn packed_len(&self) -> usize {
        (self.inputs_padded() + 1) * self.outputs_padded()
    }
}

/// One named parameter tensor in PyTorch's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
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

/// A checked network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    spec: ModelSpec,
    layers: Vec<Dense>,
    tensors: Vec<TensorInfo>,
}

impl Model {
    /// Checks `spec` and lays out its parameters.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no layer, a size is zero, the last layer is not linear, or the
    /// packed parameters are more than 32 bits can count.
    pub fn new(spec: ModelSpec) -> Result<Self> {
        // The kernels' indices have 32 bits.
        const LARGEST: usize = u32::MAX as usize;
        let too_large = |floats: usize| {
            let (bytes, most) = (4 * floats as u128, 4 * LARGEST as u128);
            let what = "its input or parameters need at least";
            Error::Model(format!("{what} {bytes} bytes, the kernels reach {most}; lower the sizes"))
        };
        let input = spec.input.iter().fold(1, |size: usize, n| size.saturating_mul(*n));
        if input > LARGEST {
            return Err(too_large(input));
        }
        if spec.input.is_empty() || input == 0 {
            return Err(Error::Model(format!(
                "input shape {:?} has no elements; give at least one size, all above zero",
                spec.input
            )));
        }
        let mut layers = Vec::with_capacity(spec.layers.len());
        let mut tensors = Vec::new();
        let (mut inputs, mut packed_offset, mut canonical_offset) = (input, 0, 0);
        for (index, layer) in spec.layers.iter().enumerate() {
            let LayerSpec::Dense { units: outputs, activation } = *layer;
            if outputs == 0 {
                return Err(Error::Model(format!("layer {}: units must be at least 1", index + 1)));
            }
            let columns = outputs.checked_next_multiple_of(4).unwrap_or(usize::MAX);
            let end = (padded(inputs) + 1).saturating_mul(columns).saturating_add(packed_offset);
            if end > LARGEST {
                return Err(too_large(end));
            }
            let dense = Dense { inputs, outputs, activation, packed_offset, canonical_offset };
            let name = format!("dense{}", index + 1);
            tensors.push(TensorInfo {
                name: format!("{name}.weight"),
                shape: vec![outputs, inputs],
                offset: canonical_offset,
            });
            tensors.push(TensorInfo {
                name: format!("{name}.bias"),
                shape: vec![outputs],
                offset: canonical_offset + outputs * inputs,
            });
            packed_offset += dense.packed_len();
            canonical_offset += outputs * (inputs + 1);
            layers.push(dense);
            inputs = outputs;
        }
        match layers.last() {
            None => return Err(Error::Model("no layers; give at least one dense layer".into())),
            Some(last) if last.activation != Activation::Linear => {
                return Err(Error::Model(format!(
                    "the last layer is {:?}; the head must be linear (leave `activation` out)",
                    last.activation
                )));
            }
            Some(last) if spec.loss == Loss::CrossEntropy && last.outputs < 2 => {
                return Err(Error::Model("cross-entropy needs at least 2 outputs".into()));
            }
            Some(_) => {}
        }
        Ok(Self { spec, layers, tensors })
    }

    /// The description it was made from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The layers, input first.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// The named tensors in canonical order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// What it is trained to lower.
    pub fn loss(&self) -> Loss {
        self.spec.loss
    }

    /// Numbers in one example.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Numbers in one prediction.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Trainable numbers: the length of the canonical layout.
    pub fn parameter_count(&self) -> usize {
        self.tensors.iter().map(TensorInfo::elements).sum()
    }

    /// The length of the packed layout in floats, a multiple of four.
    pub fn packed_len(&self) -> usize {
        self.layers.iter().map(Dense::packed_len).sum()
    }

    /// Initial parameters in canonical order, drawn from `seed`.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.parameter_count()];
        for (index, layer) in self.layers.iter().enumerate() {
            let (fan_in, fan_out) = (layer.inputs as f64, layer.outputs as f64);
            let limit = match self.spec.init {
                Init::Glorot => (6.0 / (fan_in + fan_out)).sqrt(),
                Init::He => (6.0 / fan_in).sqrt(),
                Init::Torch => 1.0 / fan_in.sqrt(),
            };
            let drawn = match self.spec.init {
                Init::Torch => layer.outputs * (layer.inputs + 1),
                Init::Glorot | Init::He => layer.outputs * layer.inputs,
            };
            let stream = Stream::new(seed, Phase::Init, 0, index as u32);
            let parameters = &mut values[layer.canonical_offset..][..drawn];
            for (position, parameter) in parameters.iter_mut().enumerate() {
                let u = unit(stream.words(Part::Task, position as u32)[0]);
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
            let columns = layer.outputs_padded();
            let bias = layer.canonical_offset + layer.outputs * layer.inputs;
            for output in 0..layer.outputs {
                for input in 0..layer.inputs {
                    visit(
                        layer.canonical_offset + output * layer.inputs + input,
                        layer.packed_offset + input * columns + output,
                    );
                }
                visit(
                    bias + output,
                    layer.packed_offset + layer.inputs_padded() * columns + output,
                );
            }
        }
    }

    /// Floating-point operations of one inner step on `batch` examples: two for each multiply-add
    /// of the matrix products (forward, weights' gradient, inputs' gradient but for the first layer).
    pub fn flops_per_step(&self, batch: usize) -> u64 {
        let products = |layer: &Dense| (layer.inputs * layer.outputs) as u64;
        let all: u64 = self.layers.iter().map(products).sum();
        2 * batch as u64 * (3 * all - products(&self.layers[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
