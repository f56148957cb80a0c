//! What PyTorch made of the paper's two networks and of one with other norms (tests/golden/make.py), and the parameters and
//! examples that it was given.
#![allow(dead_code)] // each test file uses its own part

use std::path::Path;

use reptile::layers::GroupNorm;
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding, TensorInfo};
use reptile::optimizers::{Inner, InnerOptimizer, Outer, OuterOptimizer, Settings};
use safetensors::SafeTensors;

use crate::common::with;

/// Steps, each on its own minibatch.
pub const STEPS: usize = 5;
/// Examples in a minibatch.
pub const BATCH: usize = 10;
/// Adam's rate, β₂ and ε; β₁ is 0.
pub const RATE: f32 = 1e-3;
pub const BETA2: f32 = 0.999;
pub const EPSILON: f32 = 1e-8;

const CLASSES: usize = 5;
/// Of a tensor with more than `WHOLE` numbers the file keeps every `EVERY`th.
const WHOLE: usize = 2000;
const EVERY: usize = 97;

/// A network with what it was given and what came out, computed in float64.
///
/// PyTorch in float32 stays within 2e-6 of a tensor's largest number for `omniglot`, and for the
/// logits and gradient of `mini_imagenet` within 1e-5. But that network's max-poolings choose
/// between almost equal numbers: after the steps it is off by up to 5e-3, its losses by 2e-4
/// (`make.py --float32`).
pub struct Golden {
    pub name: &'static str,
    pub model: Model,
    /// Where it starts, canonical.
    pub parameters: Vec<f32>,
    /// The minibatches one after the other, `[STEPS·BATCH, inputs]`.
    pub x: Vec<f32>,
    /// `[STEPS·BATCH]`
    pub labels: Vec<u32>,
    /// Of the first minibatch at the start, `[BATCH, 5]`.
    pub logits: Vec<f64>,
    /// Of the first minibatch at the start, by tensor.
    pub gradient: Vec<Expected>,
    /// The loss of each minibatch before its step, `[STEPS]`.
    pub losses: Vec<f64>,
    /// The parameters after the last step, by tensor.
    pub adam: Vec<Expected>,
    /// The same with other inner optimisers.
    pub others: Vec<Steps>,
}

/// What an inner optimiser of `torch.optim` makes of the minibatches.
pub struct Steps {
    pub rule: Inner,
    pub rate: f32,
    /// The loss of each minibatch before its step, `[STEPS]`.
    pub losses: Vec<f64>,
    /// The parameters after the last step, by tensor.
    pub parameters: Vec<Expected>,
}

/// Three steps of an outer optimiser of `torch.optim` on given pseudo-gradients.
pub struct OuterSteps {
    pub rule: Outer,
    pub rate: f32,
    /// `[P]`
    pub start: Vec<f32>,
    /// `[3, P]`
    pub deltas: Vec<Vec<f64>>,
    /// `[P]`
    pub end: Vec<f64>,
}

impl OuterSteps {
    pub fn all() -> Vec<Self> {
        let bytes = file("norms");
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let of = |optimizer: OuterOptimizer| Self {
            rule: Outer::new(optimizer, Settings::DEFAULT),
            rate: 0.1,
            start: noise(0, 50).map(|value| value as f32).collect(),
            deltas: (1..4).map(|step| noise(step, 50).collect()).collect(),
            end: numbers(&file, &format!("outer/{optimizer}")),
        };
        [OuterOptimizer::Momentum, OuterOptimizer::Nesterov].map(of).into()
    }
}

