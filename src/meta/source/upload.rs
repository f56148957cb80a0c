//! Tasks of the caller's own: checked, and written into the tasks' buffers.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::source::{Origin, TaskBuffers};
use crate::model::{Layout, Loss, Model, padded};

/// Where the turn of an image begins in its number on the device.
const TURN: u32 = 30;

/// Each of these may be given fewer tasks than the batch has: the first ones.
///
/// # Errors
/// All return [`Error::Config`] that names the array if it holds no whole tasks, more tasks than there are, or values that
/// the kernels do not take: numbers that are not finite, labels and places beyond the last; or if tasks of this
/// origin have no such array, the network is another one than theirs, or the device.
///
/// What is uploaded is seen by all that is submitted afterwards, also if it was recorded before.
impl TaskBuffers {
    /// Uploads minibatch orders `[T, order length]`: places of support examples.
    ///
    /// # Errors
    /// See above.
    pub fn upload_order(&self, gpu: &Gpu, order: &[u32]) -> Result<()> {
        const WHAT: &str = "minibatch order";
        if !matches!(self.origin, Origin::Rows { ordered: true, .. }) {
            let message = "is drawn on the device for these tasks; set `ordered` in their origin, or leave it out";
            return Err(Error::config(WHAT, message));
        }
        self.check_device(WHAT, gpu)?;
        let (rows, batch) = (self.minibatch(), self.batches.batch);
        self.check_length(WHAT, order.len(), self.batches.order_len() / batch * rows)?;
        check_below(WHAT, order, self.used[0], "support examples")?;
        // The places behind a minibatch that is not full name an example that is not there.
        let absent = self.batches.support() as u32 - 1;
        write(gpu, &self.order, order, [rows, batch], absent);
        Ok(())
    }

    /// Uploads support rows: inputs `[T, N, in]`.
    ///
    /// # Errors
    /// See above.
    pub fn upload_support_x(&self, gpu: &Gpu, model: &Model, x: &[f32]) -> Result<()> {
        const WHAT: &str = "support inputs";
        self.check_network(WHAT, gpu, model)?;
        let sizes = [self.used[0], self.batches.support()];
        self.check_rows(WHAT, x, sizes[0] * model.inputs())?;
        upload_inputs(gpu, model, &self.support[0], x, sizes);
        Ok(())
    }

    /// Uploads support targets: values `[T, N, out]`.
    ///
    /// # Errors
    /// See above.
    pub fn upload_support_values(&self, gpu: &Gpu, model: &Model, y: &[f32]) -> Result<()> {
        const WHAT: &str = "support targets";
        self.check_targets(WHAT, false)?;
        self.check_network(WHAT, gpu, model)?;
        let sizes = [self.used[0], self.batches.support()];
        self.check_rows(WHAT, y, sizes[0] * self.outputs)?;
        upload_rows(gpu, &self.support[1], y, model.outputs(), sizes);
        Ok(())
    }

    /// Uploads support labels `[T, N]`.
    ///
    /// # Errors
    /// See above.
    pub fn upload_support_labels(&self, gpu: &Gpu, labels: &[u32]) -> Result<()> {
        const WHAT: &str = "support labels";
        self.check_targets(WHAT, true)?;
        self.check_device(WHAT, gpu)?;
        let sizes = [self.used[0], self.batches.support()];
        self.check_length(WHAT, labels.len(), sizes[0])?;
        check_below(WHAT, labels, self.outputs, "classes")?;
        write(gpu, &self.support[1], labels, sizes, 0);
        Ok(())
    }

    /// Uploads query inputs `[T, Q, in]`.
    ///
    /// # Errors
    /// See above.
    pub fn upload_query_x(&self, gpu: &Gpu, model: &Model, x: &[f32]) -> Result<()> {
        const WHAT: &str = "query inputs";
        self.check_network(WHAT, gpu, model)?;
        let sizes = [self.used[1], self.queries];
        self.check_rows(WHAT, x, sizes[0] * model.inputs())?;
        upload_inputs(gpu, model, &self.query[0], x, sizes);
        Ok(())
    }

