use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::float64::numbers;
use crate::layers::{
    AveragePool, BatchNorm, Conv2d, Dense, Flatten, Function, GlobalPool, GroupNorm, LayerNorm,
    MaxPool,
};
use crate::model::{Activation, Extent, LayerSpec, ModelSpec, Padding, TensorInfo};

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
    fn new(model: Model, batch: usize, seed: u64) -> Self {
        let outputs = model.outputs();
        let values = numbers(seed ^ 1, batch * outputs);
        let labels = values.iter().map(|v| (v.abs() * outputs as f64) as u32);
        Self {
            parameters: numbers(seed, model.parameter_count()),
            x: numbers(seed ^ 2, batch * model.inputs()),
            labels: labels.take(batch).map(|l| l.min(outputs as u32 - 1)).collect(),
            values,
            model,
        }
    }

    fn targets(&self) -> Targets<'_> {
        match self.model.loss() {
            Loss::Mse => Targets::Values(&self.values),
            Loss::CrossEntropy => Targets::Labels(&self.labels),
        }
    }

    fn loss_at(&self, parameters: &[f64]) -> f64 {
        loss(&self.model, &forward(&self.model, parameters, &self.x), self.targets())
    }

    /// On which side of their kinks all ReLUs are, and what each max-pooling takes.
    fn branches(&self, parameters: &[f64]) -> Vec<f64> {
        let mut values = self.x.clone();
        let mut branches = Vec::new();
        for layer in self.model.layers() {
            let out = layer_forward(layer, parameters, &values);
            if matches!(layer.spec(), LayerSpec::MaxPool(_)) {
                let windows: Vec<f64> = (1..=out.z.len()).map(|i| i as f64).collect();
                branches.extend(layer_backward(layer, parameters, &values, &windows));
            }
            if layer.activation == Activation::Relu {
                branches.extend(out.z.iter().map(|z| f64::from(*z > 0.0)));
            }
            values = out.y;
        }
        branches
    }

    /// At most 24 parameters of each tensor, at random places.
    fn some_parameters(&self) -> Vec<usize> {
        let picked = |tensor: &TensorInfo| {
            let (offset, elements) = (tensor.offset, tensor.elements());
            let places = numbers(offset as u64, 24).into_iter();
            let place = move |u: f64| offset + (u.abs() * elements as f64) as usize;
            if elements <= 24 {
                (offset..offset + elements).collect::<Vec<_>>()
            } else {
                places.map(place).collect()
            }
        };
        self.model.tensors().iter().flat_map(picked).collect()
    }
}

/// Central differences with h = 1e−5: truncation and rounding both stay near 1e−10. A parameter
/// that has a kink within h says nothing and is left out.
fn check_gradient(case: &Case) -> Result<(), TestCaseError> {
    const H: f64 = 1e-5;
    const TOLERANCE: f64 = 1e-7;
    let (loss, gradient) =
        loss_and_gradient(&case.model, &case.parameters, &case.x, case.targets());
    prop_assert_eq!(loss, case.loss_at(&case.parameters));
    let (all, mut kinks) = (case.some_parameters(), 0);
    for &index in &all {
        let shifted = |shift| {
            let mut parameters = case.parameters.clone();
            parameters[index] += shift;
            parameters
        };
        let (above, below) = (shifted(H), shifted(-H));
        if case.branches(&above) != case.branches(&below) {
            kinks += 1;
            continue;
        }
        let exact = gradient[index];
        let difference = (case.loss_at(&above) - case.loss_at(&below)) / (2.0 * H);
        let share = (exact - difference).abs() / (TOLERANCE * (1.0 + exact.abs()));
        prop_assert!(share < 1.0, "parameter {index}: error is {share:.2} of the tolerance");
    }
    prop_assume!(4 * kinks <= all.len());
    Ok(())
}

/// Dense layers with one activation.
fn dense_case(activation: Activation, loss: Loss) -> impl Strategy<Value = Case> {
    let hidden = prop::collection::vec(1..12usize, 0..4);
    (1..11usize, hidden, 2..5usize, 1..5usize, any::<u64>()).prop_map(
        move |(inputs, hidden, outputs, batch, seed)| {
            let spec = hidden
                .iter()
                .fold(ModelSpec::builder(&[inputs]), |spec, &units| spec.dense(units, activation))
                .dense(outputs, Activation::Linear)
                .loss(loss);
            Case::new(Model::new(spec).unwrap(), batch, seed)
        },
    )
}

fn activation() -> impl Strategy<Value = Activation> {
    use Activation::{Gelu, Linear, Relu, Sigmoid, Tanh};
    select(vec![Linear, Linear, Relu, Tanh, Sigmoid, Gelu])
}

fn extent(range: std::ops::Range<usize>) -> impl Strategy<Value = Extent> {
    let sides = [range.clone(), range.clone()].prop_map(Extent::Sides);
    prop_oneof![range.prop_map(Extent::Square), sides]
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        2 => Just(Padding::SAME),
        1 => Just(Padding::VALID),
        1 => (1..3usize).prop_map(Padding::All),
        2 => [0..3usize, 0..3usize, 0..3usize, 0..3usize].prop_map(Padding::Sides),
    ]
}

