//! The kernels of every kind of layer, each by itself, on every device, against float64.

use crate::common::{assert_close, integers, network, numbers, widen, with};
use crate::forms::any_network;
use crate::harness::{Device, On, Tests, named};
use crate::tools::{activation, layer_shape, one_step, play, random, room, run_steps, upload};
use proptest::prelude::any;
use reptile::gpu::{Gpu, Recording};
use reptile::kernels::{Axis, Batch, Below, InnerRule, InnerState, Outputs, RunStep, Update};
use reptile::layers::{Backward, Forward, LayerSpec, Left};
use reptile::model::{Activation, Layer, Loss, Model, ModelSpec, Shape};
use reptile::optimizers::{Inner, InnerOptimizer, OptimizerState, Settings};
use reptile::reference::activation::{activate, slope};
use reptile::reference::layer as twin;
use reptile::rng::Phase;

pub fn tests(tests: &mut Tests) {
    tests.cases(On::EVERY, [3, 12], named!(every_layer_of_random_networks_agrees_with_float64));
    tests.on(On::EVERY, named!(every_type_of_layer_agrees_with_float64));
    tests.cases(On::EVERY, [3, 24], named!(norms_of_any_shape_agree_with_float64));
    tests.cases(On::EVERY, [2, 6], named!(dense_layers_of_any_size_agree_with_float64));
    tests.cases(On::EVERY, [5, 5], named!(activations_of_any_input_are_exact));
    tests.cases(On::EVERY, [2, 4], named!(a_dense_layer_reads_bytes_as_the_numbers_they_stand_for));
}

const TOLERANCE: f64 = 3e-5;
const RATE: f32 = 0.05;

/// A layer of a network with batches of examples for it.
struct Case<'a> {
    model: &'a Model,
    layer: &'a Layer,
    /// The activation that made the layer's inputs.
    before: Activation,
    tasks: usize,
    examples: usize,
    rule: InnerRule,
    optimizer: Inner,
}

/// `[…, C, H, W]` numbers as kernels hold them.
fn packed(shape: Shape, values: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    values.chunks_exact(shape.elements()).for_each(|example| shape.pack(example, &mut out));
    out
}

/// The inverse of [`packed`]; checks that the padding is zero.
fn unpacked(shape: Shape, values: &[f32]) -> Vec<f32> {
    let examples = values.chunks_exact(shape.packed());
    let out: Vec<f32> = examples.flat_map(|example| shape.unpack(example)).collect();
    assert_eq!(packed(shape, &out), values, "the padding is zero");
    out
}

