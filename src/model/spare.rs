//! Outputs that a task has no class for.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::model::{Loss, Model};

/// The bias of an output that is masked: its probability is zero, and with it its share of every gradient.
const MASKED: f32 = -1e30;

impl Model {
    /// Where the biases of the outputs from `classes` on lie among the parameters `[P]`.
    ///
    /// # Errors
    /// [`Error::Config`] if there are fewer outputs, or they are no classes of a dense last layer.
    pub fn spare_biases(&self, classes: usize) -> Result<Range<usize>> {
        let outputs = self.outputs();
        let message = match self.layers().last() {
            _ if classes == 0 || classes > outputs => {
                format!(
                    "{classes} classes, but the network has {outputs} outputs; give 1 to {outputs}"
                )
            }
            _ if self.loss() != Loss::CrossEntropy => "classes need the loss cross-entropy".into(),
            Some(last) if !last.is_dense() => {
                "fewer classes than outputs need a dense layer as the last one".into()
            }
            _ => {
                let end = self.parameter_count();
                return Ok(end - (outputs - classes)..end);
            }
        };
        Err(Error::config("classes", message))
    }

    /// `parameters` `[P]` with the outputs from `classes` on masked.
    ///
    /// # Errors
    /// As [`Model::spare_biases`].
    pub fn masked(&self, mut parameters: Vec<f32>, classes: usize) -> Result<Vec<f32>> {
        let spare = self.spare_biases(classes)?;
        parameters.get_mut(spare).into_iter().flatten().for_each(|bias| *bias = MASKED);
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::GlobalPool;
    use crate::model::{Activation, ModelSpec, Padding};

    #[test]
    fn the_last_biases_are_those_of_spare_outputs() {
        let spec = ModelSpec::builder(&[2]).loss(Loss::CrossEntropy);
        let model =
            Model::new(spec.dense(3, Activation::Relu).dense(4, Activation::Linear)).unwrap();
        let bias = model.tensors().last().unwrap();
        assert_eq!((bias.name.as_str(), bias.shape.as_slice()), ("dense2.bias", [4].as_slice()));
        let masked = model.masked(vec![1.0; model.parameter_count()], 3).unwrap();
        assert_eq!(masked.iter().position(|value| *value != 1.0), Some(masked.len() - 1));
        assert_eq!(model.spare_biases(4).unwrap().len(), 0);
        assert!(model.spare_biases(5).is_err() && model.spare_biases(0).is_err());
        let spec = ModelSpec::builder(&[1, 4, 4]).loss(Loss::CrossEntropy);
        let pooled = spec.conv2d(4, 3, 1, Padding::SAME).layer(GlobalPool::default());
        let text = Model::new(pooled).unwrap().spare_biases(3).unwrap_err().to_string();
        assert!(text.contains("dense layer"), "{text}");
    }
}
