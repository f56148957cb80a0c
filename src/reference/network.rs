//! The whole network: predictions, loss, accuracy, and the gradient by back-propagation.

use super::dense::{activation_backward, dense_backward, dense_forward, dense_gradient};
use super::losses::{loss_cross_entropy, loss_mse};
use crate::model::{Loss, Model};

/// What the network should say.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// For mean squared error, `[B, out]`.
    Values(&'a [f64]),
    /// For cross-entropy, `[B]`, each below the number of outputs.
    Labels(&'a [u32]),
}

/// The predictions `[B, out]` (logits for a classifier) for `x` `[B, in]`.
pub fn forward(model: &Model, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let mut values = x.to_vec();
    for layer in model.layers() {
        values = dense_forward(layer, parameters, &values).y;
    }
    values
}

/// The loss of `outputs` `[B, out]`.
///
/// # Panics
/// If the kind of `targets` is not that of the model's loss.
pub fn loss(model: &Model, outputs: &[f64], targets: Targets) -> f64 {
    loss_and_output_gradient(model, outputs, targets).0
}

/// The share of rows of `outputs` `[B, classes]` whose largest logit is at its label; of equal
/// logits the first counts.
pub fn accuracy(outputs: &[f64], labels: &[u32]) -> f64 {
    let classes = outputs.len() / labels.len();
    let right = outputs.chunks_exact(classes).zip(labels).filter(|(row, label)| {
        let first_largest =
            (1..classes).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        first_largest == **label as usize
    });
    right.count() as f64 / labels.len() as f64
}

/// The loss on the batch `x` `[B, in]` and its gradient by the parameters, in canonical order.
///
/// # Panics
/// If the kind of `targets` is not that of the model's loss.
pub fn loss_and_gradient(
    model: &Model,
    parameters: &[f64],
    x: &[f64],
    targets: Targets,
) -> (f64, Vec<f64>) {
    let mut trace = Vec::with_capacity(model.layers().len());
    let mut values = x.to_vec();
    for layer in model.layers() {
        let out = dense_forward(layer, parameters, &values);
        trace.push((layer, values, out.z));
        values = out.y;
    }
    let (loss, mut dy) = loss_and_output_gradient(model, &values, targets);
    let mut gradient = vec![0.0; model.parameter_count()];
    for (index, (layer, x, z)) in trace.iter().enumerate().rev() {
        let dz = activation_backward(layer.activation, z, &dy);
        let own = dense_gradient(layer, x, &dz);
        gradient[layer.canonical_offset..][..own.len()].copy_from_slice(&own);
        if index > 0 {
            dy = dense_backward(layer, parameters, &dz);
        }
    }
    (loss, gradient)
}

fn loss_and_output_gradient(model: &Model, outputs: &[f64], targets: Targets) -> (f64, Vec<f64>) {
    match (model.loss(), targets) {
        (Loss::Mse, Targets::Values(values)) => loss_mse(outputs, values),
        (Loss::CrossEntropy, Targets::Labels(labels)) => {
            assert_eq!(outputs.len(), labels.len() * model.outputs(), "one label for each row");
            loss_cross_entropy(outputs, labels)
        }
        (loss, targets) => panic!("{targets:?} do not fit the loss {loss:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Activation, ModelSpec};
    use crate::reference::numbers;

    /// A random network with a batch for it.
    #[derive(Debug)]
    struct Case {
        model: Model,
        parameters: Vec<f64>,
        x: Vec<f64>,
        values: Vec<f64>,
        labels: Vec<u32>,
    }

    impl Case {
        fn targets(&self) -> Targets<'_> {
            match self.model.loss() {
                Loss::Mse => Targets::Values(&self.values),
                Loss::CrossEntropy => Targets::Labels(&self.labels),
            }
        }

        fn loss_at(&self, parameters: &[f64]) -> f64 {
            loss(&self.model, &forward(&self.model, parameters, &self.x), self.targets())
        }

        /// The distance of the nearest pre-activation of a hidden layer from ReLU's kink.
        fn distance_from_kink(&self) -> f64 {
            let mut values = self.x.clone();
            let mut distance = f64::INFINITY;
            for layer in self.model.layers().iter().rev().skip(1).rev() {
                let out = dense_forward(layer, &self.parameters, &values);
                distance = out.z.iter().fold(distance, |least, z| least.min(z.abs()));
                values = out.y;
            }
            distance
        }
    }

    fn case(activation: Activation, loss: Loss) -> impl Strategy<Value = Case> {
        let hidden = prop::collection::vec(1..12usize, 0..4);
        (1..11usize, hidden, 2..5usize, 1..5usize, any::<u64>()).prop_map(
            move |(inputs, hidden, outputs, batch, seed)| {
                let spec = hidden
                    .iter()
                    .fold(ModelSpec::builder(&[inputs]), |spec, &units| {
                        spec.dense(units, activation)
                    })
                    .dense(outputs, Activation::Linear)
                    .loss(loss);
                let model = Model::new(spec).unwrap();
                let values = numbers(seed ^ 1, batch * outputs);
                let labels = values.iter().map(|v| (v.abs() * outputs as f64) as u32);
                Case {
                    parameters: numbers(seed, model.parameter_count()),
                    x: numbers(seed ^ 2, batch * inputs),
                    labels: labels.take(batch).map(|l| l.min(outputs as u32 - 1)).collect(),
                    values,
                    model,
                }
            },
        )
    }

    /// Central differences with h = 1e−5: truncation and rounding both stay near 1e−10.
    fn check_gradient(case: &Case) -> Result<(), TestCaseError> {
        const H: f64 = 1e-5;
        const TOLERANCE: f64 = 1e-7;
        let (loss, gradient) =
            loss_and_gradient(&case.model, &case.parameters, &case.x, case.targets());
        prop_assert_eq!(loss, case.loss_at(&case.parameters));
        for (index, exact) in gradient.iter().enumerate() {
            let at = |shift| {
                let mut parameters = case.parameters.clone();
                parameters[index] += shift;
                case.loss_at(&parameters)
            };
            let difference = (at(H) - at(-H)) / (2.0 * H);
            let share = (exact - difference).abs() / (TOLERANCE * (1.0 + exact.abs()));
            prop_assert!(share < 1.0, "parameter {index}: error is {share:.2} of the tolerance");
        }
        Ok(())
    }

    macro_rules! gradient_tests {
        ($($name:ident: $activation:ident, $loss:ident;)*) => {
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(12))]
                $(#[test]
                fn $name(case in case(Activation::$activation, Loss::$loss)) {
                    prop_assume!(
                        Activation::$activation != Activation::Relu
                            || case.distance_from_kink() > 1e-3
                    );
                    check_gradient(&case)?;
                })*
            }
        };
    }

    gradient_tests! {
        gradient_linear_mse: Linear, Mse;
        gradient_linear_cross_entropy: Linear, CrossEntropy;
        gradient_tanh_mse: Tanh, Mse;
        gradient_tanh_cross_entropy: Tanh, CrossEntropy;
        gradient_relu_mse: Relu, Mse;
        gradient_relu_cross_entropy: Relu, CrossEntropy;
        gradient_sigmoid_mse: Sigmoid, Mse;
        gradient_sigmoid_cross_entropy: Sigmoid, CrossEntropy;
        gradient_gelu_mse: Gelu, Mse;
        gradient_gelu_cross_entropy: Gelu, CrossEntropy;
    }

    #[test]
    fn of_equal_logits_the_first_counts() {
        let outputs = [0.0, 2.0, 2.0, /* */ 1.0, 1.0, 1.0, /* */ -3.0, -2.0, -1.0];
        assert_eq!(accuracy(&outputs, &[1, 0, 2]), 1.0);
        assert_eq!(accuracy(&outputs, &[2, 1, 2]), 1.0 / 3.0);
    }

    #[test]
    #[should_panic(expected = "do not fit the loss")]
    fn targets_of_the_wrong_kind_are_refused() {
        let model = Model::new(ModelSpec::builder(&[1]).dense(2, Activation::Linear)).unwrap();
        loss(&model, &[0.0, 0.0], Targets::Labels(&[0]));
    }
}
