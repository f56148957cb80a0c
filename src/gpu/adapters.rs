//! Finding adapters and choosing one.

use crate::error::{Error, Result};
use crate::gpu::options::GpuOptions;
use crate::gpu::profile::Profile;

/// What to install where no adapter is found.
const NO_ADAPTER: &str = "no GPU adapter was found; install your GPU's driver, or a software one: \
     `apt-get install libvulkan1 mesa-vulkan-drivers` on Debian and Ubuntu \
     (`dnf install mesa-vulkan-drivers` on Fedora)";

/// Which adapter to take.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AdapterChoice {
    /// Only this backend.
    pub backend: Option<wgpu::Backend>,
    /// An index of [`list_adapters`], or a part of the name (case does not matter). A number that is no
    /// index is looked for in the names, as a whole number of two digits or more.
    pub device: Option<String>,
    /// A part of the name alone, where `device` is none.
    pub name: Option<String>,
    /// Which of the GPUs that are the fastest kind to take where neither names one, from 0 on, all around: processes that share
    /// a machine count them through. Software devices do not count: there is one.
    pub place: usize,
    /// What to prefer where neither names one; [`wgpu::PowerPreference::None`] takes the fastest kind.
    pub power: wgpu::PowerPreference,
    /// Turns the API's validation layers on, where they are installed.
    pub validation: bool,
}

impl AdapterChoice {
    /// Fills in what is not chosen from `WGPU_ADAPTER_NAME` and `WGPU_POWER_PREF`, as other programs on wgpu read
    /// them. ([`list_adapters`] reads `WGPU_BACKEND`, which may name several.)
    pub fn or_environment(mut self) -> Self {
        let named = || std::env::var(ADAPTER_NAME).ok().filter(|name| !name.is_empty());
        self.name = self.name.or_else(named);
        if self.power == wgpu::PowerPreference::None {
            self.power = wgpu::PowerPreference::from_env().unwrap_or_default();
        }
        self
    }
}

/// The variable of other programs on wgpu that holds a part of an adapter's name.
const ADAPTER_NAME: &str = "WGPU_ADAPTER_NAME";

/// One adapter that this machine offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdapterEntry {
    /// Its place in the list of all backends, which `--device` takes.
    pub index: usize,
    /// wgpu's handle, with which the device is opened.
    pub adapter: wgpu::Adapter,
    /// Name, type, backend and driver, as wgpu reports them.
    pub info: wgpu::AdapterInfo,
}

impl AdapterEntry {
    /// The profile that the adapter would have with all that `options` enable.
    pub fn profile(&self, options: &GpuOptions) -> Profile {
        let features = self.adapter.features();
        Profile::new(&self.info, features, &self.adapter.limits(), options)
    }
}

/// The backends in the order in which adapters are listed.
const BACKENDS: [wgpu::Backend; 5] = [
    wgpu::Backend::Vulkan,
    wgpu::Backend::Metal,
    wgpu::Backend::Dx12,
    wgpu::Backend::Gl,
    wgpu::Backend::BrowserWebGpu,
];

/// The backends that are wanted: the chosen one, those of `WGPU_BACKEND`, or all.
fn wanted(choice: &AdapterChoice) -> wgpu::Backends {
    let all = || wgpu::Backends::PRIMARY | wgpu::Backends::GL;
    let named = || wgpu::Backends::from_env().unwrap_or_else(all);
    choice.backend.map_or_else(named, wgpu::Backends::from)
}

/// Every adapter of the chosen backend (without a choice, of those in `WGPU_BACKEND`, or of all) that runs compute
/// shaders, in a stable order and with its index among those of all backends.
#[cfg(not(target_arch = "wasm32"))]
pub fn list_adapters(choice: &AdapterChoice) -> Vec<AdapterEntry> {
    pollster::block_on(list_adapters_async(choice))
}

/// The async twin of [`list_adapters`], for browsers too.
pub async fn list_adapters_async(choice: &AdapterChoice) -> Vec<AdapterEntry> {
    // Backends behind the wanted ones do not change an index, and are not started: their drivers may be broken.
    let wanted = wanted(choice);
    let last = BACKENDS.iter().rposition(|backend| wanted.contains((*backend).into()));
    let started = &BACKENDS[..last.map_or(0, |last| last + 1)];
    let backends =
        started.iter().fold(wgpu::Backends::empty(), |all, backend| all | (*backend).into());
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = if choice.validation {
        wgpu::InstanceFlags::VALIDATION
    } else {
        wgpu::InstanceFlags::empty()
    };
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(backends).await;
    adapters.sort_by_key(|adapter| {
        BACKENDS.iter().position(|backend| *backend == adapter.get_info().backend)
    });
    let mut entries: Vec<AdapterEntry> = adapters
        .into_iter()
        .filter(|adapter| {
            let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
            adapter.get_downlevel_capabilities().flags.contains(compute)
                && gl_has_compute(&adapter.get_info())
        })
        .enumerate()
        .map(|(index, adapter)| AdapterEntry { index, info: adapter.get_info(), adapter })
        .collect();
    entries.retain(|entry| wanted.contains(entry.info.backend.into()));
    entries
}

