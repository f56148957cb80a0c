//! Which variants of the kernels a device gets, and why: a program that embeds the library may have made the device without
//! what the faster ones need.

use std::fmt::{self, Display, Formatter};

use crate::gpu::context::Gpu;

/// A variant of a family of kernels, by default; a measurement may have found a faster one for some shapes
/// ([`Gpu::tuned_variants`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VariantChoice {
    /// The family: `products` (of dense layers and convolutions) or `fused` (whole inner loops).
    pub family: &'static str,
    /// `workgroup`, or `subgroup` with the number of its lanes.
    pub variant: String,
    /// Why this one; where a device could have a faster one, what it lacks.
    pub reason: String,
}

impl Display for VariantChoice {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.family, self.variant, self.reason)
    }
}

impl Gpu {
    /// The variants that this device gets, and why.
    pub fn variants(&self) -> Vec<VariantChoice> {
        let reason = self.variant_reason();
        let of_profile = self.profile().variants().into_iter();
        of_profile
            .map(|(family, variant)| VariantChoice { family, variant, reason: reason.clone() })
            .collect()
    }

    fn variant_reason(&self) -> String {
        let info = self.info();
        let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
        if !self.profile().software {
            return if self.options().hardware && info.device_type == wgpu::DeviceType::Cpu {
                "the options ask for what real GPUs get".into()
            } else {
                "real GPUs share values in workgroup memory".into()
            };
        }
        if let Some(lanes) = self.profile().broadcast_lanes() {
            return format!(
                "a software driver shares values by broadcasts in subgroups of {lanes}"
            );
        }
        if self.options().baseline {
            return "the options ask for no optional feature".into();
        }
        if !self.device().features().contains(wgpu::Features::SUBGROUP) {
            return "the device was made without wgpu's feature SUBGROUP; where the adapter has it, \
                    `Gpu::device_descriptor` asks for it"
                .into();
        }
        format!(
            "its subgroups have {least} to {most} lanes; the faster variant needs one size of 4 to 16"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;

    fn reason(features: wgpu::Features, options: GpuOptions) -> String {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::NOOP;
        descriptor.backend_options.noop = wgpu::NoopBackendOptions {
            device_type: Some(wgpu::DeviceType::Cpu),
            subgroup_min_size: Some(8),
            subgroup_max_size: Some(8),
            ..wgpu::NoopBackendOptions::enabled()
        };
        let instance = wgpu::Instance::new(descriptor);
        let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
        let descriptor = wgpu::DeviceDescriptor {
            required_features: features,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let variants = Gpu::from_existing(device, queue, options).variants();
        assert_eq!(variants.len(), 2);
        variants[0].to_string()
    }

    #[test]
    fn each_choice_has_its_reason() {
        let plain = GpuOptions::default();
        let all = reason(wgpu::Features::SUBGROUP, plain.clone());
        assert!(all.starts_with("products subgroup8: a software driver"), "{all}");
        let without = reason(wgpu::Features::empty(), plain.clone());
        assert!(without.starts_with("products workgroup: ") && without.contains("SUBGROUP"));
        let hardware = GpuOptions { hardware: true, ..plain.clone() };
        assert!(reason(wgpu::Features::SUBGROUP, hardware).contains("options"));
        let baseline = GpuOptions { baseline: true, ..plain };
        assert!(reason(wgpu::Features::SUBGROUP, baseline).contains("no optional feature"));
    }
}
