//! Parameters that a training starts from: a safetensors file with tensors of the names and shapes that checkpoints have.

use std::path::Path;

use crate::disk::read;
use crate::disk::tensor_file::TensorFile;
use crate::error::{Error, Result};
use crate::model::Model;

/// Values for all or some of a network's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Where they begin in the canonical layout, and the values.
    values: Vec<(usize, Vec<f32>)>,
    left: Vec<String>,
    unused: Vec<String>,
}

impl Weights {
    /// Reads those parameters of `model` that the file at `path` has in the same shape; what it has not is [left](Self::left).
    ///
    /// # Errors
    /// [`Error::Data`] if the file is damaged or no tensor of it fits, or one that fits is no f32 or not finite; [`Error::Io`].
    pub fn read(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read::bytes(path)?;
        let wrong = |message: String| Error::data(path, message);
        let file = TensorFile::parse(&bytes).map_err(wrong)?;
        let mut weights = Self { values: Vec::new(), left: Vec::new(), unused: Vec::new() };
        for info in model.tensors() {
            let found = file.tensors.get(&info.name);
            let fits = found.is_some_and(|tensor| tensor.shape() == info.shape);
            match file.floats(&info.name, &info.shape) {
                Ok(values) => weights.values.push((info.offset, values)),
                Err(why) if fits => return Err(wrong(why)),
                Err(why) => weights.left.push(why),
            }
        }
        let names = file.tensors.keys();
        let other = names.filter(|name| !model.tensors().iter().any(|info| info.name == **name));
        weights.unused = other.cloned().collect();
        match weights.left.first() {
            Some(first) if weights.values.is_empty() => {
                Err(wrong(format!("no tensor fits this network; to begin with, {first}")))
            }
            _ => Ok(weights),
        }
    }

    /// How many of the network's tensors they are.
    pub fn taken(&self) -> usize {
        self.values.len()
    }

    /// What the file has not, a sentence for each tensor of the network: missing, or of another shape.
    pub fn left(&self) -> &[String] {
        &self.left
    }

    /// Tensors of the file that are no parameters of the network.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Puts them in their places of a set of parameters `[P]` in the canonical layout.
    ///
    /// # Panics
    /// If the set is of another network.
    pub fn onto(&self, parameters: &mut [f32]) {
        for (offset, values) in &self.values {
            parameters[*offset..][..values.len()].copy_from_slice(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::disk::tensor_file::{self, Data};
    use crate::model::{Activation, Loss, ModelSpec};

    fn model() -> Model {
        let spec = ModelSpec::builder(&[2])
            .dense(3, Activation::Tanh)
            .dense(1, Activation::Linear)
            .loss(Loss::Mse);
        Model::new(spec).unwrap()
    }

    fn ones(shape: &[usize], value: f32) -> Data {
        Data::floats(shape.to_vec(), &vec![value; shape.iter().product()])
    }

    /// A file of these tensors beside what fits.
    fn read(changed: &[(&str, Option<Data>)]) -> Result<Weights> {
        let mut tensors: BTreeMap<String, Data> = model()
            .tensors()
            .iter()
            .zip(1..)
            .map(|(info, number)| (info.name.clone(), ones(&info.shape, number as f32)))
            .collect();
        for (name, tensor) in changed {
            match tensor {
                Some(tensor) => tensors.insert(name.to_string(), tensor.clone()),
                None => tensors.remove(*name),
            };
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        fs::write(&path, tensor_file::serialize(&BTreeMap::new(), &tensors)).unwrap();
        Weights::read(&model(), path)
    }

    #[test]
    fn all_tensors_find_their_places() {
        let weights = read(&[("outer.m/dense1.weight", Some(ones(&[3, 2], 9.0)))]).unwrap();
        let mut parameters = vec![0.0; model().parameter_count()];
        weights.onto(&mut parameters);
        let wanted = [[1.0; 6].to_vec(), [2.0; 3].to_vec(), [3.0; 3].to_vec(), vec![4.0]].concat();
        assert_eq!(parameters, wanted);
        assert_eq!(weights.taken(), 4);
        assert_eq!(weights.unused(), ["outer.m/dense1.weight"]);
    }

    #[test]
    fn what_does_not_fit_is_named_or_left() {
        let weights = read(&[("dense2.bias", None)]).unwrap();
        assert_eq!(weights.left(), ["tensor `dense2.bias` is missing"]);
        let weights = read(&[("dense1.weight", Some(ones(&[2, 3], 0.0)))]).unwrap();
        let message = &weights.left()[0];
        assert!(message.contains("has the shape [2, 3], but [3, 2] was expected"), "{message}");
        assert_eq!((weights.taken(), weights.left().len()), (3, 1));
        let mut parameters = vec![7.0; model().parameter_count()];
        weights.onto(&mut parameters);
        assert_eq!(parameters[..7], [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 2.0]);
        let nan = [("dense1.bias", Some(Data::floats(vec![3], &[0.0, f32::NAN, 0.0])))];
        let message = read(&nan).unwrap_err().to_string();
        assert!(message.contains("`dense1.bias`") && message.contains("[1]"), "{message}");
        let names = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"];
        let message = read(&names.map(|name| (name, None))).unwrap_err().to_string();
        assert!(message.contains("no tensor fits this network"), "{message}");
    }
}
