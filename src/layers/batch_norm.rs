//! `batch-norm` (Ioffe and Szegedy 2015): `shaders/norm_forward.wgsl` and `shaders/norm_backward.wgsl`.

use serde::{Deserialize, Serialize};

use crate::dispatch::{Argument, INNER_STEP, call, with_columns};
use crate::error::Result;
use crate::gpu::{Element, Gpu, Recording, Source, Work};
use crate::layers::activation::{ACTIVATION, Activation};
use crate::layers::parameters::Parameters;
use crate::layers::shape::{Shape, padded, vectors};
use crate::layers::window::Window;
use crate::layers::{
    Backward, Batch, Before, Forward, LayerType, Left, Made, Place, check_norm, is_false,
};
#[cfg(feature = "onnx")]
use crate::{
    layers::Own,
    onnx::{Attribute, Graph, Value},
};

fn epsilon() -> f32 {
    1e-3
}

/// γ (x − mean) / √(variance + ε) + β with the mean and the (biased) variance of each channel
/// over the batch at hand, in training and evaluation alike: there are no running averages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BatchNorm {
    /// Default 1e-3.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Default linear.
    #[serde(default)]
    pub activation: Activation,
    /// Kept as it starts: neither inner nor outer steps change it. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub frozen: bool,
}

impl BatchNorm {
    /// With ε = 1e-3.
    pub fn new(activation: Activation) -> Self {
        Self { epsilon: epsilon(), activation, frozen: false }
    }
}

impl LayerType for BatchNorm {
    fn frozen(&self) -> bool {
        self.frozen
    }

    fn freeze(&mut self) {
        self.frozen = true;
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        check_norm(before, "batch-norm", self.epsilon)?;
        Ok(Some(Made {
            name: Some("norm"),
            output: before.shape,
            window: Window::POINT,
            parameters: Parameters::Affine(Shape::features(before.shape.channels)),
            activation: self.activation,
        }))
    }

    fn couples_examples(&self) -> bool {
        true
    }

    /// `[2, C]`: the mean's distance from the first row, and 1 / √(variance + ε).
    fn statistics(&self, place: &Place, _: usize) -> usize {
        2 * padded(place.output.channels)
    }

    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()> {
        norm_forward(gpu, out, place, self.epsilon, pass)
    }

    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        norm_backward(gpu, out, place, pass)?;
        Ok(Left::InPlace)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        twin::norm_forward(place, self.epsilon, parameters, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::norm_backward(place, self.epsilon, parameters, x, dz)
    }

    #[cfg(feature = "reference")]
    fn twin_gradient(&self, place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::norm_gradient(place, self.epsilon, x, dz)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, place: &Place, graph: &mut Graph, own: &Own<'_>, x: Value) -> Value {
        let [(scale, scales), (shift, shifts)] = &own.tensors[..] else { return x };
        if let Some([mean, variance]) = own.statistics {
            let mut constant =
                |name: String, values: &[f32]| graph.floats(&name, &[values.len()], values);
            let names = [
                constant(scale.name.clone(), scales),
                constant(shift.name.clone(), shifts),
                constant(format!("{}.mean", place.name), mean),
                constant(format!("{}.variance", place.name), variance),
            ];
            let epsilon = Attribute::Float(self.epsilon);
            return graph.add_with(
                "BatchNormalization",
                &x,
                &names.each_ref().map(String::as_str),
                [("epsilon", epsilon)],
            );
        }
        let axes = if x.image { vec![0, 2, 3] } else { vec![0] };
        let mean = |graph: &mut Graph, x: &Value| {
            graph.add_with("ReduceMean", x, &[], [("axes", Attribute::Ints(axes.clone()))])
        };
        let middle = mean(graph, &x);
        let distance = graph.combine("Sub", &x, &middle);
        let square = graph.combine("Mul", &distance, &distance);
        let variance = mean(graph, &square);
        let epsilon = graph.number(self.epsilon);
        let above_zero = graph.add("Add", &variance, &[&epsilon]);
        let deviation = graph.add("Sqrt", &above_zero, &[]);
        let unit = graph.combine("Div", &distance, &deviation);
        let scale = graph.affine(&scale.name, &scale.shape, scales, &x);
        let shift = graph.affine(&shift.name, &shift.shape, shifts, &x);
        let scaled = graph.add("Mul", &unit, &[&scale]);
        graph.add("Add", &scaled, &[&shift])
    }

