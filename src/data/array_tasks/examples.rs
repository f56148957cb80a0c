//! The examples of one file: arrays of tasks, or a pool with labels.

use std::collections::BTreeMap;

use crate::data::array_file::{Array, ArrayFile};
use crate::data::array_tasks::picked;
use crate::data::names::listed;
use crate::disk::tensor_file::position;
use crate::error::Result;
use crate::model::{Loss, Model};
use crate::tasks::{ArraySet, ArrayTargets};

/// What [`Examples::read`] finds: all that a file holds.
#[derive(Clone, Debug)]
pub(super) struct Examples {
    set: ArraySet,
    /// Of a pool: the labels of its classes, ascending.
    labels: Vec<i64>,
    inputs: usize,
    outputs: usize,
}

impl Examples {
    /// Reads the arrays `x`, `y` and, where there is one, `count`; and what there is to say of them.
    ///
    /// # Errors
    /// [`crate::Error::Data`] that names the array, its shape and the one that is expected, or the place of a value.
    pub fn read(file: &mut ArrayFile, model: &Model) -> Result<(Self, Vec<String>)> {
        let (x, y, count) = (file.need("x")?, file.need("y")?, file.read("count")?);
        let own = examples(x, y, count, model).map_err(|message| file.wrong(message))?;
        let (inputs, outputs) = (model.inputs(), model.outputs());
        Ok((Self { set: own.set, labels: own.labels, inputs, outputs }, own.notes))
    }

    /// Number of tasks, or classes.
    pub fn groups(&self) -> usize {
        self.set.groups.len()
    }

    /// Whether it is a pool with labels.
    pub fn has_classes(&self) -> bool {
        self.set.has_classes()
    }

    /// Of a pool: the labels of its classes, ascending.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The tasks, or classes, `of`.
    pub fn part(&self, of: &[usize]) -> ArraySet {
        picked(&self.set, of, self.inputs, self.outputs)
    }
}

/// What the arrays of a file hold.
struct Found {
    set: ArraySet,
    labels: Vec<i64>,
    notes: Vec<String>,
}

fn examples(x: Array, y: Array, count: Option<Array>, model: &Model) -> Result<Found, String> {
    let input = &model.spec().input;
    let shape = x.shape.clone();
    let own = |before: usize| shape.len() == input.len() + before && shape[before..] == input[..];
    if shape.contains(&0) {
        return Err(format!("the array `x` has the shape {shape:?}: no size may be zero"));
    }
    match (own(2), own(1)) {
        (true, _) => list(x, y, count, model),
        (_, true) => match count {
            None => pool(x, &y, model),
            Some(_) => Err("`count` belongs to a list of tasks, and `x` is a pool of examples; \
                            leave it out"
                .into()),
        },
        _ => {
            let sizes: String = input.iter().map(|size| format!(", {size}")).collect();
            Err(format!(
                "the array `x` has the shape {shape:?}; give [T, N{sizes}] (tasks, examples of a task, the network's \
                 input) or, for examples that classes are drawn from, [N{sizes}]"
            ))
        }
    }
}

/// A line if numbers were rounded.
fn rounded(name: &str) -> String {
    format!("the array `{name}` is f64, rounded to f32")
}

/// Finite floats of the rows that count, or the place of the one that is not.
fn counted_rows(
    name: &str,
    array: Array,
    pixels: bool,
    [rows, counts]: [&[usize]; 2],
) -> Result<(Vec<f32>, bool), String> {
    let shape = array.shape.clone();
    // What fills up tasks of fewer examples is not looked at.
    let (values, was_rounded) = array.numbers(name, pixels)?;
    let width = values.len() / rows[0] / rows[1];
    let mut all = Vec::with_capacity(counts.iter().sum::<usize>() * width);
    for (task, count) in counts.iter().enumerate() {
        let own = task * rows[1] * width..(task * rows[1] + count) * width;
        if let Some(at) = values[own.clone()].iter().position(|value| !value.is_finite()) {
            let place = own.start + at;
            let at = position(&shape, place);
            return Err(format!("the array `{name}` is {} at {at:?}", values[place]));
        }
        all.extend_from_slice(&values[own]);
    }
    Ok((all, was_rounded))
}

