//! Tasks whose examples a kernel of the caller's own writes, in the encoder of the training.

use reptile::gpu::Gpu;
use reptile::meta::{InnerSpec, Origin, OuterSpec, PlanKind, Trainer, TrainerSetup};
use reptile::model::{Loss, padded};
use reptile::rng::{Phase, Stream};
use reptile::wgpu;

use crate::common::{assert_close, with};
use crate::functions::{Case, SEED, in_float64};
use crate::harness::{Device, On, Tests, named};

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(trainings_on_filled_tasks_agree_with_float64));
}

/// Writes words of a file of the caller's, from `first` on.
const FILL: &str = "
    @group(0) @binding(0) var<storage, read> words: array<u32>;
    @group(0) @binding(1) var<storage, read_write> filled: array<u32>;
    @compute @workgroup_size(32)
    fn fill(@builtin(global_invocation_id) at: vec3<u32>) {
        if at.x < arrayLength(&words) {
            filled[at.x] = words[at.x];
        }
    }";

/// What a caller has: its pipeline, and the words of each meta-iteration's inputs and targets.
struct Filler<'a> {
    gpu: &'a Gpu,
    pipeline: wgpu::ComputePipeline,
}

impl<'a> Filler<'a> {
    fn new(gpu: &'a Gpu) -> Self {
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(FILL.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        Self { gpu, pipeline }
    }

    /// Records a dispatch that writes `words` to `to`.
    fn fill(&self, encoder: &mut wgpu::CommandEncoder, words: &[u32], to: &wgpu::Buffer) {
        let device = self.gpu.device();
        let own = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * words.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.queue().write_buffer(&own, 0, bytemuck::cast_slice(words));
        let resources = [&own, to].map(|buffer| buffer.as_entire_binding());
        let entry = |(binding, resource)| wgpu::BindGroupEntry { binding, resource };
        let entries: Vec<_> = (0..).zip(resources).map(entry).collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups((words.len() as u32).div_ceil(32), 1, 1);
    }
}

/// Words of the inputs and targets of meta-iteration `iteration`, as buffers hold them.
fn words(case: &Case, iteration: u32, tasks: u32) -> [Vec<u32>; 2] {
    let [mut inputs, mut targets] = [const { Vec::new() }; 2];
    for task in 0..tasks {
        let stream = Stream::new(SEED, Phase::Train, iteration, task);
        let own = case.drawn(&stream, 0..case.batches.group);
        inputs.extend(case.model.pack_inputs(&own.x).iter().map(|x| x.to_bits()));
        match case.model.loss() {
            Loss::CrossEntropy => targets.extend(own.labels),
            Loss::Mse => {
                let outputs = case.model.outputs();
                for row in own.values.chunks_exact(outputs) {
                    targets.extend(row.iter().map(|y| (*y as f32).to_bits()));
                    targets.resize(targets.len() + padded(outputs) - outputs, 0);
                }
            }
        }
    }
    [inputs, targets]
}

fn trainings_on_filled_tasks_agree_with_float64(Device { name, gpu, .. }: &Device) {
    let filler = Filler::new(gpu);
    for case in Case::all() {
        let (inner, outer) = (InnerSpec::sgd(0.03, 4, 5), OuterSpec::interpolation(0.4, 3));
        let (model, batches) = (&case.model, case.batches.clone());
        let setup = TrainerSetup::new(model, Origin::filled(), inner, outer, batches);
        let setup = with(setup, |it| (it.seed, it.iterations) = (SEED, 10));
        let wanted = in_float64(&case, &setup);
        for plan in [PlanKind::Layered, PlanKind::Fused] {
            if plan == PlanKind::Fused && !model.is_mlp() {
                continue;
            }
            let setup = with(setup.clone(), |it| it.plan = plan);
            let mut trainer = Trainer::new(gpu, setup).unwrap();
            // Two meta-iterations in one submission, whose tasks lie in the same buffers, and one more.
            for iterations in [0..2, 2..3] {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                for iteration in iterations {
                    let own = words(&case, iteration, 3);
                    let to = trainer.tasks().support_rows().unwrap();
                    for (words, to) in own.iter().zip(to) {
                        filler.fill(&mut encoder, words, to);
                    }
                    trainer.record(&mut encoder, 1).unwrap();
                }
                gpu.queue().submit([encoder.finish()]);
            }
            let got = &trainer.snapshot().unwrap().parameters[0];
            assert_close(&format!("{}, {plan:?}, {name}", case.name), got, &wanted, 3e-5);
        }
    }
}
