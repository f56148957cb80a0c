//! Tasks are drawn: by the sampler of their origin, and examples of arrays by their numbers.

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::kernels::{
    RunSteps, gather_examples, sample_episode, sample_glyphs, sample_listed, sample_order,
    sample_own, sample_sine,
};
use crate::meta::source::{Origin, TaskBuffers};

impl TaskBuffers {
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
            Origin::Arrays { .. } => self.record_arrays(gpu, out, runs),
            Origin::Functions { functions, .. } => {
                let sizes = [batches.support(), self.queries];
                let layout = self.drawn;
                sample_own(gpu, out, functions, layout, axis, sizes, runs, support, query)?;
                sample_order(gpu, out, axis, batches, runs, &self.order, false)
            }
            Origin::Rows { ordered: true, .. } => Ok(()),
            Origin::Listed { .. } | Origin::Rows { ordered: false, .. } => {
                sample_order(gpu, out, axis, batches, runs, &self.order, self.some)
            }
        }
    }

    /// Records the numbers of the examples of tasks over arrays, and then those examples.
    fn record_arrays(&self, gpu: &Gpu, out: &mut Recording, runs: &RunSteps) -> Result<()> {
        let Origin::Arrays { arrays, part, queries } = &self.origin else { return Ok(()) };
        let (axis, batches, order) = (self.axis, &self.batches, &self.order);
        let queries = if self.queries > 0 { *queries } else { 0 };
        let part = arrays.part(*part)?;
        let (table, [support, query]) = ((&part.groups, part.count), &self.numbers);
        if arrays.has_classes() {
            sample_episode(gpu, out, axis, batches, queries, runs, table, order, support, query)?;
        } else {
            let numbers = [support, query];
            sample_listed(gpu, out, axis, batches, queries, runs, table, order, numbers)?;
        }
        let sets = [
            (batches.support(), batches.group, support, &self.support),
            (self.queries, queries, query, &self.query),
        ];
        for (examples, per_class, numbers, [x, y]) in sets {
            for piece in part.pieces().take(if examples > 0 { usize::MAX } else { 0 }) {
                let sizes = [axis.tasks(), examples];
                gather_examples(gpu, out, self.rows, sizes, per_class, piece, numbers, [x, y])?;
            }
        }
        Ok(())
    }
}