fn norm() -> impl Strategy<Value = LayerSpec> {
    // A small ε makes the loss bend within h where a channel hardly varies.
    (select(vec![0.1, 0.5]), activation(), 0..5usize).prop_map(|(epsilon, activation, kind)| {
        match kind {
            0 | 1 => LayerSpec::BatchNorm(BatchNorm { epsilon, activation, frozen: false }),
            2 => LayerSpec::LayerNorm(LayerNorm { epsilon, activation, frozen: false }),
            _ => LayerSpec::GroupNorm(GroupNorm {
                groups: kind - 2,
                epsilon,
                activation,
                frozen: false,
            }),
        }
    })
}

fn image_layer() -> impl Strategy<Value = LayerSpec> {
    let conv = (1..6usize, extent(1..5), extent(1..4), padding(), activation()).prop_map(
        |(filters, kernel, stride, padding, activation)| {
            LayerSpec::Conv2d(Conv2d {
                filters,
                kernel,
                stride,
                padding,
                activation,
                frozen: false,
            })
        },
    );
    let pool = (extent(1..4), prop::option::of(extent(1..4)), padding(), any::<bool>()).prop_map(
        |(size, stride, padding, largest)| match largest {
            true => LayerSpec::MaxPool(MaxPool { size, stride, padding }),
            false => LayerSpec::AveragePool(AveragePool { size, stride, padding }),
        },
    );
    let function = activation().prop_map(|function| LayerSpec::Activation(Function { function }));
    prop_oneof![4 => conv, 2 => pool, 2 => norm(), 1 => function]
}

fn feature_layer() -> impl Strategy<Value = LayerSpec> {
    let dense = (1..6usize, activation()).prop_map(|(units, activation)| {
        LayerSpec::Dense(Dense { units, activation, frozen: false })
    });
    prop_oneof![
        dense,
        norm(),
        Just(LayerSpec::Flatten(Flatten {})),
        Just(LayerSpec::GlobalPool(GlobalPool {}))
    ]
}

/// Any network for images that [`Model::new`] takes.
fn image_case() -> impl Strategy<Value = Case> {
    let input = [1..6usize, 3..10usize, 3..10usize];
    let layers = (
        prop::collection::vec(image_layer(), 1..5),
        prop::collection::vec(feature_layer(), 0..3),
        prop::option::weighted(0.8, 2..5usize),
    );
    let loss = select(vec![Loss::Mse, Loss::CrossEntropy]);
    (input, layers, loss, 2..5usize, any::<u64>()).prop_filter_map(
        "no possible network",
        |(input, (images, features, units), loss, batch, seed)| {
            let head = units.map(|units| LayerSpec::Dense(Dense::new(units, Activation::Linear)));
            let layers = images.into_iter().chain(features).chain(head);
            let spec = layers.fold(ModelSpec::builder(&input).loss(loss), ModelSpec::layer);
            Model::new(spec).ok().map(|model| Case::new(model, batch, seed))
        },
    )
}

macro_rules! gradient_tests {
    ($($name:ident: $activation:ident, $loss:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(12))]
            $(#[test]
            fn $name(case in dense_case(Activation::$activation, Loss::$loss)) {
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

/// Random cases: `REPTILE_TESTS=all` (`make test-all`) runs three times as many.
fn cases() -> u32 {
    if std::env::var("REPTILE_TESTS").is_ok_and(|tests| tests == "all") { 192 } else { 64 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn gradient_of_networks_for_images(case in image_case()) {
        check_gradient(&case)?;
    }
}

/// Every type of the registry, between others.
#[test]
fn gradient_of_every_type_of_layer() {
    for (number, sample) in LayerSpec::samples().into_iter().flatten().enumerate() {
        let spec = ModelSpec::builder(&[2, 5, 4])
            .conv2d(6, 2, 1, Padding::SAME)
            .layer(sample)
            .dense(3, Activation::Linear)
            .loss(Loss::CrossEntropy);
        let case = Case::new(Model::new(spec).unwrap(), 3, number as u64);
        check_gradient(&case).unwrap_or_else(|error| panic!("{:?}: {error}", case.model.spec()));
    }
}

#[test]
fn a_bias_before_a_norm_has_no_gradient() {
    let spec = ModelSpec::builder(&[2, 5, 5])
        .conv2d(3, 3, 2, Padding::SAME)
        .batch_norm(Activation::Tanh)
        .dense(2, Activation::Linear);
    let case = Case::new(Model::new(spec).unwrap(), 4, 1);
    let (_, gradient) = loss_and_gradient(&case.model, &case.parameters, &case.x, case.targets());
    let (weight, rest) = gradient.split_at(3 * 2 * 9);
    assert!(weight.iter().all(|g| g.abs() > 1e-6), "{weight:?}");
    assert!(rest[..3].iter().all(|g| g.abs() < 1e-14), "{:?}", &rest[..3]);
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