impl Case<'_> {
    fn parameters(&self) -> Vec<Vec<f32>> {
        (0..self.tasks).map(|task| numbers(task as u64, self.model.parameter_count())).collect()
    }

    /// What stands before the activation below, and the layer's inputs.
    fn inputs(&self) -> [Vec<f32>; 2] {
        let z = numbers(91, self.tasks * self.examples * self.layer.inputs());
        let x = z.iter().map(|z| activate(self.before, f64::from(*z)) as f32).collect();
        [z, x]
    }

    fn gradient(&self) -> Vec<f32> {
        numbers(92, self.tasks * self.examples * self.layer.outputs())
    }

    fn check(&self, Device { name, gpu, .. }: &Device) {
        let what = |part: &str| {
            let Self { layer, before, tasks, examples, rule, .. } = self;
            let [input, output] = [layer.input, layer.output];
            format!(
                "{part} of {:?} {input:?} to {output:?}, {before:?} below, {tasks} tasks, \
                     {examples} examples, {rule:?}, {name}",
                layer.spec()
            )
        };
        let [z, x] = self.inputs();
        let (input, output) = (self.layer.input, self.layer.output);
        let device = on_device(gpu, self, &packed(input, &x), &packed(input, &z));
        let widths = [self.examples * self.layer.inputs(), self.examples * self.layer.outputs()];
        let [forward, before] = [&device.h, &device.z].map(|values| unpacked(output, values));
        let dx = unpacked(input, &device.dx);
        for (task, set) in self.parameters().iter().enumerate() {
            let own =
                |values: &[f32], side: usize| widen(&values[task * widths[side]..][..widths[side]]);
            let of_task = |values: &[f32], side: usize| {
                values[task * widths[side]..][..widths[side]].to_vec()
            };
            let (mut set, x_task, dz) = (widen(set), own(&x, 0), own(&self.gradient(), 1));
            let made = twin::layer_forward(self.layer, &set, &x_task);
            assert_close(&what("outputs"), &of_task(&forward, 1), &made.y, TOLERANCE);
            if self.layer.activation == Activation::Gelu {
                assert_close(&what("z"), &of_task(&before, 1), &made.z, TOLERANCE);
            }
            let slopes = own(&z, 0).into_iter().map(|z| slope(self.before, z));
            let wanted: Vec<f64> = twin::layer_backward(self.layer, &set, &x_task, &dz)
                .into_iter()
                .zip(slopes)
                .map(|(dx, slope)| dx * slope)
                .collect();
            if !self.layer.is_narrow() {
                assert_close(&what("input gradient"), &of_task(&dx, 0), &wanted, TOLERANCE);
            }
            // The layer's own parameters take a step, the others stay.
            let gradient = twin::layer_gradient(self.layer, &x_task, &dz);
            let mut state = OptimizerState::zeros(gradient.len());
            let own = &mut set[self.layer.canonical_offset..][..gradient.len()];
            self.optimizer.step(f64::from(RATE), own, &gradient, &mut state);
            let length = self.model.packed_len();
            let got = self.model.unpack(&device.theta[task * length..][..length]);
            assert_close(&what("parameters"), &got, &set, TOLERANCE);
        }
    }
}

/// What the kernels make of a case, as they hold it.
struct Made {
    h: Vec<f32>,
    z: Vec<f32>,
    dx: Vec<f32>,
    theta: Vec<f32>,
}

fn on_device(gpu: &Gpu, case: &Case<'_>, x: &[f32], below_z: &[f32]) -> Made {
    let (layer, model, tasks) = (case.layer, case.model, case.tasks);
    let rows = tasks * case.examples;
    let (x, below_z) = (upload(gpu, x), upload(gpu, below_z));
    let sets: Vec<f32> = case.parameters().iter().flat_map(|set| model.pack(set)).collect();
    let theta = upload(gpu, &sets);
    let [h, z] = [0, 1].map(|_| room(gpu, rows * layer.outputs_padded()));
    let statistics = room(gpu, tasks * layer.statistics(case.examples));
    let d = upload(gpu, &packed(layer.output, &case.gradient()));
    let dx = room(gpu, rows * layer.inputs_padded());
    let state = InnerState { second: room(gpu, sets.len()), first: room(gpu, sets.len()) };
    let axis = Axis { runs: 1, per_run: tasks };
    let (runs, offset) = run_steps(gpu, axis, |_| RunStep {
        inner_rate: RATE,
        ..RunStep::new(0, Phase::Train, axis)
    });
    let inner = one_step(gpu);
    let batch = Batch {
        count: tasks,
        sharers: 1,
        examples: case.examples,
        stride: model.packed_len() / 4,
        inner: (&inner, 0),
    };
    let (rule, seen) = (case.rule, None);
    let update = Update { rule, axis, runs: &runs, theta: &theta, state: &state, seen };
    let made = Outputs { h: &h, z: &z, keep_z: layer.activation == Activation::Gelu };
    let below = Below { activation: case.before, h: &x, z: &below_z };
    let mut out = Recording::default();
    let pass = Forward { batch, theta: &theta, x: &x, out: made, statistics: &statistics };
    layer.record_forward(gpu, &mut out, &pass).unwrap();
    let pass = Backward {
        batch,
        update: &update,
        below,
        d: &d,
        dx: &dx,
        statistics: &statistics,
        onward: !layer.is_narrow() && !layer.bytes,
    };
    let left = layer.record_backward(gpu, &mut out, &pass).unwrap();
    play(gpu, &out, offset);
    let read = |buffer, floats| gpu.read(buffer, 0, floats).unwrap();
    let dx = if left == Left::InPlace { &d } else { &dx };
    Made {
        h: read(&h, rows * layer.outputs_padded()),
        z: read(&z, rows * layer.outputs_padded()),
        dx: read(dx, rows * layer.inputs_padded()),
        theta: read(&theta, sets.len()),
    }
}

