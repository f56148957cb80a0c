//! `group-norm` (Wu and He 2018), and what a layer-norm shares with it: `shaders/group_norm_*.wgsl`.

use serde::{Deserialize, Serialize};

use crate::dispatch::{Argument, INNER_STEP, call, with_columns};
use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::layers::activation::{ACTIVATION, Activation};
use crate::layers::parameters::Parameters;
use crate::layers::shape::{Shape, vectors};
use crate::layers::window::{Window, above_zero};
use crate::layers::{
    Backward, Batch, Before, Forward, LayerType, Left, Made, Place, check_norm, is_false,
};
#[cfg(feature = "onnx")]
use crate::{
    layers::Own,
    onnx::{Attribute, Graph, Value},
};
#[cfg(feature = "reference")]
pub(super) use twin::{
    backward as twin_backward, forward as twin_forward, gradient as twin_gradient,
};

pub(super) fn small_epsilon() -> f32 {
    1e-5
}

/// As a layer-norm over each of `groups` groups of consecutive channels; γ and β are `[C]` (`torch.nn.GroupNorm`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupNorm {
    /// Groups, which divide the channels.
    pub groups: usize,
    /// Default 1e-5.
    #[serde(default = "small_epsilon")]
    pub epsilon: f32,
    /// Default linear.
    #[serde(default)]
    pub activation: Activation,
    /// Kept as it starts: neither inner nor outer steps change it. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub frozen: bool,
}

impl GroupNorm {
    /// With ε = 1e-5.
    pub fn new(groups: usize, activation: Activation) -> Self {
        Self { groups, epsilon: small_epsilon(), activation, frozen: false }
    }

    fn groups(&self) -> Groups {
        Groups { count: self.groups, epsilon: self.epsilon, per_number: false }
    }
}

impl LayerType for GroupNorm {
    fn frozen(&self) -> bool {
        self.frozen
    }

    fn freeze(&mut self) {
        self.frozen = true;
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        check_norm(before, "group-norm", self.epsilon)?;
        above_zero("groups", &[self.groups])?;
        let channels = before.shape.channels;
        if !channels.is_multiple_of(self.groups) {
            return Err(format!(
                "group-norm: {channels} channels cannot be cut into {} equal groups; give a divisor \
                 of {channels}",
                self.groups
            ));
        }
        Ok(Some(Made {
            name: Some("norm"),
            output: before.shape,
            window: Window::POINT,
            parameters: Parameters::Affine(Shape::features(channels)),
            activation: self.activation,
        }))
    }

    fn statistics(&self, _: &Place, examples: usize) -> usize {
        self.groups().statistics(examples)
    }

    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()> {
        group_norm_forward(gpu, out, place, self.groups(), pass)
    }

    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        group_norm_backward(gpu, out, place, self.groups(), pass)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        twin_forward(place, self.groups(), parameters, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin_backward(place, self.groups(), parameters, x, dz)
    }

    #[cfg(feature = "reference")]
    fn twin_gradient(&self, place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin_gradient(place, self.groups(), x, dz)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, place: &Place, graph: &mut Graph, own: &Own<'_>, x: Value) -> Value {
        let [(scale, scales), (shift, shifts)] = &own.tensors[..] else { return x };
        // A group as one channel, whose statistics are those of an example.
        let groups = graph.ints(&[0, self.groups as i64, -1]);
        let grouped = graph.add("Reshape", &x, &[&groups]);
        let ones =
            graph.floats(&format!("{}.ones", place.name), &[self.groups], &vec![1.0; self.groups]);
        let zeros =
            graph.floats(&format!("{}.zeros", place.name), &[self.groups], &vec![0.0; self.groups]);
        let epsilon = [("epsilon", Attribute::Float(self.epsilon))];
        let unit = graph.add_with("InstanceNormalization", &grouped, &[&ones, &zeros], epsilon);
        let Shape { channels, height, width } = place.output;
        let sides = [channels, height, width].map(|side| side as i64);
        let sides = if x.image { [&[0], &sides[..]].concat() } else { vec![0, -1] };
        let sides = graph.ints(&sides);
        let unit = graph.add("Reshape", &unit, &[&sides]);
        let scale = graph.affine(&scale.name, &scale.shape, scales, &x);
        let shift = graph.affine(&shift.name, &shift.shape, shifts, &x);
        let scaled = graph.add("Mul", &unit, &[&scale]);
        graph.add("Add", &scaled, &[&shift])
    }

    fn samples() -> Vec<Self> {
        vec![
            Self { groups: 1, epsilon: 0.1, activation: Activation::Tanh, frozen: false },
            Self::new(3, Activation::Gelu),
        ]
    }
}

/// What a layer's channels are grouped by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub count: usize,
    pub epsilon: f32,
    /// Whether γ has a number for each pixel as well.
    pub per_number: bool,
}

