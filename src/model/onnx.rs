//! A network with its parameters as an ONNX file.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::onnx::{Graph, Value};

/// Bytes that a file of protocol buffers may take.
const MOST: u64 = i32::MAX as u64;

/// What an ONNX file has beside a network's parameters.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct OnnxSettings {
    /// Mean and (biased) variance of each channel for each batch-norm, input first; without them a batch-norm takes those
    /// of the batch at hand, as training and evaluation do.
    pub statistics: Option<Vec<[Vec<f32>; 2]>>,
    /// Mean and deviation by which inputs are normalised first: of each number of an example, or of each channel.
    pub normalization: Option<[Vec<f32>; 2]>,
    /// Outputs that are kept, where a task has fewer classes: the first ones.
    pub outputs: Option<usize>,
    /// What the file says of itself.
    pub metadata: BTreeMap<String, String>,
}

impl Model {
    /// The forward pass with `parameters` `[P]` (canonical) as an ONNX file (opset 17): `input` `[N, …input]`, images as `[N, C, H, W]`, becomes
    /// `output` `[N, outputs]`, logits for a classifier. N is free.
    ///
    /// # Errors
    /// [`Error::Config`] if there are not as many parameters, statistics, normalised numbers or outputs as the network has;
    /// [`Error::Limit`] if the file would have 2 GiB or more.
    pub fn to_onnx(&self, parameters: &[f32], settings: &OnnxSettings) -> Result<Vec<u8>> {
        let wrong = |what: &str, given: usize, has: usize| {
            let message = format!("{given} are given, and the network has {has}; give as many");
            Err(Error::config(what, message))
        };
        if parameters.len() != self.parameter_count() {
            return wrong("parameters", parameters.len(), self.parameter_count());
        }
        let needed = 4 * self.parameter_count() as u64;
        if needed > MOST - (1 << 20) {
            return Err(Error::Limit {
                what: "a network in an ONNX file".into(),
                unit: "bytes",
                needed,
                available: MOST,
                remedy: "export a smaller one".into(),
            });
        }
        let outputs = settings.outputs.unwrap_or(self.outputs());
        if !(1..=self.outputs()).contains(&outputs) {
            return wrong("outputs", outputs, self.outputs());
        }
        let coupled: Vec<_> =
            self.layers().iter().filter(|layer| layer.couples_examples()).collect();
        if let Some(all) = &settings.statistics {
            if all.len() != coupled.len() {
                return wrong("statistics", all.len(), coupled.len());
            }
            for (layer, own) in coupled.iter().zip(all) {
                let channels = layer.output.channels;
                if let Some(part) = own.iter().find(|part| part.len() != channels) {
                    return wrong(&format!("statistics of {}", layer.name), part.len(), channels);
                }
            }
        }
        let mut graph = Graph::default();
        let mut x = graph.input("input", &self.spec().input);
        if let Some(own) = &settings.normalization {
            x = self.normalized(&mut graph, own, &x)?;
        }
        let first = &self.layers()[0];
        if first.is_dense() || self.spec().input.len() != 3 {
            x = graph.flattened(&x);
        }
        let mut statistics = settings.statistics.iter().flatten();
        for layer in self.layers() {
            let own = if layer.couples_examples() { statistics.next() } else { None };
            x = layer.onnx(&mut graph, parameters, own, x);
        }
        if x.image {
            x = graph.flattened(&x);
        }
        if outputs < self.outputs() {
            let [start, end, axis] = [0, outputs as i64, 1].map(|at| graph.ints(&[at]));
            x = graph.add("Slice", &x, &[&start, &end, &axis]);
        }
        graph.output("output", &[outputs], &x);
        Ok(graph.into_bytes(&settings.metadata))
    }

    /// `x` minus the mean, divided by the deviation.
    fn normalized(&self, graph: &mut Graph, own: &[Vec<f32>; 2], x: &Value) -> Result<Value> {
        let input = &self.spec().input;
        let shape = match own[0].len() {
            all if all == self.inputs() => input.clone(),
            channels if x.image && channels == input[0] => vec![channels, 1, 1],
            other => {
                let message = format!("{other} means for inputs of {input:?}; give as many");
                return Err(Error::config("normalization", message));
            }
        };
        if own[1].len() != own[0].len() {
            let message = format!("{} means, but {} deviations", own[0].len(), own[1].len());
            return Err(Error::config("normalization", message));
        }
        let mean = graph.floats("input.mean", &shape, &own[0]);
        let deviation = graph.floats("input.deviation", &shape, &own[1]);
        let x = graph.add("Sub", x, &[&mean]);
        Ok(graph.add("Div", &x, &[&deviation]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::BatchNorm;
    use crate::model::{Activation, Loss, ModelSpec, Padding};

    fn model() -> Model {
        let spec = ModelSpec::builder(&[3, 8, 8]).loss(Loss::CrossEntropy);
        let spec = spec.conv2d(4, 3, 2, Padding::SAME).layer(BatchNorm::new(Activation::Relu));
        Model::new(spec.dense(5, Activation::Linear)).unwrap()
    }

    #[test]
    fn what_does_not_fit_the_network_is_refused() {
        let model = model();
        let parameters = model.initial(0);
        let refused = |change: &dyn Fn(&mut OnnxSettings)| {
            let mut settings = OnnxSettings::default();
            change(&mut settings);
            model.to_onnx(&parameters, &settings).unwrap_err().to_string()
        };
        let statistics = |channels| Some(vec![[vec![0.0; 4], vec![1.0; channels]]]);
        for (text, part) in [
            (refused(&|it| it.outputs = Some(6)), "`outputs`: 6 are given, and the network has 5"),
            (refused(&|it| it.statistics = Some(vec![])), "`statistics`: 0"),
            (refused(&|it| it.statistics = statistics(3)), "`statistics of norm1`: 3"),
            (refused(&|it| it.normalization = Some([vec![0.0; 2], vec![]])), "2 means"),
            (refused(&|it| it.normalization = Some([vec![0.0; 3], vec![]])), "0 deviations"),
            (
                model.to_onnx(&[], &OnnxSettings::default()).unwrap_err().to_string(),
                "`parameters`: 0",
            ),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
