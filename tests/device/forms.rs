//! Random networks of every form that a configuration accepts.

use proptest::collection::vec;
use proptest::prelude::*;
use reptile::layers::{
    AveragePool, BatchNorm, Conv2d, Dense, Flatten, Function, GlobalPool, MaxPool,
};
use reptile::model::{Activation, Extent, LayerSpec, Loss, Model, ModelSpec, Padding};

use crate::common::with;
use crate::tools::activation;

/// Height and width of a window or a stride.
fn extent(most: usize) -> impl Strategy<Value = Extent> {
    prop_oneof![
        (1..=most).prop_map(Extent::Square),
        (1..=most, 1..=most).prop_map(|(height, width)| Extent::Sides([height, width])),
    ]
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        3 => Just(Padding::SAME),
        1 => Just(Padding::VALID),
        1 => (0..3_usize).prop_map(Padding::All),
        1 => [0..3_usize, 0..3, 0..3, 0..3].prop_map(Padding::Sides),
    ]
}

/// Units or filters, rarely multiples of four; some take several tiles of a product.
fn width() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1..8_usize, 1 => 30..70_usize]
}

/// Any layer.
fn layer() -> impl Strategy<Value = LayerSpec> {
    let conv = (width(), extent(4), extent(3), padding(), activation());
    let pool = (extent(3), extent(3), padding(), any::<bool>());
    prop_oneof![
        3 => conv.prop_map(|(filters, kernel, stride, padding, activation)| {
            let mut conv = Conv2d::new(filters, kernel);
            (conv.stride, conv.padding, conv.activation) = (stride, padding, activation);
            LayerSpec::Conv2d(conv)
        }),
        3 => (width(), activation()).prop_map(|(units, it)| LayerSpec::Dense(Dense::new(units, it))),
        2 => activation().prop_map(|it| LayerSpec::BatchNorm(BatchNorm::new(it))),
        2 => pool.prop_map(|(size, stride, padding, max)| match max {
            true => LayerSpec::MaxPool(with(MaxPool::new(size), |it| {
                (it.stride, it.padding) = (Some(stride), padding);
            })),
            false => LayerSpec::AveragePool(with(AveragePool::new(size), |it| {
                (it.stride, it.padding) = (Some(stride), padding);
            })),
        }),
        2 => activation().prop_map(|it| LayerSpec::Activation(Function::new(it))),
        2 => Just(LayerSpec::Flatten(Flatten::default())),
        1 => Just(LayerSpec::GlobalPool(GlobalPool::default())),
    ]
}

/// How a network ends.
#[derive(Clone, Copy, Debug)]
enum Head {
    Dense,
    FlattenDense,
    DenseFlatten,
    /// A batch-norm of the logits.
    DenseNorm,
    /// No dense layer at the end, where there is an image.
    ConvGlobalPool,
}

impl Head {
    fn on(self, spec: ModelSpec, outputs: usize) -> ModelSpec {
        let norm = BatchNorm::new(Activation::Linear);
        match self {
            Self::Dense => spec.dense(outputs, Activation::Linear),
            Self::FlattenDense => spec.layer(Flatten::default()).dense(outputs, Activation::Linear),
            Self::DenseFlatten => spec.dense(outputs, Activation::Linear).layer(Flatten::default()),
            Self::DenseNorm => spec.dense(outputs, Activation::Linear).layer(norm),
            Self::ConvGlobalPool => {
                spec.conv2d(outputs, 2, 1, Padding::SAME).layer(GlobalPool::default())
            }
        }
    }
}

/// A network for examples of shape `input`, of those of six random layers that fit, with or without `flatten`
/// before the first of them, once or twice.
fn network(input: Vec<usize>, outputs: usize, loss: Loss) -> impl Strategy<Value = Model> {
    let head = prop_oneof![
        4 => Just(Head::Dense),
        2 => Just(Head::FlattenDense),
        1 => Just(Head::DenseFlatten),
        1 => Just(Head::DenseNorm),
        1 => Just(Head::ConvGlobalPool),
    ];
    let flattens = prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(2)];
    (vec(layer(), 0..6), head, flattens).prop_map(move |(layers, head, flattens)| {
        let spec = ModelSpec::builder(&input).loss(loss);
        let mut spec = (0..flattens).fold(spec, |spec, _| spec.layer(Flatten::default()));
        let fits = |spec: &ModelSpec, head: Head| Model::new(head.on(spec.clone(), outputs));
        for layer in layers {
            let longer = spec.clone().layer(layer);
            if fits(&longer, Head::Dense).is_ok() {
                spec = longer;
            }
        }
        fits(&spec, head).or_else(|_| fits(&spec, Head::Dense)).expect("a dense head always fits")
    })
}

/// A network of any form, with either loss.
pub fn any_network() -> impl Strategy<Value = Model> {
    let input = prop_oneof![
        3 => (1..40_usize).prop_map(|features| vec![features]),
        1 => (1..7_usize, 1..7_usize).prop_map(|(a, b)| vec![a, b]),
        4 => (1..6_usize, 1..10_usize, 1..10_usize).prop_map(|(c, h, w)| vec![c, h, w]),
        1 => (1..9_usize).prop_map(|channels| vec![channels, 1, 1]),
    ];
    let loss = prop_oneof![Just(Loss::Mse), Just(Loss::CrossEntropy)];
    (input, 1..7_usize, loss).prop_flat_map(|(input, outputs, loss)| {
        let outputs = if loss == Loss::CrossEntropy { outputs + 1 } else { outputs };
        network(input, outputs, loss)
    })
}

/// A classifier of any form for images of `channels` × `side` × `side` in `way` classes; one in four takes
/// them as a row of numbers.
pub fn any_classifier(channels: usize, side: usize, way: usize) -> impl Strategy<Value = Model> {
    any::<[bool; 2]>().prop_flat_map(move |[a, b]| {
        let row = a && b;
        let input = if row { vec![channels * side * side] } else { vec![channels, side, side] };
        network(input, way, Loss::CrossEntropy).prop_filter("an image as a row", move |model| {
            // An image is a row of numbers to a dense layer alone.
            !row || matches!(
                model.spec().layers.iter().find(|layer| !matches!(layer, LayerSpec::Flatten(_))),
                Some(LayerSpec::Dense(_))
            )
        })
    })
}