    /// Uploads query targets: values `[T, Q, out]`.
    ///
    /// # Errors
    /// See above.
    pub fn upload_query_values(&self, gpu: &Gpu, model: &Model, y: &[f32]) -> Result<()> {
        const WHAT: &str = "query targets";
        self.check_targets(WHAT, false)?;
        self.check_network(WHAT, gpu, model)?;
        let sizes = [self.used[1], self.queries];
        self.check_rows(WHAT, y, sizes[0] * self.outputs)?;
        upload_rows(gpu, &self.query[1], y, model.outputs(), sizes);
        Ok(())
    }

    /// Uploads query labels `[T, Q]`.
    ///
    /// # Errors
    /// See above.
    pub fn upload_query_labels(&self, gpu: &Gpu, labels: &[u32]) -> Result<()> {
        const WHAT: &str = "query labels";
        self.check_targets(WHAT, true)?;
        self.check_device(WHAT, gpu)?;
        let sizes = [self.used[1], self.queries];
        self.check_length(WHAT, labels.len(), sizes[0])?;
        check_below(WHAT, labels, self.outputs, "classes")?;
        write(gpu, &self.query[1], labels, sizes, 0);
        Ok(())
    }

    /// Uploads the image numbers `[T, N]` of support sets that are [`Origin::Listed`], as
    /// [`crate::meta::DeviceImages::number`] gives them.
    ///
    /// # Errors
    /// See above.
    pub fn upload_support_numbers(&self, gpu: &Gpu, numbers: &[u32]) -> Result<()> {
        const WHAT: &str = "image numbers of the support sets";
        self.check_device(WHAT, gpu)?;
        self.check_numbers(WHAT, numbers, self.batches.support())?;
        gpu.queue().write_buffer(&self.support[0], 0, bytemuck::cast_slice(numbers));
        Ok(())
    }

    /// Uploads the image numbers `[T, Q]` of query sets.
    ///
    /// # Errors
    /// See above.
    pub fn upload_query_numbers(&self, gpu: &Gpu, numbers: &[u32]) -> Result<()> {
        const WHAT: &str = "image numbers of the query sets";
        self.check_device(WHAT, gpu)?;
        self.check_numbers(WHAT, numbers, self.queries)?;
        gpu.queue().write_buffer(&self.query[0], 0, bytemuck::cast_slice(numbers));
        Ok(())
    }

    /// Refuses another device than that of the buffers.
    fn check_device(&self, what: &str, gpu: &Gpu) -> Result<()> {
        if self.gpu.is(gpu) {
            return Ok(());
        }
        Err(Error::config(
            what,
            "these tasks are on another device; upload with the one that they were made on",
        ))
    }

    /// Refuses a network of other examples or targets, and another device.
    pub(in crate::meta) fn check_network(
        &self,
        what: &str,
        gpu: &Gpu,
        model: &Model,
    ) -> Result<()> {
        self.check_device(what, gpu)?;
        let labels = model.loss() == Loss::CrossEntropy;
        let own = (self.input, self.outputs, self.labels);
        if (model.layers()[0].input, model.outputs(), labels) == own {
            return Ok(());
        }
        let message = "the network has other inputs or outputs than the one that these tasks were made for; give that";
        Err(Error::config(what, message))
    }

    /// Refuses `length` values that are no whole tasks of `one`, or of more tasks than there are.
    fn check_length(&self, what: &str, length: usize, one: usize) -> Result<()> {
        let tasks = self.axis.tasks();
        if length == 0 || (one > 0 && length.is_multiple_of(one) && length / one <= tasks) {
            return Ok(());
        }
        let message = if one == 0 {
            format!("{length} values are given, but these tasks have none")
        } else {
            format!("{length} values are given; a task has {one}, and there are {tasks} tasks")
        };
        Err(Error::config(what, message))
    }

    /// Refuses rows of tasks that are drawn on the device, or images.
    fn check_uploaded(&self, what: &str) -> Result<()> {
        let message = match self.origin {
            Origin::Rows { .. } => return Ok(()),
            Origin::Listed { .. } => {
                "these tasks are images, whose labels follow from their places; upload the images' numbers alone"
            }
            Origin::Sine(_)
            | Origin::Glyphs(_)
            | Origin::Episodes { .. }
            | Origin::Arrays { .. }
            | Origin::Functions { .. } => {
                "these tasks are drawn on the device; leave it out, or take tasks whose origin is rows"
            }
        };
        Err(Error::config(what, message))
    }

