//! Reptile inside a wgpu program of its own.
//!
//! The program owns the device. Each frame it records, into one encoder, its own compute work (a
//! swarm of particles), some meta-iterations, and the adaptation of the network to a «user» who gave
//! ten samples of a curve. A kernel of the program then evaluates the adapted network straight from
//! the parameter buffer; nothing of the network travels over the host.
//!
//! `cargo run --release --example embed`

use reptile::gpu::{Gpu, GpuOptions};
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, InnerSpec, MemorySpec, Origin, OuterSpec, PlanKind, Schedule,
    StrategySpec, Trainer, TrainerSetup,
};
use reptile::model::{Activation, Init, Layer, Model, ModelSpec};
use reptile::rng::Phase;
use reptile::tasks::{Batches, SineSpec};
use reptile::wgpu;
use wgpu::util::DeviceExt;

const FRAMES: u32 = 60;
const META_ITERATIONS_PER_FRAME: usize = 25;
const PARTICLES: u32 = 4096;
/// Points at which the adapted curve is drawn.
const SCREEN: u32 = 64;

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The program's own device, with all that makes kernels fast; less will do.
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) =
        pollster::block_on(adapter.request_device(&Gpu::device_descriptor(&adapter)))?;
    let gpu = Gpu::from_existing(device.clone(), queue.clone(), GpuOptions::default());

    let model = Model::new(
        ModelSpec::builder(&[1])
            .dense(40, Activation::Tanh)
            .dense(40, Activation::Tanh)
            .dense(1, Activation::Linear)
            .init(Init::Torch),
    )?;
    let mut trainer = Trainer::new(&gpu, training(&model))?;
    let mut adaptation = Adaptation::new(&gpu, adapting(&model), 1)?;

    // What the user gave: ten samples of a wave that the network has never seen.
    let wave = |x: f32| 2.5 * (x + 0.7).sin();
    let samples: Vec<f32> = (0..10).map(|i| -4.5 + i as f32).collect();
    let values: Vec<f32> = samples.iter().map(|x| wave(*x)).collect();
    adaptation.tasks().upload_support_x(&gpu, &model, &samples)?;
    adaptation.tasks().upload_support_values(&gpu, &model, &values)?;

    let swarm = Own::swarm(&device);
    let screen = Own::screen(&device, &model, adaptation.parameters());
    for _ in 0..FRAMES {
        let mut encoder = device.create_command_encoder(&Default::default());
        swarm.record(&mut encoder);
        trainer.record(&mut encoder, META_ITERATIONS_PER_FRAME)?;
        adaptation.record_start(&mut encoder, &trainer, 0)?;
        adaptation.record(&mut encoder, 0)?;
        screen.record(&mut encoder);
        queue.submit([encoder.finish()]);
    }

    // Only to print the result: what the program would have drawn.
    let drawn: Vec<f32> = gpu.read(&screen.buffer, 0, SCREEN as usize)?;
    let particles: Vec<f32> = gpu.read(&swarm.buffer, 0, 4)?;
    let error = (0..SCREEN)
        .map(|i| (drawn[i as usize] - wave(screen_x(i))).powi(2) / SCREEN as f32)
        .sum::<f32>();
    println!("particle 0 is at ({:.3}, {:.3})", particles[0], particles[1]);
    println!(
        "after {} meta-iterations, ten samples give a mean squared error of {error:.4}",
        trainer.iteration()
    );
    if error.is_nan() || error > 0.5 {
        return Err(format!("the curve was not learned: {error}").into());
    }
    Ok(())
}

fn screen_x(i: u32) -> f32 {
    -5.0 + 10.0 * i as f32 / (SCREEN - 1) as f32
}

