//! Draws a curve from the engine's output buffer, without a way over the host.

use eframe::egui::{PaintCallbackInfo, Rect};
use eframe::{egui, egui_wgpu};
use reptile::wgpu;

use crate::learner::PLACES;

const SHADER: &str = "
@group(0) @binding(0) var<storage, read> outputs: array<vec4<f32>>;
override PLACES: u32;

fn place(i: u32) -> vec2<f32> {
    return vec2<f32>(2.0 * f32(i) / f32(PLACES - 1u) - 1.0, outputs[i].x / 5.5);
}

// A strip of triangles, two corners a place.
@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let i = index / 2u;
    let way = place(min(i + 1u, PLACES - 1u)) - place(max(i, 1u) - 1u);
    let across = normalize(vec2<f32>(-way.y, way.x)) * select(-0.006, 0.006, index % 2u == 1u);
    return vec4<f32>(place(i) + across, 0.0, 1.0);
}

@fragment
fn colour() -> @location(0) vec4<f32> {
    return vec4<f32>(0.15, 0.62, 0.38, 1.0);
}";

/// The pipeline of the curve.
pub struct Curve {
    device: wgpu::Device,
    pipeline: wgpu::RenderPipeline,
    /// The buffer that was drawn last, bound.
    bound: Option<(wgpu::Buffer, wgpu::BindGroup)>,
}

impl Curve {
    /// For windows of this format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let (label, source) = (Some("curve"), wgpu::ShaderSource::Wgsl(SHADER.into()));
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
        let compilation_options = wgpu::PipelineCompilationOptions {
            constants: &[("PLACES", PLACES as f64)],
            ..Default::default()
        };
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label,
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: compilation_options.clone(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..Default::default()
            },
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("colour"),
                compilation_options,
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        Self { device: device.clone(), pipeline, bound: None }
    }

    /// What egui paints in `rect`: the curve of `outputs`.
    pub fn callback(&mut self, rect: Rect, outputs: &wgpu::Buffer) -> egui::PaintCallback {
        let known = self.bound.take().filter(|(buffer, _)| buffer == outputs);
        let (buffer, group) = known.unwrap_or_else(|| (outputs.clone(), self.group(outputs)));
        self.bound = Some((buffer, group.clone()));
        let painting = Painting { pipeline: self.pipeline.clone(), group };
        egui_wgpu::Callback::new_paint_callback(rect, painting)
    }

    fn group(&self, outputs: &wgpu::Buffer) -> wgpu::BindGroup {
        let entry = wgpu::BindGroupEntry { binding: 0, resource: outputs.as_entire_binding() };
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("curve"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[entry],
        })
    }
}

/// One painting of it.
struct Painting {
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
}

impl egui_wgpu::CallbackTrait for Painting {
    fn paint(
        &self,
        _: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _: &egui_wgpu::CallbackResources,
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.draw(0..2 * PLACES as u32, 0..1);
    }
}