/// Whether the shading language of an adapter's context has compute shaders: GL 4.3 or GLES 3.1. A context of an
/// older version can offer them as an extension, which wgpu reports, but cannot compile them (NVIDIA's driver without
/// a display gives a context of 3.3).
fn gl_has_compute(info: &wgpu::AdapterInfo) -> bool {
    if info.backend != wgpu::Backend::Gl {
        return true;
    }
    let version = info.driver_info.trim_start();
    let embedded = version.starts_with(|first: char| !first.is_ascii_digit());
    let numbers = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = numbers.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => {
            (major, minor) >= if embedded { (3, 1) } else { (4, 3) }
        }
        // Unknown: wgpu's word for it.
        _ => true,
    }
}

/// The error of a machine without any adapter for `choice`, with what to install.
pub fn no_adapter(choice: &AdapterChoice) -> Error {
    let limited = std::env::var("WGPU_BACKEND")
        .ok()
        .map(|backends| format!("WGPU_BACKEND=`{backends}` has no adapter here; unset it, or: "));
    Error::Adapter(match (choice.backend, limited) {
        (Some(backend), _) => format!("the backend {backend} has no adapter here; {NO_ADAPTER}"),
        (None, Some(limited)) => format!("{limited}{NO_ADAPTER}"),
        (None, None) => NO_ADAPTER.to_string(),
    })
}

/// The adapter that `choice` names; without a name the fastest kind, a CPU only as a last resort.
pub(super) async fn choose(choice: &AdapterChoice) -> Result<AdapterEntry> {
    let mut entries = list_adapters_async(choice).await;
    if entries.is_empty() {
        return Err(no_adapter(choice));
    }
    let listed: Vec<Listed<'_>> =
        entries.iter().map(|entry| (entry.index, entry.info.name.as_str())).collect();
    let position = match (&choice.device, &choice.name) {
        (Some(wanted), _) => find(&listed, wanted)
            .ok_or_else(|| unknown(choice, &entries, &format!("`{wanted}`")))?,
        (None, Some(name)) => {
            let wanted = || unknown(choice, &entries, &format!("`{name}` ({ADAPTER_NAME})"));
            named(&listed, name).ok_or_else(wanted)?
        }
        (None, None) => {
            let infos: Vec<_> = entries.iter().map(|entry| &entry.info).collect();
            fastest(&infos, choice.power, choice.place)
        }
    };
    Ok(entries.swap_remove(position))
}

/// Index and name of an adapter.
type Listed<'a> = (usize, &'a str);