fn training(model: &Model) -> TrainerSetup {
    TrainerSetup {
        model: model.clone(),
        seed: 1,
        runs: 1,
        own: Vec::new(),
        strategy: StrategySpec::default(),
        memory: MemorySpec::default(),
        telemetry: false,
        iterations: u64::from(FRAMES) * META_ITERATIONS_PER_FRAME as u64,
        plan: PlanKind::Auto,
        inner: InnerSpec::sgd(0.02, 10, 10),
        outer: OuterSpec {
            schedule: Schedule::Linear { last: 0.0 },
            ..OuterSpec::interpolation(0.2, 4)
        },
        batches: batches(50, 10),
        origin: Origin::Sine(SineSpec::default()),
    }
}

fn adapting(model: &Model) -> AdaptationSetup {
    AdaptationSetup {
        model: model.clone(),
        rule: InnerRule::Optimizer(training(model).inner.rule()),
        rate: 0.02,
        weight_decay: 1.0,
        plan: PlanKind::Auto,
        batches: batches(10, 64),
        origin: Origin::Rows { queries: 0, ordered: false },
        phase: Phase::Adapt,
        seed: 1,
        scored: false,
        transductive: vec![false],
    }
}

/// Full batches of ten of `samples` examples.
fn batches(samples: usize, steps: usize) -> Batches {
    Batches { way: 1, group: samples, tail: 0, steps, batch: 10, replacement: false }
}

/// A kernel of the program's own with the buffer it writes.
struct Own {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    buffer: wgpu::Buffer,
    workgroups: u32,
}

impl Own {
    /// Particles on orbits.
    fn swarm(device: &wgpu::Device) -> Self {
        let text = "
            @group(0) @binding(0) var<storage, read_write> particles: array<vec2<f32>>;
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                let p = particles[id.x];
                particles[id.x] = p + 0.01 * vec2<f32>(-p.y, p.x);
            }";
        let start: Vec<f32> = (0..PARTICLES).flat_map(|i| [1.0 + i as f32 / 1e4, 0.0]).collect();
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("particles"),
            contents: bytemuck::cast_slice(&start),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        });
        Self::new(device, text, buffer, &[], PARTICLES / 64)
    }

    /// The adapted network at every point of the screen, from the parameters as they lie on the
    /// device (see the packed layout in `reptile::model`).
    fn screen(device: &wgpu::Device, model: &Model, parameters: &wgpu::Buffer) -> Self {
        let text = format!(
            "
            @group(0) @binding(0) var<storage, read_write> screen: array<f32>;
            @group(0) @binding(1) var<storage, read> theta: array<f32>;
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                var h: array<f32, 64>;
                h[0] = -5.0 + 10.0 * f32(id.x) / {last}.0;
                {layers}
                screen[id.x] = h[0];
            }}",
            last = SCREEN - 1,
            layers = model.layers().iter().map(layer_text).collect::<String>(),
        );
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("screen"),
            size: 4 * u64::from(SCREEN),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self::new(device, &text, buffer, &[parameters], SCREEN / 64)
    }

    fn new(
        device: &wgpu::Device,
        text: &str,
        buffer: wgpu::Buffer,
        more: &[&wgpu::Buffer],
        workgroups: u32,
    ) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = std::iter::once(&buffer)
            .chain(more.iter().copied())
            .enumerate()
            .map(|(index, buffer)| wgpu::BindGroupEntry {
                binding: index as u32,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self { pipeline, group, buffer, workgroups }
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
    }
}

/// WGSL of one dense layer on `h`.
fn layer_text(layer: &Layer) -> String {
    let activation = if layer.activation == Activation::Tanh { "tanh(z)" } else { "z" };
    format!(
        "{{
            var y: array<f32, 64>;
            for (var j = 0u; j < {outputs}u; j++) {{
                var z = theta[{offset}u + {inputs_padded}u * {columns}u + j];
                for (var i = 0u; i < {inputs}u; i++) {{
                    z += h[i] * theta[{offset}u + i * {columns}u + j];
                }}
                y[j] = {activation};
            }}
            h = y;
        }}\n",
        outputs = layer.outputs(),
        inputs = layer.inputs(),
        inputs_padded = layer.inputs_padded(),
        columns = layer.outputs_padded(),
        offset = layer.packed_offset,
    )
}
