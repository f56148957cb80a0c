//! An adapter as plain data: for `reptile devices` and for reports.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::gpu::adapters::AdapterEntry;
use crate::gpu::options::GpuOptions;

/// Features that kernels can use, by the name that is printed.
const FEATURES: [(&str, wgpu::Features); 3] = [
    ("subgroup", wgpu::Features::SUBGROUP),
    ("timestamp-query", wgpu::Features::TIMESTAMP_QUERY),
    ("pipeline-cache", wgpu::Features::PIPELINE_CACHE),
];

/// What an adapter is and can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "experiments", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AdapterReport {
    /// What `--device` takes.
    pub index: usize,
    /// Name of the adapter, as its driver gives it.
    pub name: String,
    /// Interface that wgpu drives it by: `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// Name of the driver; may be empty.
    pub driver: String,
    /// The driver's version, in its own words; may be empty.
    pub driver_info: String,
    /// DiscreteGpu, IntegratedGpu, VirtualGpu, Cpu or Other.
    #[serde(rename = "type")]
    pub kind: String,
    /// Limits that decide which sizes and kernels fit.
    pub limits: Limits,
    /// Of those that kernels use.
    pub features: Vec<String>,
    /// Family of kernels: the variant that it has by default.
    pub variants: BTreeMap<String, String>,
}

/// What an adapter takes at most: bytes, invocations or numbers, by WebGPU's names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "experiments", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the largest buffer.
    pub max_buffer_size: u64,
    /// Bytes of a storage buffer that one binding can reach.
    pub max_storage_buffer_binding_size: u64,
    /// Bytes of a workgroup's memory.
    pub max_compute_workgroup_storage_size: u32,
    /// Invocations of the largest workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Workgroups of a dispatch along one dimension.
    pub max_compute_workgroups_per_dimension: u32,
    /// Storage buffers that one kernel can bind.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Invocations of the smallest subgroup.
    pub subgroup_min_size: u32,
    /// Invocations of the largest subgroup.
    pub subgroup_max_size: u32,
}

impl AdapterEntry {
    /// The adapter as plain data, with the variants that it has under `options`.
    pub fn report(&self, options: &GpuOptions) -> AdapterReport {
        let (info, limits) = (&self.info, self.adapter.limits());
        let offered = self.adapter.features();
        let features = FEATURES.iter().filter(|(_, feature)| offered.contains(*feature));
        let variants = self.profile(options).variants().into_iter();
        AdapterReport {
            index: self.index,
            name: info.name.clone(),
            backend: info.backend.to_string(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            kind: format!("{:?}", info.device_type),
            limits: Limits {
                max_buffer_size: limits.max_buffer_size,
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
                max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
                max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
                max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
                max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
                subgroup_min_size: info.subgroup_min_size,
                subgroup_max_size: info.subgroup_max_size,
            },
            features: features.map(|(name, _)| name.to_string()).collect(),
            variants: variants.map(|(family, variant)| (family.to_string(), variant)).collect(),
        }
    }
}

impl Display for AdapterReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let variants: Vec<String> =
            self.variants.iter().map(|(family, variant)| format!("{family} {variant}")).collect();
        let limits = &self.limits;
        writeln!(f, "{}: {}", self.index, self.name)?;
        writeln!(f, "   backend   {} ({})", self.backend, self.kind)?;
        writeln!(f, "   driver    {} {}", self.driver, self.driver_info)?;
        writeln!(
            f,
            "   limits    binding {} MiB, workgroup memory {} KiB, {} invocations, subgroup {}–{}",
            limits.max_storage_buffer_binding_size >> 20,
            limits.max_compute_workgroup_storage_size >> 10,
            limits.max_compute_invocations_per_workgroup,
            limits.subgroup_min_size,
            limits.subgroup_max_size,
        )?;
        writeln!(f, "   features  {}", self.features.join(", "))?;
        write!(f, "   variants  {}", variants.join(", "))
    }
}
