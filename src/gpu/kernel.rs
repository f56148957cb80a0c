//! A compiled kernel: pipeline, bind group layout, and how to bind buffers to it.

use crate::error::{Error, Result};
use crate::gpu::options::GpuOptions;
use crate::gpu::source::Source;

/// How a kernel sees one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
    /// `var<storage, read>` whose offset is given at each dispatch.
    ReadAt,
    /// `var<uniform>` whose offset is given at each dispatch.
    UniformAt,
}

impl Binding {
    fn layout(self, binding: usize) -> wgpu::BindGroupLayoutEntry {
        let ty = match self {
            Self::Read | Self::ReadAt => wgpu::BufferBindingType::Storage { read_only: true },
            Self::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
            Self::UniformAt => wgpu::BufferBindingType::Uniform,
        };
        wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: matches!(self, Self::ReadAt | Self::UniformAt),
                min_binding_size: None,
            },
            count: None,
        }
    }
}

/// A compute pipeline with entry point `main` and one bind group.
#[derive(Debug)]
pub struct Kernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    name: &'static str,
    variant: Option<String>,
}

impl Kernel {
    pub(super) fn compile(
        device: &wgpu::Device,
        (options, cache): (&GpuOptions, Option<&wgpu::PipelineCache>),
        of: &Source,
        text: &str,
        bindings: &[Binding],
    ) -> Result<Self> {
        let name = of.name();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        let module = if options.checked {
            device.create_shader_module(descriptor)
        } else {
            // SAFETY: the text is this crate's own. Its indices are bounded by constants and
            // buffer sizes that come from the same shapes, its loops end, and the tests run every
            // kernel with the checks on as well.
            unsafe {
                device.create_shader_module_trusted(
                    descriptor,
                    wgpu::ShaderRuntimeChecks::unchecked(),
                )
            }
        };
        let entries: Vec<_> =
            bindings.iter().enumerate().map(|(index, binding)| binding.layout(index)).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: options.checked,
                ..Default::default()
            },
            cache,
        });
        match pollster::block_on(scope.pop()) {
            None => {
                Ok(Self { pipeline, layout, name, variant: of.variant_name().map(str::to_string) })
            }
            Some(error) => {
                Err(Error::Shader { kernel: name.to_string(), message: error.to_string() })
            }
        }
    }

    /// Name of the shader's file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which of the kernel's variants this is, where there are several.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Binds `resources` in order.
    pub fn bind(
        &self,
        device: &wgpu::Device,
        resources: &[wgpu::BufferBinding<'_>],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = resources
            .iter()
            .enumerate()
            .map(|(index, buffer)| wgpu::BindGroupEntry {
                binding: index as u32,
                resource: wgpu::BindingResource::Buffer(buffer.clone()),
            })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.layout,
            entries: &entries,
        })
    }
}