    fn samples() -> Vec<Self> {
        vec![
            Self { epsilon: 0.1, activation: Activation::Tanh, frozen: false },
            Self::new(Activation::Gelu),
        ]
    }
}

/// Adds what both directions share, and says how many workgroups a batch takes. An invocation may keep `kept` vectors of a row.
///
/// # Errors
/// [`crate::Error::Config`] if the driver would end a walk down a column early.
fn with_constants(
    gpu: &Gpu,
    source: Source,
    place: &Place,
    batch: Batch<'_>,
    kept: usize,
) -> Result<(Source, usize)> {
    let columns = vectors(place.output.channels);
    let rows = batch.examples * place.output.pixels();
    let source = source
        .library(INNER_STEP)
        .library(ACTIVATION)
        .constant("ROWS", rows)
        .constant("C4", columns)
        .constant("STRIDE", batch.stride)
        .constant("OFFSET", place.packed_offset / 4);
    with_columns(gpu, source, [batch.count, rows, columns], kept)
}

/// Records h = activation(γ x̂ + β): `x` and `out` `[G, B, H, W, C]`, `theta` `[T, packed]`, `statistics`
/// `[G, 2, C]` (the mean's distance from the first row, and 1 / √(variance + ε)) for the backward pass.
///
/// # Errors
/// See [`call`].
fn norm_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    epsilon: f32,
    pass: &Forward<'_>,
) -> Result<()> {
    let Forward { batch, theta, x, out, statistics } = *pass;
    let source = Source::new("norm_forward", shader!("norm_forward.wgsl"))
        .constant("EPSILON", epsilon)
        .constant("SHARERS", batch.sharers)
        .constant("CHANNELS", place.output.channels)
        .constant("ACTIVATION", place.activation.kind())
        .constant("KEEP_Z", out.keep_z)
        .reads("theta", Element::Vector)
        .reads("x", Element::Vector);
    let (source, blocks) = with_constants(gpu, source, place, batch, 1)?;
    let arguments = [
        Argument::Sets("theta", theta, place.packed_offset),
        batch.argument(),
        Argument::Buffer("x", x),
        Argument::Buffer("h", out.h),
        Argument::Buffer("z", out.z),
        Argument::Buffer("statistics", statistics),
    ];
    let channels = padded(place.output.channels);
    let values = batch.values((1 + out.copies()) * place.outputs_padded());
    let work = Work::words(values + batch.sets(2 * channels) + batch.count * 2 * channels)
        .of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the way back through a batch-norm, in place: `d` `[G, B, H, W, C]` is the gradient by its
/// outputs before their activation and becomes the one by its inputs before theirs (left as it is
/// unless `onward`); γ and β take an inner step.
///
/// # Errors
/// See [`call`].
fn norm_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    pass: &Backward<'_>,
) -> Result<()> {
    let Backward { batch, update, below, d, statistics, onward, .. } = *pass;
    let source = Source::new("norm_backward", shader!("norm_backward.wgsl"))
        .constant("ACTIVATION", below.activation.kind())
        .constant("NEEDS_INPUT_GRADIENT", onward)
        .reads("x", Element::Vector);
    let [theta, second, first] = update.arguments(place.packed_offset);
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::Buffer("x", below.h),
        Argument::Buffer("d", d),
        theta,
        second,
        first,
        Argument::Buffer("statistics", statistics),
        Argument::Buffer("z", below.z),
    ];
    let source = update.library(source, &mut arguments);
    let (source, blocks) = with_constants(gpu, source, place, batch, 2)?;
    let channels = padded(place.output.channels);
    let written = usize::from(onward) + if onward { below.reads() / 2 } else { 0 };
    let values = batch.values((2 + written) * place.outputs_padded());
    let sets = batch.sets(2 * update.words() * channels) + batch.count * 2 * channels;
    let work = Work::words(values + sets).of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// In float64.
#[cfg(feature = "reference")]
mod twin {
    use crate::layers::place::Place;
    use crate::layers::shape::Shape;

