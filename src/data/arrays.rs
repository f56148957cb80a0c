//! The user's own tasks: arrays in a safetensors file.
//!
//! | tensor | type and shape | |
//! |---|---|---|
//! | `support_x` | f32 [T, N, ...input] | the model's input shape; for images also u8, taken as 0..255 and divided by 255 |
//! | `support_y` | f32 `[T, N, outputs]` for mse; i64 or i32 `[T, N]` for cross-entropy | |
//! | `query_x` | f32 [T, Q, ...input] | optional |
//! | `query_y` | as `support_y`, with Q | optional, only with `query_x` |
//! | `order` | i32 or i64 `[T, K, B]` | optional: the minibatches, indices into N |

#[cfg(test)]
mod tests;

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::data::stored_arrays::Normalization;
use crate::disk::read;
use crate::disk::tensor_file::{self, TensorFile, little_endian, position};
use crate::error::{Error, Result};
use crate::model::{Loss, Model};

const KNOWN: [&str; 5] = ["support_x", "support_y", "query_x", "query_y", "order"];

/// What the examples should map to.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// For mse: `[T, N, outputs]`.
    Values(Vec<f32>),
    /// For cross-entropy: `[T, N]`, each below the number of outputs.
    Labels(Vec<u32>),
}

/// Examples to predict after adaptation.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Examples of each task, Q.
    pub count: usize,
    /// `[T, Q, inputs]`.
    pub x: Vec<f32>,
    /// What they should map to, if known.
    pub y: Option<Targets>,
}

/// Explicit minibatches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Inner steps K.
    pub steps: usize,
    /// Examples in a minibatch, B.
    pub batch: usize,
    /// `[T, K, B]`, each an index into the N support examples of its task.
    pub indices: Vec<u32>,
}

/// T tasks with N support examples each. Every number is finite and every index in range.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskArrays {
    /// Tasks, T.
    pub tasks: usize,
    /// Support examples of each task, N.
    pub support: usize,
    /// `[T, N, inputs]`.
    pub support_x: Vec<f32>,
    /// What they should map to.
    pub support_y: Targets,
    /// Examples to predict, if any.
    pub query: Option<Query>,
    /// The minibatches, if they are given.
    pub order: Option<Order>,
    /// Whether inputs were bytes, which were divided by 255.
    pub from_bytes: bool,
}

impl TaskArrays {
    /// Reads and checks the tasks for `model` in the file at `path`.
    ///
    /// # Errors
    /// [`Error::Data`] that names the tensor and what is wrong with it, [`Error::Io`].
    pub fn load(path: impl AsRef<Path>, model: &Model) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read::bytes(path)?;
        Self::from_bytes(&bytes, model).map_err(|message| Error::data(path, message))
    }

    /// The same with normalised inputs.
    #[must_use]
    pub fn normalized(&self, by: &Normalization) -> Self {
        let mut own = self.clone();
        by.apply(&mut own.support_x);
        own.query.iter_mut().for_each(|query| by.apply(&mut query.x));
        own
    }

    /// What is to be said of the tasks in the file at `path`, if anything: what bytes were taken for.
    pub fn note(&self, path: &Path) -> Option<String> {
        let said =
            format!("{}: inputs are bytes, taken as 0..255 and divided by 255", path.display());
        self.from_bytes.then_some(said)
    }

    /// The same of the bytes of a file.
    pub(crate) fn from_bytes(bytes: &[u8], model: &Model) -> Result<Self, String> {
        let file = TensorFile::parse(bytes)?;
        check_names(&file)?;
        let get = |name: &str| file.tensors.get(name);
        let need = |name: &str| get(name).ok_or_else(|| format!("tensor `{name}` is missing"));

        let x = need("support_x")?;
        check_inputs("support_x", x, None, model)?;
        let (tasks, support) = (x.shape()[0], x.shape()[1]);
        let support_x = inputs("support_x", x, model)?;
        let support_y = targets("support_y", need("support_y")?, tasks, support, model)?;
        let query = match get("query_x") {
            Some(x) => {
                check_inputs("query_x", x, Some(tasks), model)?;
                let count = x.shape()[1];
                let y = get("query_y").map(|y| targets("query_y", y, tasks, count, model));
                Some(Query { count, x: inputs("query_x", x, model)?, y: y.transpose()? })
            }
            None if get("query_y").is_some() => {
                return Err("tensor `query_y` is there without `query_x`; add that one, or leave \
                            both out"
                    .into());
            }
            None => None,
        };
        let order = get("order").map(|order| minibatches(order, tasks, support)).transpose()?;
        let from_bytes = [get("support_x"), get("query_x")]
            .into_iter()
            .flatten()
            .any(|tensor| tensor.dtype() == Dtype::U8);
        Ok(Self { tasks, support, support_x, support_y, query, order, from_bytes })
    }
}

/// Refuses tensors of other names.
fn check_names(file: &TensorFile<'_>) -> Result<(), String> {
    let Some(name) = file.tensors.keys().find(|name| !KNOWN.contains(&name.as_str())) else {
        return Ok(());
    };
    let distance = |known: &&str| strsim::damerau_levenshtein(known, name);
    let nearest = KNOWN.iter().copied().min_by_key(distance).unwrap_or(KNOWN[0]);
    Err(format!(
        "tensor `{name}` is unknown; did you mean `{nearest}`? The names are {}",
        KNOWN.map(|known| format!("`{known}`")).join(", ")
    ))
}