/// The place of the adapter that `wanted` names: by its index or else by a part of its name.
fn find(entries: &[Listed<'_>], wanted: &str) -> Option<usize> {
    let Ok(index) = wanted.parse::<usize>() else { return named(entries, wanted) };
    let place = entries.iter().position(|(own, _)| *own == index);
    // «4090», «200» of an H200; but not the 2 in it, which is meant as an index that is not there.
    let whole = |name: &str| name.split(|c: char| !c.is_ascii_digit()).any(|run| run == wanted);
    let by_name = || entries.iter().position(|(_, name)| whole(name));
    if wanted.len() < 2 { place } else { place.or_else(by_name) }
}

/// The place of the first adapter with `part` in its name.
fn named(entries: &[Listed<'_>], part: &str) -> Option<usize> {
    let part = part.to_lowercase();
    entries.iter().position(|(_, name)| name.to_lowercase().contains(&part))
}

fn unknown(choice: &AdapterChoice, entries: &[AdapterEntry], wanted: &str) -> Error {
    let names: Vec<String> = entries
        .iter()
        .map(|entry| format!("{}: {} ({})", entry.index, entry.info.name, entry.info.backend))
        .collect();
    let of = choice.backend.map_or(String::new(), |backend| format!(" of the backend {backend}"));
    Error::Adapter(format!("no adapter{of} matches {wanted}; there are: {}", names.join(", ")))
}

/// The place of the fastest kind of `infos`; of several such GPUs of one backend, number `place`, all around.
fn fastest(infos: &[&wgpu::AdapterInfo], power: wgpu::PowerPreference, place: usize) -> usize {
    let best = (0..infos.len())
        .min_by_key(|index| preference(infos[*index], power))
        .expect("the list is not empty");
    let kind = |info: &wgpu::AdapterInfo| (preference(info, power), info.backend);
    let same: Vec<usize> =
        (0..infos.len()).filter(|index| kind(infos[*index]) == kind(infos[best])).collect();
    match infos[best].device_type {
        wgpu::DeviceType::Cpu => best,
        _ => same[place % same.len()],
    }
}

/// Smaller is better.
fn preference(info: &wgpu::AdapterInfo, power: wgpu::PowerPreference) -> (u8, u8) {
    let saving = power == wgpu::PowerPreference::LowPower;
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => u8::from(saving),
        wgpu::DeviceType::IntegratedGpu => u8::from(!saving),
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, u8::from(info.backend == wgpu::Backend::Gl))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(backend: wgpu::Backend, driver_info: &str) -> wgpu::AdapterInfo {
        let driver_info = driver_info.into();
        wgpu::AdapterInfo {
            driver_info,
            ..wgpu::AdapterInfo::new(wgpu::DeviceType::Other, backend)
        }
    }

    #[test]
    fn old_gl_contexts_are_left_out() {
        let gl = |version| gl_has_compute(&info(wgpu::Backend::Gl, version));
        assert!(!gl("3.3.0 NVIDIA 580.159.04"), "what an H200 without a display gives");
        assert!(gl("4.6.0 NVIDIA 580.159.04") && gl(" 4.5 (Core Profile) Mesa 22.3.6"));
        assert!(gl("OpenGL ES 3.2 Mesa 22.3.6") && !gl("OpenGL ES 3.0 (ANGLE 2.1)"));
        assert!(gl("unheard of"));
        assert!(gl_has_compute(&info(wgpu::Backend::Vulkan, "1.0")));
    }

    #[test]
    fn a_device_is_an_index_or_a_part_of_a_name() {
        // Of a list that a backend cut: the indices are those of the whole list.
        let entries = [(1, "NVIDIA GeForce RTX 4090"), (2, "llvmpipe (LLVM 15.0.6, 256 bits)")];
        assert_eq!(find(&entries, "2"), Some(1), "an index goes before a name with that number");
        assert_eq!(find(&entries, "4090"), Some(0));
        assert_eq!(find(&entries, "256"), Some(1));
        assert_eq!(find(&entries, "LLVM"), Some(1));
        assert_eq!(find(&entries, "7"), None);
        // Indices that are not there are no parts of numbers in names.
        assert_eq!([find(&entries, "0"), find(&entries, "40"), find(&entries, "5")], [None; 3]);
        assert_eq!(named(&entries, "2"), Some(1), "WGPU_ADAPTER_NAME is no index");
        assert_eq!(find(&entries, "radeon"), None);
    }

    #[test]
    fn processes_of_one_machine_take_its_gpus_in_turn() {
        use wgpu::{Backend::Gl, Backend::Vulkan, DeviceType as Kind, PowerPreference};
        let of = |list: &[(Kind, wgpu::Backend)]| {
            let infos: Vec<_> =
                list.iter().map(|(kind, api)| wgpu::AdapterInfo::new(*kind, *api)).collect();
            let infos: Vec<_> = infos.iter().collect();
            [0, 1, 2, 3].map(|place| fastest(&infos, PowerPreference::None, place))
        };
        let gpus = [Kind::Cpu, Kind::DiscreteGpu, Kind::IntegratedGpu, Kind::DiscreteGpu];
        let gpus = gpus.map(|kind| (kind, Vulkan));
        assert_eq!(of(&gpus), [1, 3, 1, 3]);
        assert_eq!(of(&[(Kind::DiscreteGpu, Vulkan), (Kind::DiscreteGpu, Gl)]), [0; 4]);
        assert_eq!(of(&[(Kind::Cpu, Vulkan), (Kind::Cpu, Vulkan)]), [0; 4]);
    }

    #[test]
    fn power_decides_between_a_discrete_and_an_integrated_gpu() {
        let of =
            |kind, power| preference(&wgpu::AdapterInfo::new(kind, wgpu::Backend::Vulkan), power);
        let [discrete, integrated] =
            [wgpu::DeviceType::DiscreteGpu, wgpu::DeviceType::IntegratedGpu];
        for power in [wgpu::PowerPreference::None, wgpu::PowerPreference::HighPerformance] {
            assert!(of(discrete, power) < of(integrated, power));
        }
        let low = wgpu::PowerPreference::LowPower;
        assert!(of(integrated, low) < of(discrete, low));
        assert!(of(discrete, low) < of(wgpu::DeviceType::Cpu, low));
    }
}