/// Tasks one behind the other.
fn list(x: Array, y: Array, count: Option<Array>, model: &Model) -> Result<Found, String> {
    let (tasks, examples, outputs) = (x.shape[0], x.shape[1], model.outputs());
    let counts = match count {
        None => vec![examples; tasks],
        Some(array) => counts(array, tasks, examples)?,
    };
    let mut first = 0;
    let mut groups = Vec::with_capacity(tasks);
    for count in &counts {
        let end = u32::try_from(first as usize + count);
        let end = end.map_err(|_| "there are more than 4,294,967,295 examples; give fewer")?;
        groups.push([first, *count as u32]);
        first = end;
    }
    let mut notes = Vec::new();
    let rows = [tasks, examples];
    let image = model.spec().input.len() == 3;
    let (x, was_rounded) = counted_rows("x", x, image, [&rows, &counts])?;
    notes.extend(was_rounded.then(|| rounded("x")));
    let targets = match model.loss() {
        Loss::Mse => {
            let flat = outputs == 1 && y.shape == rows;
            if !flat && y.shape != [tasks, examples, outputs] {
                return Err(format!(
                    "the array `y` has the shape {:?}, but [{tasks}, {examples}, {outputs}] was expected (the \
                     network's outputs, with the loss mse)",
                    y.shape
                ));
            }
            let (y, was_rounded) = counted_rows("y", y, false, [&rows, &counts])?;
            notes.extend(was_rounded.then(|| rounded("y")));
            ArrayTargets::Values(y)
        }
        Loss::CrossEntropy => {
            let (labels, note) = labels(y, rows, &counts, outputs)?;
            notes.extend(note);
            ArrayTargets::Labels(labels)
        }
    };
    Ok(Found { set: ArraySet { x, y: targets, groups }, labels: Vec::new(), notes })
}

/// Examples of each task.
fn counts(array: Array, tasks: usize, examples: usize) -> Result<Vec<usize>, String> {
    if array.shape != [tasks] {
        return Err(format!(
            "the array `count` has the shape {:?}, but [{tasks}] was expected, the tasks of `x`",
            array.shape
        ));
    }
    let one = |(task, count): (usize, i64)| match usize::try_from(count) {
        Ok(count) if (1..=examples).contains(&count) => Ok(count),
        _ => Err(format!(
            "the array `count` is {count} at [{task}], but a task of `x` has 1 to {examples} examples"
        )),
    };
    array.integers("count")?.into_iter().enumerate().map(one).collect()
}

/// The labels of the examples that count, and a line on those that no example has.
fn labels(
    y: Array,
    [tasks, examples]: [usize; 2],
    counts: &[usize],
    classes: usize,
) -> Result<(Vec<u32>, Option<String>), String> {
    if y.shape != [tasks, examples] {
        return Err(format!(
            "the array `y` has the shape {:?}, but [{tasks}, {examples}] was expected (labels, with the loss \
             cross-entropy)",
            y.shape
        ));
    }
    let all = y.integers("y")?;
    let mut labels = Vec::with_capacity(counts.iter().sum());
    let mut used = vec![false; classes];
    for (task, count) in counts.iter().enumerate() {
        for example in 0..*count {
            let label = all[task * examples + example];
            match usize::try_from(label).ok().and_then(|label| used.get_mut(label)) {
                Some(used) => *used = true,
                None => {
                    return Err(format!(
                        "the array `y` is {label} at [{task}, {example}], but the network has {classes} outputs: labels \
                         0 to {}",
                        classes - 1
                    ));
                }
            }
            labels.push(label as u32);
        }
    }
    let unused: Vec<String> =
        (0..classes).filter(|label| !used[*label]).map(|label| label.to_string()).collect();
    let note = format!("no example has the label {}", listed(&unused));
    Ok((labels, (!unused.is_empty()).then_some(note)))
}

/// Examples sorted by their labels; classes are in the order of the labels, whatever numbers these are.
fn pool(x: Array, y: &Array, model: &Model) -> Result<Found, String> {
    if model.loss() != Loss::CrossEntropy {
        return Err(
            "`x` is a pool of labelled examples, from which classes are drawn: that needs \
                    the loss cross-entropy; for a regression give tasks, [T, N, …input]"
                .into(),
        );
    }
    let examples = x.shape[0];
    if y.shape != [examples] {
        return Err(format!(
            "the array `y` has the shape {:?}, but [{examples}] was expected, a label for each example of `x`",
            y.shape
        ));
    }
    if u32::try_from(examples).is_err() {
        return Err("there are more than 4,294,967,295 examples; give fewer".into());
    }
    let mut of_label: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (example, label) in y.clone().integers("y")?.into_iter().enumerate() {
        of_label.entry(label).or_default().push(example);
    }
    let (values, was_rounded) = x.floats("x", model.spec().input.len() == 3)?;
    let mut notes: Vec<String> = was_rounded.then(|| rounded("x")).into_iter().collect();
    let [lowest, highest] =
        [of_label.keys().next(), of_label.keys().next_back()].map(|label| *label.unwrap_or(&0));
    let skipped = i128::from(highest) - i128::from(lowest) + 1 - of_label.len() as i128;
    if lowest != 0 || skipped > 0 {
        let classes = of_label.len();
        notes.push(format!("labels are {classes} numbers from {lowest} to {highest}"));
    }
    let inputs = model.inputs();
    let (mut sorted, mut groups) = (Vec::with_capacity(values.len()), Vec::new());
    for own in of_label.values() {
        groups.push([(sorted.len() / inputs) as u32, own.len() as u32]);
        own.iter()
            .for_each(|row| sorted.extend_from_slice(&values[row * inputs..(row + 1) * inputs]));
    }
    let set = ArraySet { x: sorted, y: ArrayTargets::Classes, groups };
    Ok(Found { set, labels: of_label.into_keys().collect(), notes })
}
