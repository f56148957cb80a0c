//! Batches that are not full: tasks of fewer examples than there is room for.

use super::{Adaptation, Prediction};
use crate::error::{Error, Result};
use crate::meta::query::QueryBatches;
use crate::meta::source::Origin;
use crate::tasks::Batches;

impl Adaptation {
    /// Support examples N and queries Q of a task: as many as the batch was made for, unless
    /// [`Adaptation::set_sizes`] said otherwise.
    pub fn sizes(&self) -> [usize; 2] {
        self.tasks.used()
    }

    /// From now on each task has `support` examples to learn from and `queries` to predict, of as many as the batch was
    /// made for: uploads are `[T, support, in]` and `[T, queries, in]`, predictions `[T, queries, out]`. The numbers are
    /// those of a batch that is made for so many, to the last digits of a float. Minibatches are as before, or of all
    /// examples where those are fewer; a minibatch that was made larger than the support set stays as large.
    ///
    /// What was uploaded counts no more: upload both sets anew, and the order, where it is uploaded. What is recorded
    /// already has its sizes, but reads what is uploaded when it is submitted.
    ///
    /// For networks without batch statistics this is a number that kernels are told (with up to 16,384 steps): they are
    /// compiled once, for the first batch that is not full, so that a program may set sizes and run once while it loads.
    /// Otherwise the dispatches are recorded anew, and kernels compiled for sizes that the device has not seen before. The
    /// buffers stay.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no room for so many, for 0 of what the batch was made for, and if the tasks are not
    /// uploaded as rows of one class (`way` = 1); else as [`Adaptation::new`]. The sizes stay as they were.
    pub fn set_sizes(&mut self, support: usize, queries: usize) -> Result<()> {
        let Batches { way, group, batch, .. } = self.setup.batches;
        if way != 1 || !matches!(self.setup.origin, Origin::Rows { .. }) {
            let message = "these tasks have the sizes that they were made with; only those that are uploaded as rows, of \
                           one class, may be smaller";
            return Err(Error::config("sizes", message));
        }
        let most = self.setup.origin.queries(way);
        for (name, count, least, most) in
            [("support", support, 1, group), ("queries", queries, most.min(1), most)]
        {
            if !(least..=most).contains(&count) {
                let message = format!(
                    "{count} are not possible; the batch was made for {least} to {most}, make one for more"
                );
                return Err(Error::config(name, message));
            }
        }
        let used = [support, queries];
        if self.tasks.is_tellable() {
            return self.tell(used);
        }
        let minibatch = if batch > group { batch } else { batch.min(support) };
        let tasks = self.tasks.made_for(used, minibatch);
        let inner = self.inner.made_for(&self.gpu, &tasks)?;
        let smaller = |prediction: &Prediction| {
            let beside = prediction.batches.support.map(|_| support);
            let batches = QueryBatches { queries, support: beside, ..prediction.batches };
            Prediction {
                batches,
                rows: prediction.rows.clone(),
                before: prediction.before.as_ref().map(|pass| pass.made_for(batches)),
                after: prediction.after.made_for(batches),
            }
        };
        let predictions = self.predictions.iter().map(smaller).collect();
        let before = (
            std::mem::replace(&mut self.tasks, tasks),
            std::mem::replace(&mut self.inner, inner),
            std::mem::replace(&mut self.predictions, predictions),
        );
        match self.record_all() {
            Ok(recorded) => (self.recording, self.inner_loops) = recorded,
            Err(error) => {
                (self.tasks, self.inner, self.predictions) = before;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Has kernels that are told the sizes `used`, or those that are made for a full batch.
    fn tell(&mut self, used: [usize; 2]) -> Result<()> {
        let tasks = self.tasks.told(used);
        let same = tasks.is_told() == self.tasks.is_told();
        let before = std::mem::replace(&mut self.tasks, tasks);
        if same {
            return Ok(());
        }
        let other = match self.spare.take() {
            Some(recorded) => recorded,
            None => match self.record_all() {
                Ok(recorded) => recorded,
                Err(error) => {
                    self.tasks = before;
                    return Err(error);
                }
            },
        };
        let recording = std::mem::replace(&mut self.recording, other.0);
        let inner_loops = std::mem::replace(&mut self.inner_loops, other.1);
        self.spare = Some((recording, inner_loops));
        Ok(())
    }
}
