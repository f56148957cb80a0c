//! Examples of the user's own in device memory.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, size_of_f32s};
use crate::kernels::Piece;
use crate::meta::checks;
use crate::model::{Loss, Model, padded};
use crate::tasks::{ArraySet, ArrayTargets, SplitPart};

/// Rows that lie in one buffer.
#[derive(Debug)]
struct Rows {
    first: usize,
    count: usize,
    x: wgpu::Buffer,
    y: Option<wgpu::Buffer>,
}

/// One part in device memory, cut into pieces that a binding holds.
#[derive(Debug)]
pub(super) struct ArrayPart {
    rows: Vec<Rows>,
    /// `[groups]`: (first row, rows).
    pub groups: wgpu::Buffer,
    /// Tasks of the list, or classes.
    pub count: usize,
    /// Rows of the one that has the fewest.
    pub fewest: usize,
}

impl ArrayPart {
    fn new(gpu: &Gpu, model: &Model, name: &str, set: &ArraySet) -> Result<Self> {
        check(model, name, set)?;
        let (inputs, outputs) = (model.inputs(), model.outputs());
        let per_row = size_of_f32s(model.inputs_padded().max(model.target_words()));
        let most = gpu.profile().largest_binding.min(gpu.device().limits().max_buffer_size);
        let most = (most / per_row) as usize;
        if most == 0 {
            return Err(Error::Limit {
                unit: "bytes",
                what: format!("one example of the {name} part"),
                needed: per_row,
                available: gpu.profile().largest_binding,
                remedy: "give fewer numbers an example".into(),
            });
        }
        let out_of_memory = |error| match error {
            Error::Limit { unit, available, .. } => Error::Limit {
                unit,
                what: format!("the {name} part of the arrays"),
                needed: per_row.saturating_mul((set.x.len() / inputs) as u64),
                available,
                remedy: "give fewer examples, or another device".into(),
            },
            other => other,
        };
        let piece = |(index, x): (usize, &[f32])| -> Result<Rows> {
            let (first, count) = (index * most, x.len() / inputs);
            let own = first..first + count;
            let y = match &set.y {
                ArrayTargets::Classes => None,
                ArrayTargets::Labels(labels) => Some(gpu.storage_with("targets", &labels[own])?),
                ArrayTargets::Values(values) => {
                    let values = &values[own.start * outputs..own.end * outputs];
                    Some(gpu.storage_with("targets", &widened(values, outputs))?)
                }
            };
            Ok(Rows { first, count, x: gpu.storage_with("examples", &model.pack_inputs(x))?, y })
        };
        let rows = set.x.chunks(most * inputs).enumerate().map(piece).collect::<Result<_>>();
        Ok(Self {
            rows: rows.map_err(out_of_memory)?,
            groups: gpu.storage_with("groups", &set.groups)?,
            count: set.groups.len(),
            fewest: set.fewest(),
        })
    }

    /// The pieces, as kernels take them.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.rows.iter().map(|rows| Piece {
            first: rows.first,
            rows: rows.count,
            x: &rows.x,
            y: rows.y.as_ref(),
        })
    }

    fn bytes(&self) -> u64 {
        let of = |rows: &Rows| rows.x.size() + rows.y.as_ref().map_or(0, wgpu::Buffer::size);
        self.groups.size() + self.rows.iter().map(of).sum::<u64>()
    }
}

/// Examples in device memory, those of each part of a split by themselves: what [`Origin::Arrays`](crate::meta::Origin)
/// draws its tasks from.
#[derive(Debug)]
pub struct DeviceArrays {
    classes: bool,
    train: Option<Arc<ArrayPart>>,
    val: Option<Arc<ArrayPart>>,
    test: Option<Arc<ArrayPart>>,
}

impl DeviceArrays {
    /// Uploads the parts that there are, of which `model` reads the examples: training, validation, test. Validation tasks
    /// are drawn from the training part where there is none for them. Where the test part is the training part itself, it
    /// is uploaded once.
    ///
    /// # Errors
    /// [`Error::Config`] if the examples do not fit the network, are not finite, or groups name rows that are not there;
    /// [`Error::Limit`] if the device has no room.
    pub fn new(gpu: &Gpu, model: &Model, parts: [Option<&ArraySet>; 3]) -> Result<Self> {
        let mut kinds = parts.iter().flatten().map(|set| set.has_classes());
        let classes = kinds.next().unwrap_or(false);
        if kinds.any(|own| own != classes) {
            let message =
                "one part is a list of tasks and another has classes; give the same in both";
            return Err(Error::config("tasks", message));
        }
        let part = |part: SplitPart, set: Option<&ArraySet>| {
            set.map(|set| ArrayPart::new(gpu, model, part.name(), set).map(Arc::new)).transpose()
        };
        let [own, val, test] = parts;
        let train = part(SplitPart::Train, own)?;
        let same = test.zip(own).is_some_and(|(test, own)| std::ptr::eq(test, own));
        let test = if same { train.clone() } else { part(SplitPart::Test, test)? };
        Ok(Self { classes, train, val: part(SplitPart::Val, val)?, test })
    }

    /// Whether tasks are drawn from classes, and not from a list.
    pub fn has_classes(&self) -> bool {
        self.classes
    }