/// Every rule of the registry; Adam without and with a first moment, momentum in both forms.
fn rules() -> Vec<(InnerRule, Inner)> {
    let settings = with(Settings::DEFAULT, |it| it.epsilon = 1e-2);
    let moved = with(settings, |it| it.beta1 = 0.9);
    let adam = |settings| Inner::new(InnerOptimizer::Adam, settings);
    let mut rules = vec![Inner::SGD, adam(settings), adam(moved)];
    let rest = InnerOptimizer::ALL.iter().filter(|it| rules.iter().all(|r| r.optimizer != **it));
    let rest: Vec<Inner> = rest.map(|it| Inner::new(*it, moved)).collect();
    rules.extend(rest);
    let ahead = with(settings, |it| it.nesterov = true);
    rules.push(Inner::new(InnerOptimizer::Momentum, ahead));
    rules.into_iter().map(|rule| (InnerRule::Optimizer(rule), rule)).collect()
}

fn every_layer_of_random_networks_agrees_with_float64(device: &Device, number: u64) {
    let strategy = (any_network(), activation(), 0..3_usize, 1..4_usize, 1..6_usize);
    random(number, strategy, |(model, before, rule, tasks, examples)| {
        let (rule, optimizer) = rules()[*rule];
        let (before, tasks, examples) = (*before, *tasks, *examples);
        for layer in model.layers() {
            Case { model, layer, before, tasks, examples, rule, optimizer }.check(device);
        }
    });
}

/// Every type of the registry, on images; one task's batch and several.
fn every_type_of_layer_agrees_with_float64(device: &Device) {
    for (number, sample) in LayerSpec::samples().into_iter().flatten().enumerate() {
        let spec = ModelSpec::builder(&[6, 5, 4]).layer(sample).dense(2, Activation::Linear);
        let model = Model::new(spec).unwrap();
        let (rule, optimizer) = rules()[number % rules().len()];
        let (layer, before) = (&model.layers()[0], Activation::Gelu);
        let tasks = 1 + number % 2;
        Case { model: &model, layer, before, tasks, examples: 3, rule, optimizer }.check(device);
    }
}

/// Groups that begin and end inside vectors, images and rows, with a scale for each channel or for each number.
fn norms_of_any_shape_agree_with_float64(device: &Device, number: u64) {
    let shape = [1..8_usize, 1..7_usize, 1..6_usize, 1..6_usize];
    let other = (activation(), activation(), 0..rules().len(), 1..4_usize, 1..6_usize);
    random(number, (shape, any::<bool>(), other), |&(shape, each, other)| {
        let ([groups, channels, height, width], (before, own, rule, tasks, examples)) =
            (shape, other);
        let channels = groups * channels;
        let image = [channels, height, width];
        let spec = ModelSpec::builder(if height * width > 1 { &image } else { &image[..1] });
        let spec = if each { spec.layer_norm(own) } else { spec.group_norm(groups, own) };
        let model = Model::new(spec.dense(2, Activation::Linear)).unwrap();
        let (layer, (rule, optimizer)) = (&model.layers()[0], rules()[rule]);
        Case { model: &model, layer, before, tasks, examples, rule, optimizer }.check(device);
    });
}

