//! The kernels of dense layers, each by itself, on every device, against float64.

mod common;

use common::{
    Device, activation, assert_close, devices, for_random, layer_shape, network, numbers, one_step,
    padded_rows, play, room, run_steps, upload, widen, without_padding,
};
use reptile::gpu::{Gpu, Recording};
use reptile::kernels::{
    Axis, InnerRule, InnerState, RunStep, dense_backward, dense_forward, dense_update,
};
use reptile::model::{Activation, Layer, Loss, Model};
use reptile::reference::layer::layer_forward;
use reptile::reference::optimizer::{InnerOptimizer, OptimizerState, step};
use reptile::reference::{activation, dense};
use reptile::rng::Phase;
use reptile::wgpu::Buffer;

const TOLERANCE: f64 = 2e-5;
const CASES: u32 = 6;

/// A one-layer network and T packed parameter sets of it, and the same in float64.
fn layer(
    gpu: &Gpu,
    [tasks, _, inputs, outputs]: [usize; 4],
    activation: Activation,
) -> (Layer, Model, Buffer, Vec<Vec<f64>>) {
    let model = network(inputs, &[], outputs, Loss::Mse);
    let sets: Vec<Vec<f32>> =
        (0..tasks).map(|task| numbers(task as u64, model.parameter_count())).collect();
    let packed: Vec<f32> = sets.iter().flat_map(|set| model.pack(set)).collect();
    let dense = Layer { activation, ..model.layers()[0].clone() };
    let wide = sets.iter().map(|set| widen(set)).collect();
    (dense, model, upload(gpu, &packed), wide)
}

#[test]
fn dense_forward_agrees_with_float64() {
    for_random(CASES, (layer_shape(), activation()), |&(shape, activation)| {
        for Device { name, gpu, .. } in devices().iter() {
            let [tasks, batch, inputs, outputs] = shape;
            let (layer, model, theta, sets) = layer(gpu, shape, activation);
            let x = numbers(9, tasks * batch * inputs);
            let columns = layer.outputs_padded();
            let [h, z] = [0, 1].map(|_| room(gpu, tasks * batch * columns));
            let input = upload(gpu, &padded_rows(&x, inputs));
            let mut out = Recording::default();
            let stride = model.packed_len() / 4;
            dense_forward(gpu, &mut out, &layer, [tasks, batch], stride, &input, &theta, &h, &z)
                .unwrap();
            play(gpu, &out, 0);
            let got: Vec<f32> = gpu.read(&h, 0, tasks * batch * columns).unwrap();
            let wanted: Vec<f64> = widen(&x)
                .chunks(batch * inputs)
                .zip(&sets)
                .flat_map(|(x, set)| layer_forward(&layer, set, x).y)
                .collect();
            let what = format!("{activation:?} {shape:?}, {name}");
            assert_close(&what, &without_padding(&got, outputs), &wanted, TOLERANCE);
        }
    });
}

#[test]
fn dense_backward_agrees_with_float64() {
    for_random(CASES, (layer_shape(), activation()), |&(shape, before)| {
        for Device { name, gpu, .. } in devices().iter() {
            let [tasks, batch, inputs, outputs] = shape;
            let (layer, model, theta, sets) = layer(gpu, shape, Activation::Linear);
            let z = widen(&numbers(4, tasks * batch * inputs));
            let h: Vec<f32> = z.iter().map(|z| activation::activate(before, *z) as f32).collect();
            let dz = numbers(5, tasks * batch * outputs);
            let rows = tasks * batch * layer.inputs_padded();
            let z32: Vec<f32> = z.iter().map(|z| *z as f32).collect();
            let buffers = [&h, &z32].map(|values| upload(gpu, &padded_rows(values, inputs)));
            let (given, dx) = (upload(gpu, &padded_rows(&dz, outputs)), room(gpu, rows));
            let mut out = Recording::default();
            let (sizes, stride) = ([tasks, batch], model.packed_len() / 4);
            let [h, z_buffer] = &buffers;
            dense_backward(
                gpu,
                &mut out,
                &layer,
                before,
                sizes,
                stride,
                &given,
                &theta,
                [h, z_buffer],
                &dx,
            )
            .unwrap();
            play(gpu, &out, 0);
            let got: Vec<f32> = gpu.read(&dx, 0, rows).unwrap();
            let dy: Vec<f64> = widen(&dz)
                .chunks(batch * outputs)
                .zip(&sets)
                .flat_map(|(dz, set)| dense::dense_backward(&layer, set, dz))
                .collect();
            // The kernel takes the derivative from h, which has 24 bits.
            let wanted: Vec<f64> =
                dy.iter().zip(&z).map(|(dy, z)| dy * activation::slope(before, *z)).collect();
            let what = format!("{before:?} {shape:?}, {name}");
            assert_close(&what, &without_padding(&got, inputs), &wanted, TOLERANCE);
        }
    });
}

#[test]
fn dense_update_agrees_with_float64() {
    let adam = |beta1| InnerRule::Adam { beta1, beta2: 0.999, epsilon: 1e-6 };
    let twin = |beta1| InnerOptimizer::Adam { beta1, beta2: 0.999, epsilon: 1e-6 };
    let rules = proptest::sample::select(vec![
        (InnerRule::Sgd, InnerOptimizer::Sgd),
        (adam(0.0), twin(0.0)),
        (adam(0.9), twin(0.9)),
    ]);
    for_random(CASES, (layer_shape(), rules), |&(shape, (rule, optimizer))| {
        for Device { name, gpu, .. } in devices().iter() {
            let [tasks, batch, inputs, outputs] = shape;
            let (layer, model, theta, mut sets) = layer(gpu, shape, Activation::Linear);
            let [x, dz] = [(6, inputs), (7, outputs)]
                .map(|(seed, width)| numbers(seed, tasks * batch * width));
            let given = [(&x, inputs), (&dz, outputs)]
                .map(|(values, width)| upload(gpu, &padded_rows(values, width)));
            let length = tasks * model.packed_len();
            let state = InnerState { second: room(gpu, length), first: room(gpu, length) };
            let axis = Axis { runs: 1, per_run: tasks };
            let (runs, offset) = run_steps(gpu, axis, |_| RunStep {
                inner_rate: 0.05,
                ..RunStep::new(0, Phase::Train, axis)
            });
            let inner = one_step(gpu);
            let mut out = Recording::default();
            let stride = model.packed_len() / 4;
            let [x_buffer, dz_buffer] = &given;
            dense_update(
                gpu,
                &mut out,
                &layer,
                rule,
                axis,
                batch,
                stride,
                &runs,
                (&inner, 0),
                x_buffer,
                dz_buffer,
                &theta,
                &state,
            )
            .unwrap();
            play(gpu, &out, offset);
            let got: Vec<f32> = gpu.read(&theta, 0, length).unwrap();
            let (x, dz) = (widen(&x), widen(&dz));
            for (task, set) in sets.iter_mut().enumerate() {
                let own = |width: usize| task * batch * width..(task + 1) * batch * width;
                let gradient = dense::dense_gradient(&layer, &x[own(inputs)], &dz[own(outputs)]);
                let mut state = OptimizerState::zeros(set.len());
                step(optimizer, 0.05, set, &gradient, &mut state);
                let packed = &got[task * model.packed_len()..][..model.packed_len()];
                let what = format!("{rule:?} {shape:?}, task {task}, {name}");
                assert_close(&what, &model.unpack(packed), set, TOLERANCE);
            }
        }
    });
}