    /// Classes of a task and support examples a class, if nothing is said: as many as the network has outputs, and all that
    /// every class of `part` has; of a list one class, and all that every task has.
    pub(super) fn sizes(&self, model: &Model, part: SplitPart) -> (usize, usize) {
        let fewest = self.part(part).map_or(0, |part| part.fewest);
        (if self.classes { model.outputs() } else { 1 }, fewest)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let same =
            self.train.as_ref().zip(self.test.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        let test = self.test.as_ref().filter(|_| !same);
        let parts = [self.train.as_ref(), self.val.as_ref(), test];
        parts.into_iter().flatten().map(|part| part.bytes()).sum()
    }

    /// What tasks of `part` are drawn from.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such part.
    pub(super) fn part(&self, part: SplitPart) -> Result<&ArrayPart> {
        let own = match part {
            SplitPart::Train => &self.train,
            SplitPart::Val if self.val.is_some() => &self.val,
            SplitPart::Val => &self.train,
            SplitPart::Test => &self.test,
        };
        own.as_deref().ok_or_else(|| {
            let message = format!("there is no {} part; give its examples", part.name());
            Error::config("tasks", message)
        })
    }
}

/// Rows of `width` numbers, each padded to whole vectors.
fn widened(rows: &[f32], width: usize) -> Vec<f32> {
    let mut all = vec![0.0; rows.len() / width * padded(width)];
    for (to, from) in all.chunks_exact_mut(padded(width)).zip(rows.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    all
}

/// Refuses what kernels have no room for.
fn check(model: &Model, name: &str, set: &ArraySet) -> Result<()> {
    let refuse = |message: String| Err(Error::config(format!("the {name} part"), message));
    let (inputs, outputs) = (model.inputs(), model.outputs());
    if set.x.is_empty() || !set.x.len().is_multiple_of(inputs) {
        let message = format!("{} numbers are no whole examples of {inputs}", set.x.len());
        return refuse(message);
    }
    let rows = set.x.len() / inputs;
    checks::counted("the examples of a part", &[rows])?;
    if let Some(place) = set.x.iter().position(|value| !value.is_finite()) {
        let message =
            format!("input {} of example {} is {}", place % inputs, place / inputs, set.x[place]);
        return refuse(message);
    }
    let labels = model.loss() == Loss::CrossEntropy;
    match &set.y {
        ArrayTargets::Values(_) if labels => {
            return refuse("the loss cross-entropy needs labels, not values".into());
        }
        ArrayTargets::Labels(_) | ArrayTargets::Classes if !labels => {
            return refuse("labels and classes need the loss cross-entropy".into());
        }
        ArrayTargets::Values(values) => {
            if values.len() != rows * outputs {
                let (found, wanted) = (values.len(), rows * outputs);
                return refuse(format!("{found} target values for {rows} examples; give {wanted}"));
            }
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                let (row, value) = (place / outputs, values[place]);
                return refuse(format!("target {} of example {row} is {value}", place % outputs));
            }
        }
        ArrayTargets::Labels(own) => {
            if own.len() != rows {
                return refuse(format!("{} labels for {rows} examples", own.len()));
            }
            if let Some(row) = own.iter().position(|label| *label as usize >= outputs) {
                let message = format!(
                    "example {row} has the label {}, but the network has {outputs} outputs: 0 to {}",
                    own[row],
                    outputs - 1
                );
                return refuse(message);
            }
        }
        ArrayTargets::Classes => {}
    }
    if set.groups.is_empty() {
        return refuse("it has no tasks or classes".into());
    }
    let beyond = |[first, count]: &[u32; 2]| {
        *count == 0 || u64::from(*first) + u64::from(*count) > rows as u64
    };
    if let Some(place) = set.groups.iter().position(beyond) {
        let [first, count] = set.groups[place];
        let message =
            format!("group {place} has {count} examples from {first} on, but there are {rows}");
        return refuse(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, ModelSpec};

    #[test]
    fn what_kernels_have_no_room_for_is_refused() {
        let network = |loss| {
            let spec = ModelSpec::builder(&[2]).loss(loss).dense(3, Activation::Linear);
            Model::new(spec).unwrap()
        };
        let values = ArrayTargets::Values(vec![0.5; 12]);
        let set = ArraySet { x: vec![1.0; 8], y: values, groups: vec![[0, 3], [3, 1]] };
        let labels = |of: [u32; 4]| ArraySet { y: ArrayTargets::Labels(of.into()), ..set.clone() };
        let (mse, classes) = (network(Loss::Mse), network(Loss::CrossEntropy));
        assert!(check(&mse, "train", &set).is_ok());
        assert!(check(&classes, "train", &labels([0, 2, 1, 0])).is_ok());
        let changed = |change: &dyn Fn(&mut ArraySet)| {
            let mut set = set.clone();
            change(&mut set);
            set
        };
        for (model, set, part) in [
            (&mse, changed(&|it| it.x.truncate(7)), "no whole examples of 2"),
            (&mse, changed(&|it| it.x[5] = f32::NAN), "input 1 of example 2 is NaN"),
            (&mse, changed(&|it| it.y = ArrayTargets::Values(vec![0.0; 4])), "give 12"),
            (&mse, labels([0; 4]), "need the loss cross-entropy"),
            (&mse, changed(&|it| it.y = ArrayTargets::Classes), "need the loss cross-entropy"),
            (&classes, set.clone(), "needs labels"),
            (&classes, labels([0, 3, 0, 0]), "example 1 has the label 3"),
            (&mse, changed(&|it| it.groups.clear()), "no tasks or classes"),
            (&mse, changed(&|it| it.groups[1] = [3, 2]), "group 1 has 2 examples from 3"),
            (&mse, changed(&|it| it.groups[1] = [3, 0]), "group 1 has 0 examples"),
        ] {
            let text = check(model, "val", &set).unwrap_err().to_string();
            assert!(text.contains(part) && text.contains("val part"), "{part}: {text}");
        }
    }

    #[test]
    fn targets_are_padded_to_vectors() {
        assert_eq!(widened(&[1.0, 2.0], 1), [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
        assert_eq!(widened(&[1.0; 8], 4), [1.0; 8]);
    }
}