fn dense_layers_of_any_size_agree_with_float64(device: &Device, number: u64) {
    let strategy = (layer_shape(), activation(), activation(), 0..rules().len());
    random(number, strategy, |&([tasks, examples, inputs, outputs], before, own, rule)| {
        let (rule, optimizer) = rules()[rule];
        let model = network(inputs, &[(outputs, own)], 2, Loss::Mse);
        let layer = &model.layers()[0];
        Case { model: &model, layer, before, tasks, examples, rule, optimizer }.check(device);
    });
}

fn a_dense_layer_reads_bytes_as_the_numbers_they_stand_for(
    Device { name, gpu, .. }: &Device,
    number: u64,
) {
    // SGD and Adam: RMSprop's first steps are five times what a gradient differs by.
    let strategy = (layer_shape(), 0..3_usize);
    random(number, strategy, |&([tasks, examples, inputs, outputs], rule)| {
        let (rule, optimizer) = rules()[rule];
        let floats = network(inputs, &[(outputs, Activation::Relu)], 2, Loss::Mse);
        let bytes = floats.reading_bytes();
        let width = floats.inputs_padded();
        let mut x = vec![0_u8; tasks * examples * width];
        for (row, values) in x.chunks_exact_mut(width).enumerate() {
            let drawn = integers(row as u64, inputs, 256);
            values.iter_mut().zip(drawn).for_each(|(byte, value)| *byte = value as u8);
        }
        let words: Vec<f32> = x
            .chunks_exact(4)
            .map(|four| f32::from_bits(u32::from_le_bytes(four.try_into().unwrap())))
            .collect();
        let numbers: Vec<f32> = x.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let [a, b] = [(&floats, &numbers), (&bytes, &words)].map(|(model, x)| {
            let (layer, before) = (&model.layers()[0], Activation::Linear);
            let case = Case { model, layer, before, tasks, examples, rule, optimizer };
            on_device(gpu, &case, x, &[0.0])
        });
        let close = |what, a: &[f32], b: &[f32]| {
            assert_close(&format!("{what}, {name}"), b, &widen(a), 1e-6);
        };
        close("outputs", &a.h, &b.h);
        close("parameters", &a.theta, &b.theta);
    });
}

/// A layer of one unit whose weighted input is its input: h = activation(x), to a few units in the last place.
fn activations_of_any_input_are_exact(Device { name, gpu, .. }: &Device, number: u64) {
    use Activation::{Gelu, Linear, Relu, Sigmoid, Tanh};
    let kind = [Linear, Relu, Tanh, Sigmoid, Gelu][number as usize];
    let model = network(1, &[(1, kind)], 1, Loss::Mse);
    let layer = &model.layers()[0];
    let x: Vec<f32> = (0..4001).map(|i| (i as f32 - 2000.0) / 100.0).collect();
    let theta = upload(gpu, &model.pack(&[1.0, 0.0, 1.0, 0.0]));
    let inputs = upload(gpu, &packed(layer.input, &x));
    let [h, z] = [0, 1].map(|_| room(gpu, 4 * x.len()));
    let (inner, stride) = (one_step(gpu), model.packed_len() / 4);
    let batch = Batch { count: 1, sharers: 1, examples: x.len(), stride, inner: (&inner, 0) };
    let made = Outputs { h: &h, z: &z, keep_z: kind == Gelu };
    let mut out = Recording::default();
    let statistics = room(gpu, 0);
    let pass = Forward { batch, theta: &theta, x: &inputs, out: made, statistics: &statistics };
    layer.record_forward(gpu, &mut out, &pass).unwrap();
    play(gpu, &out, 0);
    let got: Vec<f32> = gpu.read(&h, 0, 4 * x.len()).unwrap();
    for (got, x) in unpacked(layer.output, &got).iter().zip(&x) {
        let wanted = activate(kind, f64::from(*x));
        let error = (f64::from(*got) - wanted).abs();
        assert!(error <= 2e-7 * wanted.abs().max(1.0), "{kind:?} of {x} on {name}: {got}");
    }
}
