//! Finding adapters and choosing one.

use crate::error::{Error, Result};
use crate::gpu::context::GpuOptions;
use crate::gpu::profile::Profile;

/// What to install where no adapter is found.
const NO_ADAPTER: &str = "no GPU adapter was found; install your GPU's driver, or a software one: \
     `apt-get install libvulkan1 mesa-vulkan-drivers` on Debian and Ubuntu \
     (`dnf install mesa-vulkan-drivers` on Fedora)";

/// Which adapter to take.
#[derive(Clone, Debug, Default)]
pub struct AdapterChoice {
    /// Only this backend.
    pub backend: Option<wgpu::Backend>,
    /// An index of [`list_adapters`], or a part of the name (case does not matter).
    pub device: Option<String>,
    /// Turns the API's validation layers on, where they are installed.
    pub validation: bool,
}

/// One adapter that this machine offers.
#[derive(Clone, Debug)]
pub struct AdapterEntry {
    /// Its place in the list, which `--device` takes.
    pub index: usize,
    pub adapter: wgpu::Adapter,
    pub info: wgpu::AdapterInfo,
}

impl AdapterEntry {
    /// The profile that the adapter would have with all that `options` enable.
    pub fn profile(&self, options: &GpuOptions) -> Profile {
        let features = self.adapter.features();
        Profile::new(&self.info, features, &self.adapter.limits(), options)
    }
}

/// Every adapter of the chosen backend (of all, without a choice), in a stable order.
pub fn list_adapters(choice: &AdapterChoice) -> Vec<AdapterEntry> {
    let backends = choice.backend.map_or(wgpu::Backends::PRIMARY | wgpu::Backends::GL, |backend| {
        wgpu::Backends::from(backend)
    });
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = if choice.validation {
        wgpu::InstanceFlags::VALIDATION
    } else {
        wgpu::InstanceFlags::empty()
    };
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .filter(|adapter| {
            let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
            adapter.get_downlevel_capabilities().flags.contains(compute)
        })
        .enumerate()
        .map(|(index, adapter)| AdapterEntry { index, info: adapter.get_info(), adapter })
        .collect()
}

/// The error of a machine without any adapter for `choice`, with what to install.
pub fn no_adapter(choice: &AdapterChoice) -> Error {
    Error::Adapter(match choice.backend {
        Some(backend) => format!("the backend {backend} has no adapter here; {NO_ADAPTER}"),
        None => NO_ADAPTER.to_string(),
    })
}

/// The adapter that `choice` names; without a name the fastest kind, a CPU only as a last resort.
pub(super) fn choose(choice: &AdapterChoice) -> Result<AdapterEntry> {
    let mut entries = list_adapters(choice);
    if entries.is_empty() {
        return Err(no_adapter(choice));
    }
    let position = match &choice.device {
        Some(wanted) => find(&entries, wanted).ok_or_else(|| unknown(&entries, wanted))?,
        None => (0..entries.len())
            .min_by_key(|index| preference(&entries[*index].info))
            .expect("the list is not empty"),
    };
    Ok(entries.swap_remove(position))
}

fn find(entries: &[AdapterEntry], wanted: &str) -> Option<usize> {
    if let Ok(index) = wanted.parse::<usize>() {
        return entries.iter().position(|entry| entry.index == index);
    }
    let wanted = wanted.to_lowercase();
    entries.iter().position(|entry| entry.info.name.to_lowercase().contains(&wanted))
}

fn unknown(entries: &[AdapterEntry], wanted: &str) -> Error {
    let names: Vec<String> = entries
        .iter()
        .map(|entry| format!("{}: {} ({})", entry.index, entry.info.name, entry.info.backend))
        .collect();
    Error::Adapter(format!("no adapter matches `{wanted}`; there are: {}", names.join(", ")))
}

/// Smaller is better.
fn preference(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, u8::from(info.backend == wgpu::Backend::Gl))
}