    /// z = γ x̂ + β, `[B, C, H, W]`, with x̂ = (x − mean) / √(variance + ε) and the biased variance, for
    /// `x` `[B, C, H, W]`. `parameters` is the whole canonical set.
    pub(super) fn norm_forward(
        place: &Place,
        epsilon: f32,
        parameters: &[f64],
        x: &[f64],
    ) -> Vec<f64> {
        let (gamma, beta) = gamma_and_beta(place, parameters);
        let Normed { values, .. } = normed(place.input, epsilon, x);
        by_channel(place.input, &values, |channel, x| gamma[channel] * x + beta[channel])
    }

    /// dL/dx = γ / √(variance + ε) · (dz − mean(dz) − x̂ mean(dz ⊙ x̂)), `[B, C, H, W]`, from `dz` = dL/dz
    /// `[B, C, H, W]` and the layer's input `x`.
    pub(super) fn norm_backward(
        place: &Place,
        epsilon: f32,
        parameters: &[f64],
        x: &[f64],
        dz: &[f64],
    ) -> Vec<f64> {
        let (gamma, _) = gamma_and_beta(place, parameters);
        let Normed { values, scale } = normed(place.input, epsilon, x);
        let mean = means(place.input, dz);
        let along = means(place.input, &products(dz, &values));
        let removed =
            by_channel(place.input, &values, |channel, x| mean[channel] + x * along[channel]);
        let centred: Vec<f64> = dz.iter().zip(removed).map(|(dz, removed)| dz - removed).collect();
        by_channel(place.input, &centred, |channel, dz| gamma[channel] * scale[channel] * dz)
    }

    /// dL/dγ = Σ dz ⊙ x̂, then dL/dβ = Σ dz, `[C]` each.
    pub(super) fn norm_gradient(place: &Place, epsilon: f32, x: &[f64], dz: &[f64]) -> Vec<f64> {
        let Normed { values, .. } = normed(place.input, epsilon, x);
        [sums(place.input, &products(dz, &values)), sums(place.input, dz)].concat()
    }

    /// A batch with mean zero.
    struct Normed {
        /// x̂, `[B, C, H, W]`.
        values: Vec<f64>,
        /// 1 / √(variance + ε), `[C]`.
        scale: Vec<f64>,
    }

    fn normed(shape: Shape, epsilon: f32, x: &[f64]) -> Normed {
        let mean = means(shape, x);
        let centred = by_channel(shape, x, |channel, x| x - mean[channel]);
        let variance = means(shape, &products(&centred, &centred));
        let scale: Vec<f64> =
            variance.iter().map(|variance| 1.0 / (variance + f64::from(epsilon)).sqrt()).collect();
        Normed { values: by_channel(shape, &centred, |channel, x| scale[channel] * x), scale }
    }

    /// The layer's scale γ and shift β, `[C]` each.
    fn gamma_and_beta<'a>(place: &Place, parameters: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        let channels = place.output.channels;
        parameters[place.canonical_offset..][..2 * channels].split_at(channels)
    }

    fn products(a: &[f64], b: &[f64]) -> Vec<f64> {
        assert_eq!(a.len(), b.len(), "equally many numbers");
        a.iter().zip(b).map(|(a, b)| a * b).collect()
    }

    /// `map(channel, number)` of every number of `values` `[B, C, H, W]`.
    fn by_channel(shape: Shape, values: &[f64], map: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let channel = |index: usize| index / shape.pixels() % shape.channels;
        values.iter().enumerate().map(|(index, value)| map(channel(index), *value)).collect()
    }

    /// The sum of each channel of `values` `[B, C, H, W]`: `[C]`.
    fn sums(shape: Shape, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; shape.channels];
        for (plane, numbers) in values.chunks_exact(shape.pixels()).enumerate() {
            sums[plane % shape.channels] += numbers.iter().sum::<f64>();
        }
        sums
    }

    /// The mean of each channel of `values` `[B, C, H, W]`: `[C]`.
    fn means(shape: Shape, values: &[f64]) -> Vec<f64> {
        let count = values.len() / shape.channels;
        sums(shape, values).iter().map(|sum| sum / count as f64).collect()
    }
}
