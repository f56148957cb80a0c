//! Tasks in device memory: drawn by a kernel or uploaded, and cut into minibatches by another.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Recording, size_of_f32s};
use crate::kernels::{
    Axis, GlyphRows, ImageBatch, InnerSteps, RunSteps, gather_images, gather_rows, sample_episode,
    sample_glyphs, sample_order, sample_sine,
};
use crate::meta::images::DeviceImages;
use crate::model::{Loss, Model, padded};
use crate::tasks::{Batches, GlyphsSpec, SineSpec, SplitPart};

/// Where a batch of tasks comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Sine waves, drawn on the device.
    Sine(SineSpec),
    /// Episodes over an image set, drawn on the device from the classes of a part.
    Episodes { images: Arc<DeviceImages>, part: SplitPart, queries: usize },
    /// Glyphs, drawn on the device.
    Glyphs(GlyphsSpec),
    /// Rows that the caller uploads; `ordered` if the order of the minibatches comes with them.
    Rows { queries: usize, ordered: bool },
}

impl Origin {
    /// Query examples of a task of `way` classes.
    pub fn queries(&self, way: usize) -> usize {
        match self {
            Self::Sine(spec) => spec.points,
            Self::Episodes { queries, .. } => way * queries,
            Self::Glyphs(spec) => way * spec.episodes.queries,
            Self::Rows { queries, .. } => *queries,
        }
    }
}

/// Buffers of a batch of tasks: their support and query sets and the order of their minibatches.
#[derive(Debug)]
pub struct TaskBuffers {
    origin: Origin,
    axis: Axis,
    batches: Batches,
    labels: bool,
    /// Query examples of a task, all classes.
    queries: usize,
    /// How glyphs are laid out.
    glyphs: GlyphRows,
    order: wgpu::Buffer,
    /// Rows: inputs and targets. Episodes: image numbers, and nothing.
    support: [wgpu::Buffer; 2],
    query: [wgpu::Buffer; 2],
}

impl TaskBuffers {
    /// Allocates what tasks of `origin` need. `with_queries` is false in training.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room.
    pub fn new(
        gpu: &Gpu,
        model: &Model,
        origin: Origin,
        axis: Axis,
        batches: Batches,
        with_queries: bool,
    ) -> Result<Self> {
        let queries = if with_queries { origin.queries(batches.way) } else { 0 };
        let labels = model.loss() == Loss::CrossEntropy;
        let tasks = axis.tasks();
        let make = |name, count: usize| gpu.storage(name, size_of_f32s(count));
        let set = |name, examples: usize| -> Result<[wgpu::Buffer; 2]> {
            let sizes = match origin {
                Origin::Episodes { .. } => [1, 0],
                _ => [model.inputs_padded(), if labels { 1 } else { padded(model.outputs()) }],
            };
            Ok([make(name, tasks * examples * sizes[0])?, make(name, tasks * examples * sizes[1])?])
        };
        Ok(Self {
            order: make("minibatch order", tasks * batches.order_len())?,
            support: set("support sets", batches.support())?,
            query: set("query sets", queries)?,
            origin,
            axis,
            batches,
            labels,
            queries,
            glyphs: GlyphRows::of(model),
        })
    }

    /// The batch axis.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// How support examples become minibatches.
    pub fn batches(&self) -> &Batches {
        &self.batches
    }

    /// Query examples of a task.
    pub fn queries(&self) -> usize {
        self.queries
    }

    /// [T, order length]: indices of support examples.
    pub fn order(&self) -> &wgpu::Buffer {
        &self.order
    }

    /// Support rows (inputs, targets), where tasks are rows of numbers.
    pub fn support_rows(&self) -> Option<[&wgpu::Buffer; 2]> {
        match self.origin {
            Origin::Episodes { .. } => None,
            _ => Some([&self.support[0], &self.support[1]]),
        }
    }

    /// Records the drawing of all tasks (or of what the caller did not upload).
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_sample(&self, gpu: &Gpu, out: &mut Recording, runs: &RunSteps) -> Result<()> {
        let (axis, batches) = (self.axis, &self.batches);
        let support = [&self.support[0], &self.support[1]];
        let query = [&self.query[0], &self.query[1]];
        match &self.origin {
            Origin::Sine(spec) => {
                let queries = self.queries > 0;
                let order = &self.order;
                sample_sine(gpu, out, spec, axis, batches, queries, runs, order, support, query)
            }
            Origin::Episodes { images, part, queries } => {
                let part = images.part(*part);
                let queries = if self.queries > 0 { *queries } else { 0 };
                let [numbers, query] = [&self.support[0], &self.query[0]];
                let (order, table) = (&self.order, (&part.classes, part.count));
                sample_episode(gpu, out, axis, batches, queries, runs, table, order, numbers, query)
            }
            Origin::Glyphs(spec) => {
                let (order, rows) = (&self.order, self.glyphs);
                let queries = if self.queries > 0 { spec.episodes.queries } else { 0 };
                sample_glyphs(
                    gpu, out, spec, rows, axis, batches, queries, runs, order, support, query,
                )
            }
            Origin::Rows { ordered: true, .. } => Ok(()),
            Origin::Rows { ordered: false, .. } => {
                sample_order(gpu, out, axis, batches, runs, &self.order)
            }
        }
    }

