//! The sets of tasks, brought to the host.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Wait};
use crate::meta::source::TaskBuffers;
use crate::model::{Model, padded};

impl TaskBuffers {
    /// Inputs and targets of the support sets of a regression, without padding.
    pub(in crate::meta) async fn read_support(
        &self,
        wait: Wait,
        gpu: &Gpu,
        model: &Model,
    ) -> Result<[Vec<f32>; 2]> {
        self.check_regression()?;
        self.read_set(wait, gpu, model, &self.support, [self.used[0], self.batches.support()]).await
    }

    /// Inputs and targets of the query sets of a regression, without padding.
    pub(in crate::meta) async fn read_query(
        &self,
        wait: Wait,
        gpu: &Gpu,
        model: &Model,
    ) -> Result<[Vec<f32>; 2]> {
        self.check_regression()?;
        self.read_set(wait, gpu, model, &self.query, [self.used[1], self.queries]).await
    }

    /// Inputs and targets of `used` of every `room` examples.
    async fn read_set(
        &self,
        wait: Wait,
        gpu: &Gpu,
        model: &Model,
        [x, y]: &[wgpu::Buffer; 2],
        [used, room]: [usize; 2],
    ) -> Result<[Vec<f32>; 2]> {
        let rows = self.axis.tasks() * room;
        let (inputs, outputs) = (model.inputs(), model.outputs());
        let x: Vec<f32> = wait.read(gpu, x, 0, rows * model.inputs_padded()).await?;
        let y: Vec<f32> = wait.read(gpu, y, 0, rows * padded(outputs)).await?;
        let x = model.unpack_inputs(&x);
        // Without their padding.
        let y: Vec<f32> =
            y.chunks_exact(padded(outputs)).flat_map(|row| &row[..outputs]).copied().collect();
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