impl Groups {
    /// `[B, groups, 4]`: the mean in two parts, and 1 / √(variance + ε).
    pub fn statistics(&self, examples: usize) -> usize {
        examples * self.count * 4
    }

    /// Vectors of a group that hold one of its channels, at most.
    fn vectors(&self, shape: Shape) -> usize {
        let channels = shape.channels / self.count;
        let aligned = self.count == 1 || channels.is_multiple_of(4);
        if aligned { vectors(channels) } else { vectors(channels) + 1 }
    }

    /// What all kernels share.
    fn constants(&self, source: Source, place: &Place, batch: Batch<'_>) -> Source {
        let shape = place.output;
        let per_group = shape.channels / self.count;
        let row = vectors(shape.channels);
        source
            .library(INNER_STEP)
            .constant("STRIDE", batch.stride)
            .constant("OFFSET", place.packed_offset / 4)
            .constant("BATCH", batch.examples)
            .constant("PIXELS", shape.pixels())
            .constant("C4", row)
            .constant("CHANNELS", shape.channels)
            .constant("GROUPS", self.count)
            .constant("SIZE", per_group * shape.pixels())
            .constant("PER_NUMBER", self.per_number)
            .constant("AFFINE", if self.per_number { row * shape.pixels() } else { row })
            .constant("WHOLE_VECTORS", self.count == 1 || per_group.is_multiple_of(4))
    }

    /// The same for those that walk over the numbers of a group.
    fn walk(
        &self,
        gpu: &Gpu,
        source: Source,
        place: &Place,
        batch: Batch<'_>,
    ) -> Result<(Source, usize)> {
        let source = self
            .constants(source, place, batch)
            .library(ACTIVATION)
            .library(shader!("lib/channel_groups.wgsl"));
        let rows = place.output.pixels() * self.vectors(place.output);
        with_columns(gpu, source, [batch.count, rows, batch.examples * self.count], 0)
    }
}

