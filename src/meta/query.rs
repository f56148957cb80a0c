//! A forward pass over the query sets of all tasks, with loss and accuracy.

use crate::error::Result;
use crate::gpu::{Gpu, Recording, size_of_f32s};
use crate::kernels::{InnerStep, InnerSteps, LossCall, dense_forward, loss};
use crate::model::Model;

/// Buffers of one pass over `[T, Q]` queries.
#[derive(Debug)]
pub struct QueryPass {
    tasks: usize,
    queries: usize,
    inner: InnerSteps,
    /// Per layer: activations and, for GELU, what was before.
    layers: Vec<[wgpu::Buffer; 2]>,
    /// [T]: mean loss.
    pub losses: wgpu::Buffer,
    /// [T]: share of right answers.
    pub hits: wgpu::Buffer,
}

impl QueryPass {
    /// Allocates a pass over `queries` queries of each of `tasks` tasks.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room.
    pub fn new(gpu: &Gpu, model: &Model, tasks: usize, queries: usize) -> Result<Self> {
        let floats = |name, count| gpu.storage(name, size_of_f32s(count));
        let layers = model
            .layers()
            .iter()
            .map(|layer| {
                let count = tasks * queries * layer.outputs_padded();
                Ok([floats("query activations", count)?, floats("query pre-activations", count)?])
            })
            .collect::<Result<_>>()?;
        let step = InnerStep { index: 0, order_start: 0, last: 1, unused: 0 };
        Ok(Self {
            tasks,
            queries,
            inner: InnerSteps::new(gpu, &[step])?,
            layers,
            losses: floats("query losses", tasks)?,
            hits: floats("query accuracies", tasks)?,
        })
    }

    /// Records the forward pass of parameters `theta` `[T, packed]` on `x` `[T, Q, in]`.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        theta: &wgpu::Buffer,
        x: &wgpu::Buffer,
    ) -> Result<()> {
        let (sizes, stride) = ([self.tasks, self.queries], model.packed_len() / 4);
        let mut input = x;
        for (layer, [h, z]) in model.layers().iter().zip(&self.layers) {
            dense_forward(gpu, out, layer, sizes, stride, input, theta, h, z)?;
            input = h;
        }
        Ok(())
    }

    /// Records loss and accuracy of the outputs against `targets` (values `[T, Q, out]` or labels).
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn record_loss(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        model: &Model,
        targets: &wgpu::Buffer,
    ) -> Result<()> {
        loss(
            gpu,
            out,
            &LossCall {
                loss: model.loss(),
                tasks: self.tasks,
                batch: self.queries,
                outputs: model.outputs(),
                steps: 1,
                gradient: false,
                inner: (&self.inner, 0),
                outputs_buffer: self.outputs(),
                targets,
                losses: &self.losses,
                hits: &self.hits,
            },
        )
    }

    /// `[T, Q, out]`, padded: predictions or logits.
    pub fn outputs(&self) -> &wgpu::Buffer {
        &self.layers[self.layers.len() - 1][0]
    }

    /// A settings buffer with one step, for kernels that need one.
    pub fn step(&self) -> (&InnerSteps, usize) {
        (&self.inner, 0)
    }
}
