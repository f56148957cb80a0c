//! The inner loops of tasks with fewer examples than the buffers have room for.

use super::{InnerLoop, choose, inner_steps};
use crate::error::Result;
use crate::gpu::{Gpu, size_of_f32s};
use crate::kernels::InnerSteps;
use crate::meta::source::TaskBuffers;

impl InnerLoop {
    /// The same buffers for tasks of fewer examples, in minibatches that are not larger.
    ///
    /// # Errors
    /// As [`InnerLoop::new`].
    pub(in crate::meta) fn made_for(&self, gpu: &Gpu, tasks: &TaskBuffers) -> Result<Self> {
        let rows = tasks.support_rows().is_some();
        let (model, rule, batches) = (&self.model, self.rule, tasks.batches());
        let (kind, segments) = choose(gpu, model, rule, rows, self.kind, batches, false)?;
        let inner = InnerSteps::new(gpu, &inner_steps(&segments, self.axis.tasks(), self.chunk))?;
        let anchors = if segments.len() > 1 && self.segments.len() == 1 {
            let sets = self.axis.tasks() * model.packed_len();
            gpu.storage("parameters before the last step", size_of_f32s(sets))?
        } else {
            self.anchors.clone()
        };
        Ok(Self { kind, segments, inner, anchors, ..self.clone() })
    }
}