/// Records h = activation(γ x̂ + β): `x` and `out` `[G, B, H, W, C]`, `theta` `[T, packed]`, `statistics`
/// `[G, B, groups, 4]` (the mean in two parts and 1 / √(variance + ε)) for the way back.
///
/// # Errors
/// See [`call`].
pub(super) fn group_norm_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    groups: Groups,
    pass: &Forward<'_>,
) -> Result<()> {
    let Forward { batch, theta, x, out, statistics } = *pass;
    let text = shader!("group_norm_forward.wgsl");
    let source = Source::new("group_norm_forward", text)
        .constant("EPSILON", groups.epsilon)
        .constant("SHARERS", batch.sharers)
        .constant("ACTIVATION", place.activation.kind())
        .constant("KEEP_Z", out.keep_z);
    let (source, blocks) = groups.walk(gpu, source, place, batch)?;
    let arguments = [
        Argument::Buffer("theta", theta),
        batch.argument(),
        Argument::Buffer("x", x),
        Argument::Buffer("h", out.h),
        Argument::Buffer("z", out.z),
        Argument::Buffer("statistics", statistics),
    ];
    let values = batch.values((1 + out.copies()) * place.outputs_padded() + 4 * groups.count);
    let work = Work::words(values + batch.sets(place.packed_len())).of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the gradient by the inputs of a group-norm before their activation: `d` `[G, B, H, W, C]` is the one by its outputs
/// before theirs, `below` and `dx` are like it.
///
/// # Errors
/// See [`call`].
fn input_gradient(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    groups: Groups,
    pass: &Backward<'_>,
) -> Result<()> {
    let Backward { batch, update, below, d, dx, statistics, .. } = *pass;
    let text = shader!("group_norm_backward.wgsl");
    let source =
        Source::new("group_norm_backward", text).constant("ACTIVATION", below.activation.kind());
    let (source, blocks) = groups.walk(gpu, source, place, batch)?;
    let arguments = [
        Argument::Buffer("theta", update.theta),
        batch.argument(),
        Argument::Buffer("x", below.h),
        Argument::Buffer("d", d),
        Argument::Buffer("statistics", statistics),
        Argument::Buffer("z", below.z),
        Argument::Buffer("dx", dx),
    ];
    // x̂ takes x whatever the activation was.
    let read = 2 + below.reads() / 2;
    let values = batch.values((1 + read) * place.outputs_padded() + 4 * groups.count);
    let work = Work::words(values + batch.sets(place.packed_len() / 2)).of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the inner step on γ and β: `x` and `d` `[G, B, H, W, C]`, the gradient by the outputs before their activation.
///
/// # Errors
/// See [`call`].
fn group_norm_update(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    groups: Groups,
    pass: &Backward<'_>,
) -> Result<()> {
    let Backward { batch, update, below, d, statistics, .. } = *pass;
    let text = shader!("group_norm_update.wgsl");
    let source = groups.constants(Source::new("group_norm_update", text), place, batch);
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
    ];
    let source = update.library(source, &mut arguments);
    let columns = place.packed_len() / 8;
    let rows = batch.examples * place.outputs_padded() / 4 / columns;
    let (source, blocks) = with_columns(gpu, source, [batch.count, rows, columns], 0)?;
    let values = batch.values(2 * place.outputs_padded() + 4 * groups.count);
    let sets = batch.sets(update.words() * place.packed_len());
    let work = Work::words(values + sets).of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the backward pass: first the gradient by the inputs, which takes γ as it was, then the step on γ and β.
pub(super) fn group_norm_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    groups: Groups,
    pass: &Backward<'_>,
) -> Result<Left> {
    if pass.onward {
        input_gradient(gpu, recording, place, groups, pass)?;
    }
    group_norm_update(gpu, recording, place, groups, pass)?;
    Ok(Left::Next)
}

/// In float64.
#[cfg(feature = "reference")]
mod twin {
    use super::Groups;
    use crate::layers::place::Place;

    /// z = γ x̂ + β, `[B, C, H, W]`, with x̂ = (x − mean) / √(variance + ε) of each group, for `x` `[B, C, H, W]`. `parameters`
    /// is the whole canonical set.
    pub fn forward(place: &Place, groups: Groups, parameters: &[f64], x: &[f64]) -> Vec<f64> {
        let count = place.parameter_count() / 2;
        let (gamma, beta) = parameters[place.canonical_offset..][..2 * count].split_at(count);
        let affine = |(index, x): (usize, &f64)| {
            let place = affine_place(place, groups, index);
            gamma[place] * x + beta[place]
        };
        normed(place, groups, x).values.iter().enumerate().map(affine).collect()
    }

    /// dL/dx = 1 / √(variance + ε) · (g − mean(g) − x̂ mean(g ⊙ x̂)) with g = γ ⊙ dz and means over a group, `[B, C, H, W]`,
    /// from `dz` = dL/dz `[B, C, H, W]` and the layer's input `x`.
    pub fn backward(
        place: &Place,
        groups: Groups,
        parameters: &[f64],
        x: &[f64],
        dz: &[f64],
    ) -> Vec<f64> {
        let gamma = &parameters[place.canonical_offset..][..place.parameter_count() / 2];
        let Normed { values, scale } = normed(place, groups, x);
        let scaled =
            dz.iter().enumerate().map(|(index, dz)| gamma[affine_place(place, groups, index)] * dz);
        let mut dx: Vec<f64> = scaled.collect();
        let size = group_size(place, groups);
        for ((g, normal), scale) in
            dx.chunks_exact_mut(size).zip(values.chunks_exact(size)).zip(scale)
        {
            let mean = g.iter().sum::<f64>() / size as f64;
            let along = g.iter().zip(normal).map(|(g, x)| g * x).sum::<f64>() / size as f64;
            for (g, normal) in g.iter_mut().zip(normal) {
                *g = scale * (*g - mean - normal * along);
            }
        }
        dx
    }

    /// dL/dγ = Σ dz ⊙ x̂, then dL/dβ = Σ dz, over the examples and, where γ is `[C]`, the pixels.
    pub fn gradient(place: &Place, groups: Groups, x: &[f64], dz: &[f64]) -> Vec<f64> {
        let count = place.parameter_count() / 2;
        let mut gradient = vec![0.0; 2 * count];
        for (index, (dz, normal)) in dz.iter().zip(normed(place, groups, x).values).enumerate() {
            let place = affine_place(place, groups, index);
            gradient[place] += dz * normal;
            gradient[count + place] += dz;
        }
        gradient
    }

    /// A batch whose groups have mean zero.
    struct Normed {
        /// x̂, `[B, C, H, W]`.
        values: Vec<f64>,
        /// 1 / √(variance + ε), `[B, groups]`.
        scale: Vec<f64>,
    }

    fn normed(place: &Place, groups: Groups, x: &[f64]) -> Normed {
        let size = group_size(place, groups);
        let (mut values, mut scale) = (x.to_vec(), Vec::new());
        for group in values.chunks_exact_mut(size) {
            let mean = group.iter().sum::<f64>() / size as f64;
            group.iter_mut().for_each(|x| *x -= mean);
            let variance = group.iter().map(|x| x * x).sum::<f64>() / size as f64;
            let inverse = 1.0 / (variance + f64::from(groups.epsilon)).sqrt();
            group.iter_mut().for_each(|x| *x *= inverse);
            scale.push(inverse);
        }
        Normed { values, scale }
    }

    /// Numbers of a group: those of consecutive channels, which lie one after the other in `[C, H, W]`.
    fn group_size(place: &Place, groups: Groups) -> usize {
        place.inputs() / groups.count
    }

    /// Which γ number `index` of `[B, C, H, W]` has.
    fn affine_place(place: &Place, groups: Groups, index: usize) -> usize {
        let number = index % place.inputs();
        if groups.per_number { number } else { number / place.input.pixels() }
    }
}