    /// Records the minibatch of one inner step: `x` `[T, batch, in]`, `y` targets or labels.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_batch(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        batch: usize,
        inner: (&InnerSteps, usize),
        [x, y]: [&wgpu::Buffer; 2],
    ) -> Result<()> {
        let tasks = self.axis.tasks();
        match &self.origin {
            Origin::Episodes { images, part, .. } => {
                let call = ImageBatch {
                    examples: self.batches.support(),
                    per_class: self.batches.group,
                    order_len: Some(self.batches.order_len()),
                    ..image_batch(images, tasks, batch)
                };
                let sources = [&self.order, &self.support[0], &images.part(*part).words];
                gather_images(gpu, out, &call, inner, sources, [x, y])
            }
            _ => {
                let support = [&self.support[0], &self.support[1]];
                let (sizes, order) = ([tasks, batch], &self.order);
                gather_rows(gpu, out, model, &self.batches, sizes, inner, order, support, [x, y])
            }
        }
    }

    /// Buffers that all queries can be read from: `[T, Q, in]` and targets. Records what is needed
    /// to fill them once `record_sample` has run.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room.
    pub fn record_queries(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        inner: (&InnerSteps, usize),
    ) -> Result<[wgpu::Buffer; 2]> {
        let Origin::Episodes { images, part, queries } = &self.origin else {
            return Ok(self.query.clone());
        };
        let tasks = self.axis.tasks();
        let rows = tasks * self.queries;
        let x = gpu.storage("query inputs", size_of_f32s(rows * padded(model.inputs())))?;
        let y = gpu.storage("query labels", size_of_f32s(rows))?;
        let call = ImageBatch {
            examples: self.queries,
            per_class: *queries,
            order_len: None,
            ..image_batch(images, tasks, self.queries)
        };
        let sources = [&self.order, &self.query[0], &images.part(*part).words];
        gather_images(gpu, out, &call, inner, sources, [&x, &y])?;
        Ok([x, y])
    }

    /// Uploads minibatch orders `[T, order length]`; this and the other uploads may hold fewer tasks
    /// than the batch.
    pub fn upload_order(&self, gpu: &Gpu, order: &[u32]) {
        gpu.queue().write_buffer(&self.order, 0, bytemuck::cast_slice(order));
    }

    /// Uploads support rows: inputs `[T, N, in]`.
    pub fn upload_support_x(&self, gpu: &Gpu, model: &Model, x: &[f32]) {
        upload_rows(gpu, &self.support[0], x, model.inputs());
    }

    /// Uploads support targets: values `[T, N, out]`.
    pub fn upload_support_values(&self, gpu: &Gpu, model: &Model, y: &[f32]) {
        upload_rows(gpu, &self.support[1], y, model.outputs());
    }

    /// Uploads support labels `[T, N]`.
    pub fn upload_support_labels(&self, gpu: &Gpu, labels: &[u32]) {
        gpu.queue().write_buffer(&self.support[1], 0, bytemuck::cast_slice(labels));
    }

    /// Uploads query inputs `[T, Q, in]`.
    pub fn upload_query_x(&self, gpu: &Gpu, model: &Model, x: &[f32]) {
        upload_rows(gpu, &self.query[0], x, model.inputs());
    }

    /// Inputs and targets of the support sets of a regression, without padding.
    pub(super) fn read_support(&self, gpu: &Gpu, model: &Model) -> Result<[Vec<f32>; 2]> {
        let rows = self.axis.tasks() * self.batches.support();
        let [x, y] = &self.support;
        Ok([read_rows(gpu, x, rows, model.inputs())?, read_rows(gpu, y, rows, model.outputs())?])
    }

    /// Inputs and targets of the query sets of a regression, without padding.
    pub(super) fn read_query(&self, gpu: &Gpu, model: &Model) -> Result<[Vec<f32>; 2]> {
        let rows = self.axis.tasks() * self.queries;
        let [x, y] = &self.query;
        Ok([read_rows(gpu, x, rows, model.inputs())?, read_rows(gpu, y, rows, model.outputs())?])
    }

    /// Whether targets are class labels.
    pub fn labels(&self) -> bool {
        self.labels
    }
}

/// The part of an [`ImageBatch`] that the image set decides.
fn image_batch(images: &DeviceImages, tasks: usize, batch: usize) -> ImageBatch {
    ImageBatch {
        shape: images.shape,
        bits: images.bits,
        words_per_image: images.words_per_image,
        tasks,
        batch,
        examples: 0,
        per_class: 1,
        order_len: None,
    }
}

/// Writes rows of `width` numbers, each padded to whole vectors.
fn upload_rows(gpu: &Gpu, buffer: &wgpu::Buffer, rows: &[f32], width: usize) {
    if width.is_multiple_of(4) {
        gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(rows));
        return;
    }
    let mut padded_rows = vec![0.0_f32; rows.len() / width * padded(width)];
    for (to, from) in padded_rows.chunks_exact_mut(padded(width)).zip(rows.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&padded_rows));
}

/// Reads `rows` rows of `width` numbers back, without their padding.
pub(super) fn read_rows(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    rows: usize,
    width: usize,
) -> Result<Vec<f32>> {
    let columns = padded(width);
    let values: Vec<f32> = gpu.read(buffer, 0, rows * columns)?;
    Ok(values.chunks_exact(columns).flat_map(|row| row[..width].to_vec()).collect())
}
