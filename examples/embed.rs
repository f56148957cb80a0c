//! Reptile inside a wgpu program of its own.
//!
//! The program owns the device. Each frame it records, into one encoder, as many meta-iterations as fit into five
//! milliseconds, the adaptation of the network to a «user» who gave ten samples of a curve, and a kernel of its own, in
//! which a string of beads is drawn to the curve that the adapted network predicts. The predictions stay on the device.
//!
//! `cargo run --release --example embed`

use std::time::Duration;

use reptile::gpu::{Gpu, GpuOptions};
use reptile::meta::{Adaptation, Schedule, Trainer};
use reptile::model::{Activation, Init, Model, ModelSpec};
use reptile::optimizers::{InnerOptimizer, OuterOptimizer};
use reptile::tasks::SineSpec;
use reptile::wgpu;

const ITERATIONS: u64 = 1500;
/// Beads, at equal distances from -5 to 5.
const BEADS: usize = 64;

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The program's own device, with all that makes kernels fast; less will do.
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) =
        pollster::block_on(adapter.request_device(&Gpu::device_descriptor(&adapter)))?;
    let gpu = Gpu::from_existing(device.clone(), queue.clone(), GpuOptions::default());

    let network = ModelSpec::builder(&[1])
        .dense(40, Activation::Tanh)
        .dense(40, Activation::Tanh)
        .dense(1, Activation::Linear)
        .init(Init::Torch);
    let mut preparing = Trainer::builder(&gpu, &Model::new(network)?, SineSpec::default())
        .inner(InnerOptimizer::Sgd, 0.02)
        .steps(10)
        .outer(OuterOptimizer::Interpolation, 0.2)
        .outer_schedule(Schedule::Linear { last: 0.0 })
        .meta_batch(4)
        .iterations(ITERATIONS)
        .prepare()?;
    // One kernel a frame: a program with a window draws its progress.
    while !preparing.step()? {
        println!("{:?} kernels", preparing.progress());
    }
    let mut trainer = preparing.finish()?;

    // What the user gave: ten samples of a wave that the network has never seen; and where the beads are.
    let wave = |x: &f32| 2.5 * (x + 0.7).sin();
    let samples: Vec<f32> = (0..10).map(|i| -4.5 + i as f32).collect();
    let places: Vec<f32> = (0..BEADS).map(|i| -5.0 + 10.0 * i as f32 / 63.0).collect();
    let mut adaptation =
        Adaptation::builder(&trainer).support(10).queries(BEADS).steps(64).build()?;
    let (tasks, model) = (adaptation.tasks(), trainer.model());
    tasks.upload_support_x(&gpu, model, &samples)?;
    tasks.upload_support_values(&gpu, model, &samples.iter().map(wave).collect::<Vec<_>>())?;
    tasks.upload_query_x(&gpu, model, &places)?;

    let predictions = adaptation.outputs().expect("there are queries").buffer;
    let (pipeline, group, drawn) = beads(&gpu, predictions)?;
    let mut frames = 0;
    while trainer.iteration() < ITERATIONS || frames < 60 {
        let mut encoder = device.create_command_encoder(&Default::default());
        trainer.record_within(&mut encoder, Duration::from_millis(5))?;
        adaptation.record_start(&mut encoder, &trainer, 0)?;
        adaptation.record(&mut encoder, 0)?;
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        queue.submit([encoder.finish()]);
        // In the place of showing the frame, which waits for the device now and then.
        device.poll(wgpu::PollType::wait_indefinitely())?;
        frames += 1;
    }

    // Only to print the result: what the program would have drawn.
    let drawn: Vec<f32> = gpu.read(&drawn, 0, BEADS)?;
    let error = places.iter().zip(&drawn).map(|(x, y)| (wave(x) - y).powi(2)).sum::<f32>() / 64.0;
    println!("after {frames} frames the beads are {error:.4} from the curve (squared, mean)");
    if error.is_nan() || error > 0.5 {
        return Err(format!("the curve was not learned: {error}").into());
    }
    Ok(())
}

/// A kernel that moves beads to the predicted curve, a part of the way each frame.
fn beads(
    gpu: &Gpu,
    predictions: &wgpu::Buffer,
) -> reptile::Result<(wgpu::ComputePipeline, wgpu::BindGroup, wgpu::Buffer)> {
    let text = "
        @group(0) @binding(0) var<storage, read_write> beads: array<f32>;
        @group(0) @binding(1) var<storage, read> predictions: array<vec4<f32>>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            beads[id.x] = mix(beads[id.x], predictions[id.x].x, 0.2);
        }";
    let (label, source) = (Some("beads"), wgpu::ShaderSource::Wgsl(text.into()));
    let descriptor = wgpu::ShaderModuleDescriptor { label, source };
    let module = gpu.device().create_shader_module(descriptor);
    let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let buffer = gpu.storage("beads", 4 * BEADS as u64)?;
    let bound = [buffer.as_entire_binding(), predictions.as_entire_binding()];
    let entries =
        [0, 1].map(|i| wgpu::BindGroupEntry { binding: i as u32, resource: bound[i].clone() });
    let layout = &pipeline.get_bind_group_layout(0);
    let descriptor = wgpu::BindGroupDescriptor { label, layout, entries: &entries };
    Ok((pipeline, gpu.device().create_bind_group(&descriptor), buffer))
}
