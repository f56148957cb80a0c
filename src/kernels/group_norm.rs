//! `shaders/group_norm_*.wgsl`: group-norm and layer-norm.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::kernels::columns::with_columns;
use crate::kernels::{
    ACTIVATION, Argument, Batch, Below, INNER_STEP, Outputs, Update, activation_kind, call, vectors,
};
use crate::model::{Layer, Op, Shape};

/// What a layer's channels are grouped by.
struct Groups {
    count: usize,
    epsilon: f32,
    /// Whether γ has a number for each pixel as well.
    per_number: bool,
}

impl Groups {
    fn of(layer: &Layer) -> Self {
        let Op::GroupNorm { groups, epsilon, per_number } = layer.op else {
            panic!("the kernel is for group-norms")
        };
        Self { count: groups, epsilon, per_number }
    }

    /// Vectors of a group that hold one of its channels, at most.
    fn vectors(&self, shape: Shape) -> usize {
        let channels = shape.channels / self.count;
        let aligned = self.count == 1 || channels.is_multiple_of(4);
        if aligned { vectors(channels) } else { vectors(channels) + 1 }
    }

    /// What all kernels share.
    fn constants(&self, source: Source, layer: &Layer, batch: Batch<'_>) -> Source {
        let shape = layer.output;
        let per_group = shape.channels / self.count;
        let row = vectors(shape.channels);
        source
            .library(INNER_STEP)
            .constant("STRIDE", batch.stride)
            .constant("OFFSET", layer.packed_offset / 4)
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
        layer: &Layer,
        batch: Batch<'_>,
    ) -> Result<(Source, usize)> {
        let source = self
            .constants(source, layer, batch)
            .library(ACTIVATION)
            .library(include_str!("../../shaders/lib/channel_groups.wgsl"));
        let rows = layer.output.pixels() * self.vectors(layer.output);
        with_columns(gpu, source, [rows, batch.examples * self.count])
    }
}

/// Records h = activation(γ x̂ + β): `x` and `out` `[G, B, H, W, C]`, `theta` `[T, packed]`, `statistics`
/// `[G, B, groups, 4]` (the mean in two parts and 1 / √(variance + ε)) for the way back.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn group_norm_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    x: &wgpu::Buffer,
    out: Outputs<'_>,
    statistics: &wgpu::Buffer,
) -> Result<()> {
    let groups = Groups::of(layer);
    let text = include_str!("../../shaders/group_norm_forward.wgsl");
    let source = Source::new("group_norm_forward", text)
        .constant("EPSILON", groups.epsilon)
        .constant("SHARERS", batch.sharers)
        .constant("ACTIVATION", activation_kind(layer.activation))
        .constant("KEEP_Z", out.keep_z);
    let (source, blocks) = groups.walk(gpu, source, layer, batch)?;
    let arguments = [
        Argument::In(theta),
        batch.argument(),
        Argument::In(x),
        Argument::Out(out.h),
        Argument::Out(out.z),
        Argument::Out(statistics),
    ];
    let values = batch.values((1 + out.copies()) * layer.outputs_padded() + 4 * groups.count);
    let work = Work::words(values + batch.sets(layer.packed_len())).of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the gradient by the inputs of a group-norm before their activation: `d` `[G, B, H, W, C]` is the one by its outputs
/// before theirs, `below` and `dx` are like it.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn group_norm_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    theta: &wgpu::Buffer,
    d: &wgpu::Buffer,
    below: Below<'_>,
    statistics: &wgpu::Buffer,
    dx: &wgpu::Buffer,
) -> Result<()> {
    let groups = Groups::of(layer);
    let text = include_str!("../../shaders/group_norm_backward.wgsl");
    let source = Source::new("group_norm_backward", text)
        .constant("ACTIVATION", activation_kind(below.activation));
    let (source, blocks) = groups.walk(gpu, source, layer, batch)?;
    let arguments = [
        Argument::In(theta),
        batch.argument(),
        Argument::In(below.h),
        Argument::In(d),
        Argument::In(statistics),
        Argument::In(below.z),
        Argument::Out(dx),
    ];
    // x̂ takes x whatever the activation was.
    let read = 2 + below.reads() / 2;
    let values = batch.values((1 + read) * layer.outputs_padded() + 4 * groups.count);
    let work = Work::words(values + batch.sets(layer.packed_len() / 2)).of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the inner step on γ and β: `x` and `d` `[G, B, H, W, C]`, the gradient by the outputs before their activation.
///
/// # Errors
/// See [`call`].
#[expect(clippy::too_many_arguments, reason = "a kernel's buffers and sizes")]
pub fn group_norm_update(
    gpu: &Gpu,
    recording: &mut Recording,
    layer: &Layer,
    batch: Batch<'_>,
    update: &Update<'_>,
    x: &wgpu::Buffer,
    d: &wgpu::Buffer,
    statistics: &wgpu::Buffer,
) -> Result<()> {
    let groups = Groups::of(layer);
    let text = include_str!("../../shaders/group_norm_update.wgsl");
    let source = groups.constants(Source::new("group_norm_update", text), layer, batch);
    let [theta, second, first] = update.arguments();
    let mut arguments = vec![
        Argument::Runs(update.runs),
        batch.argument(),
        Argument::In(x),
        Argument::In(d),
        theta,
        second,
        first,
        Argument::In(statistics),
    ];
    let source = update.library(source, &mut arguments);
    let columns = layer.packed_len() / 8;
    let rows = batch.examples * layer.outputs_padded() / 4 / columns;
    let (source, blocks) = with_columns(gpu, source, [rows, columns])?;
    let values = batch.values(2 * layer.outputs_padded() + 4 * groups.count);
    let sets = batch.sets(update.words() * layer.packed_len());
    let work = Work::words(values + sets).of_layer(&layer.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}
