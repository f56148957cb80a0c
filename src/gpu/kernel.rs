//! A compiled kernel: pipeline, bind group layout, and how to bind buffers to it.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::error_scopes::ErrorScopes;
use crate::gpu::mirror::Mirror;
use crate::gpu::options::GpuOptions;
use crate::gpu::reflection::{Access, Global, globals};
use crate::gpu::source::Source;

/// What kernels are compiled with.
pub(super) struct Compiler<'a> {
    pub device: &'a wgpu::Device,
    pub options: &'a GpuOptions,
    /// The driver's compiled pipelines, where somebody keeps them.
    pub cache: Option<&'a wgpu::PipelineCache>,
    pub scopes: &'a ErrorScopes,
}

/// A compute pipeline with entry point `main` and one bind group.
#[derive(Debug)]
pub struct Kernel {
    pipeline: OnceLock<wgpu::ComputePipeline>,
    state: Mutex<State>,
    layout: wgpu::BindGroupLayout,
    /// What the text uses, by their numbers.
    globals: Vec<Global>,
    name: &'static str,
    variant: Option<String>,
}

/// What the pipeline is compiled from, until it is.
#[derive(Debug)]
enum State {
    Read(Read),
    Compiled,
    /// What the device said; another try is refused likewise.
    Refused(String),
}

/// A kernel's text.
#[derive(Debug)]
struct Read {
    text: String,
    /// Whether all of the text is this crate's.
    trusted: bool,
}

impl Kernel {
    /// Reads the text of `of`; `dynamic` names the buffers whose offset is given at each dispatch.
    pub(super) fn read(with: &Compiler<'_>, of: &Source, dynamic: &[&str]) -> Result<Self> {
        let (name, device) = (of.name(), with.device);
        let text = of.text(!with.options.rolled);
        let globals = globals(name, &text)?;
        let is_storage =
            |global: &&Global| matches!(global.access, Access::Read | Access::ReadWrite);
        let storage = globals.iter().filter(is_storage).count();
        let available = device.limits().max_storage_buffers_per_shader_stage;
        if storage > available as usize {
            return Err(Error::Limit {
                unit: "buffers",
                what: format!("the kernel `{name}`"),
                needed: storage as u64,
                available: available.into(),
                remedy:
                    "ask for a device with a higher max_storage_buffers_per_shader_stage, or turn \
                         telemetry off"
                        .into(),
            });
        }
        let entries: Vec<_> = globals.iter().map(|global| layout(global, dynamic)).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries,
        });
        Ok(Self {
            pipeline: OnceLock::new(),
            state: Mutex::new(State::Read(Read { text, trusted: of.is_trusted() })),
            layout,
            globals,
            name,
            variant: of.variant_name().map(str::to_string),
        })
    }

    /// Compiles the pipeline, if it is not yet; waits where another thread does.
    pub(super) fn compile(&self, with: &Compiler<'_>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Compiled) {
            State::Compiled => Ok(()),
            State::Refused(message) => {
                *state = State::Refused(message.clone());
                Err(Error::Shader { kernel: self.name.to_string(), message })
            }
            State::Read(read) => {
                let made = self.compile_text(with, read);
                if let Err(Error::Shader { message, .. }) = &made {
                    *state = State::Refused(message.clone());
                }
                made
            }
        }
    }

    fn compile_text(&self, with: &Compiler<'_>, Read { text, trusted }: Read) -> Result<()> {
        let (name, device, options) = (self.name, with.device, with.options);
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
        let checked = options.checked || !trusted;
        let module = if checked {
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
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&self.layout)],
            ..Default::default()
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: checked,
                ..Default::default()
            },
            cache: with.cache,
        });
        with.scopes.end(scope, move |error| Error::Shader {
            kernel: name.to_string(),
            message: error.to_string(),
        })?;
        // Nobody else has the text.
        let _ = self.pipeline.set(pipeline);
        Ok(())
    }

    /// Whether the pipeline is compiled.
    pub(super) fn is_compiled(&self) -> bool {
        self.pipeline.get().is_some()
    }

    /// The pipeline.
    ///
    /// # Panics
    /// If it is not compiled: what [`Preparing`](crate::gpu::Preparing) holds is not let run before.
    pub(super) fn pipeline(&self) -> &wgpu::ComputePipeline {
        self.pipeline.get().expect("kernels are compiled before they run")
    }

    /// Name of the shader's file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which of the kernel's variants this is, where there are several.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// What the text uses, by their numbers.
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// Binds `resources`, one for each of [`Kernel::globals`].
    pub fn bind(
        &self,
        device: &wgpu::Device,
        resources: &[wgpu::BindingResource<'_>],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = self
            .globals
            .iter()
            .zip(resources)
            .map(|(global, resource)| wgpu::BindGroupEntry {
                binding: global.binding,
                resource: resource.clone(),
            })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.layout,
            entries: &entries,
        })
    }
}

/// `dynamic` names those whose offset is given at each dispatch.
fn layout(global: &Global, dynamic: &[&str]) -> wgpu::BindGroupLayoutEntry {
    let buffer = |ty| wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: dynamic.contains(&global.name.as_str()),
        min_binding_size: None,
    };
    let ty = match global.access {
        Access::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        Access::ReadWrite => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
        Access::Uniform => buffer(wgpu::BufferBindingType::Uniform),
        Access::Mirror { words } => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: Mirror::format(words),
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    };
    let visibility = wgpu::ShaderStages::COMPUTE;
    wgpu::BindGroupLayoutEntry { binding: global.binding, visibility, ty, count: None }
}