    /// Refuses rows of another length, and numbers that are not finite.
    fn check_rows(&self, what: &str, values: &[f32], one: usize) -> Result<()> {
        self.check_uploaded(what)?;
        self.check_length(what, values.len(), one)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => {
                let message =
                    format!("value {place} is {}; leave it out, or mend it", values[place]);
                Err(Error::config(what, message))
            }
            None => Ok(()),
        }
    }

    /// Refuses values for a classification and labels for a regression.
    fn check_targets(&self, what: &str, labels: bool) -> Result<()> {
        self.check_uploaded(what)?;
        let message = match self.labels {
            _ if self.labels == labels => return Ok(()),
            true => "the network's loss is cross-entropy: its targets are labels; upload those",
            false => {
                "the network's loss is the mean squared error: its targets are values; upload those"
            }
        };
        Err(Error::config(what, message))
    }

    fn check_numbers(&self, what: &str, numbers: &[u32], one: usize) -> Result<()> {
        let Origin::Listed { images, part, .. } = &self.origin else {
            let message = "are for tasks whose images are listed; these have another origin";
            return Err(Error::config(what, message));
        };
        self.check_length(what, numbers.len(), one)?;
        let [_, height, width] = images.shape.sides();
        if height != width
            && let Some(place) = numbers.iter().position(|number| number >> TURN & 1 == 1)
        {
            let message = format!(
                "value {place} turns an image that is not square by a quarter; leave the turn out"
            );
            return Err(Error::config(what, message));
        }
        let places: Vec<u32> = numbers.iter().map(|number| number & ((1 << TURN) - 1)).collect();
        check_below(what, &places, images.part(*part).images(), "images")
    }
}

/// Refuses numbers of `things` from `count` on.
fn check_below(what: &str, numbers: &[u32], count: usize, things: &str) -> Result<()> {
    match numbers.iter().position(|number| *number as usize >= count) {
        Some(place) => {
            let number = numbers[place];
            let message = format!(
                "value {place} is {number}, but there are {count} {things}, counted from 0; give one of those"
            );
            Err(Error::config(what, message))
        }
        None => Ok(()),
    }
}

/// Writes values, the first `used` of every `room` of the buffer; the others become `rest`.
fn write<T: bytemuck::Pod>(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    values: &[T],
    [used, room]: [usize; 2],
    rest: T,
) {
    if used == room {
        gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(values));
        return;
    }
    let mut all = vec![rest; values.len() / used.max(1) * room];
    for (to, from) in all.chunks_exact_mut(room).zip(values.chunks_exact(used.max(1))) {
        to[..used].copy_from_slice(from);
    }
    gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&all));
}

/// Writes examples `[…, in]` as kernels hold them, `used` for every `room`.
fn upload_inputs(gpu: &Gpu, model: &Model, buffer: &wgpu::Buffer, x: &[f32], sizes: [usize; 2]) {
    let sizes = sizes.map(|examples| examples * model.inputs_padded());
    if model.inputs_padded() == model.inputs() && model.input_layout() == Layout::Row {
        write(gpu, buffer, x, sizes, 0.0);
    } else {
        write(gpu, buffer, &model.pack_inputs(x), sizes, 0.0);
    }
}

/// Writes rows of `width` numbers, each padded to whole vectors, `used` for every `room`.
fn upload_rows(gpu: &Gpu, buffer: &wgpu::Buffer, rows: &[f32], width: usize, sizes: [usize; 2]) {
    let sizes = sizes.map(|rows| rows * padded(width));
    if width.is_multiple_of(4) {
        write(gpu, buffer, rows, sizes, 0.0);
        return;
    }
    let mut padded_rows = vec![0.0_f32; rows.len() / width * padded(width)];
    for (to, from) in padded_rows.chunks_exact_mut(padded(width)).zip(rows.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    write(gpu, buffer, &padded_rows, sizes, 0.0);
}