/// The rules of `INNER` of make.py by their names there, with their rates.
fn inner_rules() -> [(&'static str, Inner, f32); 5] {
    let settings = with(Settings::DEFAULT, |it| (it.beta1, it.epsilon) = (0.9, 1e-4));
    let momentum = |nesterov| {
        Inner::new(InnerOptimizer::Momentum, with(settings, |it| it.nesterov = nesterov))
    };
    let adamw = with(settings, |it| it.decoupled_weight_decay = 0.3);
    [
        ("sgd", Inner::SGD, 0.05),
        ("momentum", momentum(false), 0.02),
        ("nesterov", momentum(true), 0.02),
        ("rmsprop", Inner::new(InnerOptimizer::RmsProp, settings), 1e-3),
        ("adamw", Inner::new(InnerOptimizer::AdamW, adamw), 1e-3),
    ]
}

/// Some numbers of a tensor. There are none of a bias right before a batch-norm: its gradient is
/// zero but for rounding, and Adam makes whole steps of rounding.
pub struct Expected {
    /// The tensor's name.
    pub name: String,
    /// Where the numbers are in the canonical layout.
    pub places: Vec<usize>,
    pub values: Vec<f64>,
}

impl Expected {
    /// The same numbers of another canonical set.
    pub fn pick<T: Copy>(&self, canonical: &[T]) -> Vec<T> {
        self.places.iter().map(|place| canonical[*place]).collect()
    }
}

impl Golden {
    /// 4 × (convolution 3×3 with 64 filters and stride 2, batch-norm, ReLU) on 1×28×28.
    pub fn omniglot() -> Self {
        let spec = (0..4).fold(ModelSpec::builder(&[1, 28, 28]), |spec, _| {
            spec.conv2d(64, 3, 2, Padding::SAME).batch_norm(Activation::Relu)
        });
        Self::new("omniglot", spec)
    }

    /// 4 × (convolution 3×3 with 32 filters, batch-norm, max-pool 2×2, ReLU) on 3×84×84.
    pub fn mini_imagenet() -> Self {
        let spec = (0..4).fold(ModelSpec::builder(&[3, 84, 84]), |spec, _| {
            spec.conv2d(32, 3, 1, Padding::SAME)
                .batch_norm(Activation::Linear)
                .max_pool(2, Padding::SAME)
                .activation(Activation::Relu)
        });
        Self::new("mini_imagenet", spec)
    }

    /// Convolutions with group-norms and a layer-norm of images, and a layer-norm of features, on 2×6×5.
    pub fn norms() -> Self {
        let strong = with(GroupNorm::new(2, Activation::Relu), |it| it.epsilon = 1e-3);
        let spec = ModelSpec::builder(&[2, 6, 5])
            .conv2d(6, 3, 1, Padding::SAME)
            .group_norm(3, Activation::Gelu)
            .conv2d(8, 3, 2, Padding::SAME)
            .layer_norm(Activation::Tanh)
            .conv2d(8, 2, 1, Padding::SAME)
            .layer(strong)
            .dense(7, Activation::Linear)
            .layer_norm(Activation::Sigmoid);
        Self::new("norms", spec)
    }

    /// Inputs `[BATCH, inputs]` and labels of a minibatch.
    pub fn minibatch(&self, step: usize) -> (&[f32], &[u32]) {
        let width = BATCH * self.model.inputs();
        (&self.x[step * width..][..width], &self.labels[step * BATCH..][..BATCH])
    }

    fn new(name: &'static str, spec: ModelSpec) -> Self {
        let spec = spec.dense(CLASSES, Activation::Linear).loss(Loss::CrossEntropy);
        let model = Model::new(spec).expect("a possible network");
        let bytes = file(name);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = (0..).zip(model.tensors());
        let pixels = |step| noise(128 + step, BATCH * model.inputs());
        Self {
            name,
            parameters: tensors.flat_map(|(seed, tensor)| start(seed, tensor)).collect(),
            x: (0..STEPS as u32)
                .flat_map(|step| pixels(step).map(|v| ((v + 1.0) / 2.0) as f32))
                .collect(),
            labels: (0..STEPS * BATCH).map(|i| (i % BATCH % CLASSES) as u32).collect(),
            logits: numbers(&file, "logits"),
            gradient: expected(&file, "gradient", &model),
            losses: numbers(&file, "losses"),
            adam: expected(&file, "adam", &model),
            others: inner_rules()
                .into_iter()
                .filter(|(optimizer, ..)| file.tensor(&format!("{optimizer}/losses")).is_ok())
                .map(|(optimizer, rule, rate)| Steps {
                    rule,
                    rate,
                    losses: numbers(&file, &format!("{optimizer}/losses")),
                    parameters: expected(&file, optimizer, &model),
                })
                .collect(),
            model,
        }
    }
}

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap()
}

/// `noise` of make.py: multiples of 2⁻²³ in −1..1.
fn noise(seed: u32, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |i| {
        let mut h = i.wrapping_add(seed << 24);
        h = (h ^ h >> 16).wrapping_mul(0x7FEB_352D);
        h = (h ^ h >> 15).wrapping_mul(0x846C_A68B);
        f64::from((h ^ h >> 16) >> 8) / f64::from(1 << 23) - 1.0
    })
}

/// `parameter` of make.py.
fn start(seed: u32, tensor: &TensorInfo) -> Vec<f32> {
    let noise = noise(seed, tensor.elements());
    let scaled = |value| match tensor.shape[..] {
        _ if tensor.name.ends_with("bias") => 0.1 * value,
        _ if tensor.name.starts_with("norm") => 1.0 + 0.1 * value,
        [outputs, inputs, ..] => {
            let taps: usize = tensor.shape[2..].iter().product();
            (6.0 / ((inputs + outputs) * taps) as f64).sqrt() * value
        }
        _ => value,
    };
    noise.map(|value| scaled(value) as f32).collect()
}

/// A tensor of the file.
fn numbers(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data());
    values.into_iter().map(f64::from).collect()
}

/// What the file holds of the tensors under `what`.
fn expected(file: &SafeTensors<'_>, what: &str, model: &Model) -> Vec<Expected> {
    let kept = model
        .tensors()
        .iter()
        .filter(|t| !(t.name.starts_with("conv") && t.name.ends_with("bias")));
    kept.map(|tensor| {
        let every = if tensor.elements() > WHOLE { EVERY } else { 1 };
        let places: Vec<usize> =
            (tensor.offset..tensor.offset + tensor.elements()).step_by(every).collect();
        let values = numbers(file, &format!("{what}/{}", tensor.name));
        assert_eq!(values.len(), places.len(), "{what} of {}", tensor.name);
        Expected { name: tensor.name.clone(), places, values }
    })
    .collect()
}
