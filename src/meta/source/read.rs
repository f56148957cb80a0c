//! The sets of tasks, brought to the host.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::source::TaskBuffers;
use crate::model::{Model, padded};

impl TaskBuffers {
    /// Inputs and targets of the support sets of a regression, without padding.
    pub(in crate::meta) fn read_support(&self, gpu: &Gpu, model: &Model) -> Result<[Vec<f32>; 2]> {
        self.check_regression()?;
        self.read_set(gpu, model, &self.support, [self.used[0], self.batches.support()])
    }

    /// Inputs and targets of the query sets of a regression, without padding.
    pub(in crate::meta) fn read_query(&self, gpu: &Gpu, model: &Model) -> Result<[Vec<f32>; 2]> {
        self.check_regression()?;
        self.read_set(gpu, model, &self.query, [self.used[1], self.queries])
    }

    /// Inputs and targets of `used` of every `room` examples.
    fn read_set(
        &self,
        gpu: &Gpu,
        model: &Model,
        [x, y]: &[wgpu::Buffer; 2],
        [used, room]: [usize; 2],
    ) -> Result<[Vec<f32>; 2]> {
        let rows = self.axis.tasks() * room;
        let (inputs, outputs) = (model.inputs(), model.outputs());
        let x = read_inputs(gpu, model, x, rows)?;
        let y = read_rows(gpu, y, rows, outputs)?;
        Ok([
            first_of(&x, used * inputs, room * inputs),
            first_of(&y, used * outputs, room * outputs),
        ])
    }

    fn check_regression(&self) -> Result<()> {
        if self.labels {
            let message =
                "these tasks are classes; only those of a regression are read back as numbers";
            return Err(Error::config("tasks", message));
        }
        Ok(())
    }
}

/// The first `used` of every `room` values.
pub(in crate::meta) fn first_of(values: &[f32], used: usize, room: usize) -> Vec<f32> {
    if used == room {
        return values.to_vec();
    }
    values.chunks_exact(room).flat_map(|one| &one[..used]).copied().collect()
}

/// Reads `rows` examples back, without their padding.
fn read_inputs(gpu: &Gpu, model: &Model, buffer: &wgpu::Buffer, rows: usize) -> Result<Vec<f32>> {
    let values: Vec<f32> = gpu.read(buffer, 0, rows * model.inputs_padded())?;
    Ok(model.unpack_inputs(&values))
}

/// Reads `rows` rows of `width` numbers back, without their padding.
fn read_rows(gpu: &Gpu, buffer: &wgpu::Buffer, rows: usize, width: usize) -> Result<Vec<f32>> {
    let columns = padded(width);
    let values: Vec<f32> = gpu.read(buffer, 0, rows * columns)?;
    Ok(values.chunks_exact(columns).flat_map(|row| row[..width].to_vec()).collect())
}