/// Refuses examples that are not [T, count, ...input] with sizes above zero.
fn check_inputs(
    name: &str,
    tensor: &TensorView<'_>,
    tasks: Option<usize>,
    model: &Model,
) -> Result<(), String> {
    let (shape, input) = (tensor.shape(), &model.spec().input);
    let fits = shape.len() == input.len() + 2
        && shape[2..] == input[..]
        && tasks.is_none_or(|tasks| shape[0] == tasks);
    if !fits {
        let count = if name == "support_x" { "N" } else { "Q" };
        let tasks = tasks.map_or("T".to_owned(), |tasks| tasks.to_string());
        let sizes: String = input.iter().map(|size| format!(", {size}")).collect();
        return Err(format!(
            "tensor `{name}` has the shape {shape:?}, but [{tasks}, {count}{sizes}] was expected \
             (tasks, examples, the model's input)"
        ));
    }
    check_sizes(name, shape)
}

fn check_sizes(name: &str, shape: &[usize]) -> Result<(), String> {
    if shape.contains(&0) {
        return Err(format!("tensor `{name}` has the shape {shape:?}: no size may be zero"));
    }
    Ok(())
}

fn check_shape(name: &str, tensor: &TensorView<'_>, expected: &[usize]) -> Result<(), String> {
    if tensor.shape() != expected {
        let found = tensor.shape();
        return Err(format!(
            "tensor `{name}` has the shape {found:?}, but {expected:?} was expected"
        ));
    }
    Ok(())
}

/// The targets of `count` examples of each task, of the kind that the model's loss needs.
fn targets(
    name: &str,
    tensor: &TensorView<'_>,
    tasks: usize,
    count: usize,
    model: &Model,
) -> Result<Targets, String> {
    match model.loss() {
        Loss::Mse => {
            check_shape(name, tensor, &[tasks, count, model.outputs()])?;
            Ok(Targets::Values(floats(name, tensor)?))
        }
        Loss::CrossEntropy => {
            let classes = model.outputs();
            let labels = integers(name, tensor)?;
            check_shape(name, tensor, &[tasks, count])?;
            let wrong = |at: usize, label: i64| {
                let (task, sample) = (at / count, at % count);
                format!(
                    "tensor `{name}`: task {task}, sample {sample} has the label {label}, but the \
                     model has {classes} classes: 0 to {}",
                    classes - 1
                )
            };
            Ok(Targets::Labels(below(&labels, classes, wrong)?))
        }
    }
}

fn minibatches(tensor: &TensorView<'_>, tasks: usize, support: usize) -> Result<Order, String> {
    let shape = tensor.shape();
    let &[found, steps, batch] = shape else {
        return Err(format!(
            "tensor `order` has the shape {shape:?}, but [{tasks}, K, B] was expected (tasks, \
             steps, minibatch)"
        ));
    };
    if found != tasks {
        return Err(format!(
            "tensor `order` has the shape {shape:?}, but [{tasks}, {steps}, {batch}] was expected \
             for the {tasks} tasks of `support_x`"
        ));
    }
    check_sizes("order", shape)?;
    let wrong = |at: usize, index: i64| {
        format!(
            "tensor `order` is {index} at {:?}, but each task has {support} support examples: 0 \
             to {}",
            position(shape, at),
            support - 1
        )
    };
    let indices = below(&integers("order", tensor)?, support, wrong)?;
    Ok(Order { steps, batch, indices })
}

/// `values` as indices into `limit` things, or what `wrong` says of the first that is none.
fn below(
    values: &[i64],
    limit: usize,
    wrong: impl Fn(usize, i64) -> String,
) -> Result<Vec<u32>, String> {
    let index = |(at, value): (usize, &i64)| match u32::try_from(*value) {
        Ok(index) if (index as usize) < limit => Ok(index),
        _ => Err(wrong(at, *value)),
    };
    values.iter().enumerate().map(index).collect()
}

/// Examples as the network takes them. A network for images was trained on pixels in 0..1, so bytes are
/// divided by 255; what other bytes mean, nobody knows.
fn inputs(name: &str, tensor: &TensorView<'_>, model: &Model) -> Result<Vec<f32>, String> {
    let image = model.spec().input.len() == 3;
    match tensor.dtype() {
        Dtype::U8 if image => {
            Ok(tensor.data().iter().map(|byte| f32::from(*byte) / 255.0).collect())
        }
        Dtype::F32 => tensor_file::finite_floats(name, tensor),
        other => Err(format!(
            "tensor `{name}` is {other}, but F32 was expected{}; convert it, in NumPy with \
             `.astype(numpy.float32)`, in PyTorch with `.float()`, and scale it as the network's training data were: \
             pixels of 0..255 are divided by 255",
            if image { " (or U8 for pixels of 0..255)" } else { "" }
        )),
    }
}

fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    if tensor.dtype() != Dtype::F32 {
        return Err(format!(
            "tensor `{name}` is {}, but F32 was expected; convert it, in NumPy with \
             `.astype(numpy.float32)`, in PyTorch with `.float()`",
            tensor.dtype()
        ));
    }
    tensor_file::finite_floats(name, tensor)
}

fn integers(name: &str, tensor: &TensorView<'_>) -> Result<Vec<i64>, String> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::I64 => Ok(little_endian(data, i64::from_le_bytes).collect()),
        Dtype::I32 => Ok(little_endian(data, i32::from_le_bytes).map(i64::from).collect()),
        other => Err(format!(
            "tensor `{name}` is {other}, but I64 or I32 was expected; convert it, in NumPy with \
             `.astype(numpy.int64)`, in PyTorch with `.long()`"
        )),
    }
}
