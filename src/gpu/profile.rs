//! What a device can do, as far as kernels choose their variant by it.

use crate::error::{Error, Result};
use crate::gpu::options::GpuOptions;

/// The capability profile: the key by which kernel variants are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The adapter is a CPU that plays GPU (lavapipe, SwiftShader, WARP), and kernels are chosen for it.
    pub software: bool,
    /// Whether kernels read from mirrors of buffers by default: Mesa's lavapipe loads three times as fast from them
    /// (docs/kernels.md).
    pub mirrors: bool,
    /// Lanes of a subgroup, where subgroup operations exist and every subgroup has this size.
    pub subgroup: Option<u32>,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Invocations of a workgroup at most.
    pub largest_workgroup: u32,
    /// The largest storage binding in bytes.
    pub largest_binding: u64,
    /// The largest number of workgroups along one grid axis.
    pub largest_grid: u32,
    /// Storage buffers that a kernel may have.
    pub storage_buffers: u32,
    /// How many rounds all loops of an invocation may take together, where the driver ends loops:
    /// Mesa's llvmpipe and lavapipe do so after 65,535, without a word.
    pub loop_rounds: Option<usize>,
}

impl Profile {
    /// The profile of an adapter with these properties, when `features` and `limits` are enabled.
    pub fn new(
        info: &wgpu::AdapterInfo,
        features: wgpu::Features,
        limits: &wgpu::Limits,
        options: &GpuOptions,
    ) -> Self {
        let fixed_size = info.subgroup_min_size == info.subgroup_max_size;
        let subgroups =
            features.contains(wgpu::Features::SUBGROUP) && fixed_size && !options.baseline;
        let lavapipe = info.backend == wgpu::Backend::Vulkan && info.name.contains("llvmpipe");
        Self {
            mirrors: lavapipe && !options.hardware,
            software: info.device_type == wgpu::DeviceType::Cpu && !options.hardware,
            subgroup: (subgroups && (4..=128).contains(&info.subgroup_min_size))
                .then_some(info.subgroup_min_size),
            largest_workgroup: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            largest_binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            largest_grid: limits.max_compute_workgroups_per_dimension,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            loop_rounds: info.name.contains("llvmpipe").then_some(60_000),
        }
    }

    /// Refuses a kernel whose loops the driver would end early. `rounds` counts all loops of an
    /// invocation; `key` names the setting to lower.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check_rounds(&self, kernel: &str, rounds: usize, key: &str) -> Result<()> {
        let Some(most) = self.loop_rounds.filter(|most| rounds > *most) else { return Ok(()) };
        let message = format!(
            "the kernel `{kernel}` would take {rounds} rounds of its loops, but this device's driver \
             (Mesa's software Vulkan) ends them after {most}; lower it, or use another device"
        );
        Err(Error::config(key, message))
    }

    /// Lanes for the kernels that give a whole subgroup to one tile or task and pass values by
    /// broadcasts: they pay on software devices, where every memory access is slow, and not on
    /// real GPUs, where workgroup memory is fast (docs/kernels.md).
    pub fn broadcast_lanes(&self) -> Option<u32> {
        self.subgroup.filter(|lanes| self.software && *lanes <= 16)
    }

    /// Which variant of the kernel families this profile gets by default: (family, variant). Products are
    /// those of dense layers and convolutions.
    pub fn variants(&self) -> [(&'static str, String); 2] {
        let name = match self.broadcast_lanes() {
            Some(lanes) => format!("subgroup{lanes}"),
            None => "workgroup".to_string(),
        };
        [("products", name.clone()), ("fused", name)]
    }
}
