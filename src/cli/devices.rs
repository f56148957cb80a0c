//! `reptile devices`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::common::{DeviceArgs, say};
use crate::gpu::{AdapterEntry, GpuOptions, list_adapters, no_adapter};

/// Features that kernels can use, by the name that is printed.
const FEATURES: [(&str, wgpu::Features); 3] = [
    ("subgroup", wgpu::Features::SUBGROUP),
    ("timestamp-query", wgpu::Features::TIMESTAMP_QUERY),
    ("pipeline-cache", wgpu::Features::PIPELINE_CACHE),
];

/// List the adapters of this machine.
#[derive(Debug, Args)]
pub struct Devices {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Devices {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (choice, options) = (self.device.choice(), self.device.options());
        let entries = list_adapters(&choice);
        if entries.is_empty() {
            return Err(no_adapter(&choice).into());
        }
        if self.json {
            let list: Vec<_> = entries.iter().map(|entry| describe(entry, &options)).collect();
            say(serde_json::to_string_pretty(&list)?);
        } else {
            entries.iter().for_each(|entry| print(entry, &options));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn features(entry: &AdapterEntry) -> Vec<&'static str> {
    let offered = entry.adapter.features();
    FEATURES
        .iter()
        .filter(|(_, feature)| offered.contains(*feature))
        .map(|(name, _)| *name)
        .collect()
}

fn describe(entry: &AdapterEntry, options: &GpuOptions) -> serde_json::Value {
    let (info, limits) = (&entry.info, entry.adapter.limits());
    let variants: serde_json::Map<_, _> = entry
        .profile(options)
        .variants()
        .into_iter()
        .map(|(family, variant)| (family.to_string(), variant.into()))
        .collect();
    json!({
        "index": entry.index,
        "name": info.name,
        "backend": info.backend.to_string(),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "type": format!("{:?}", info.device_type),
        "limits": {
            "max_buffer_size": limits.max_buffer_size,
            "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
            "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
            "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
            "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
            "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
            "subgroup_min_size": info.subgroup_min_size,
            "subgroup_max_size": info.subgroup_max_size,
        },
        "features": features(entry),
        "variants": variants,
    })
}

fn print(entry: &AdapterEntry, options: &GpuOptions) {
    let (info, limits) = (&entry.info, entry.adapter.limits());
    let variants = entry.profile(options).variants();
    let variants: Vec<String> =
        variants.iter().map(|(family, variant)| format!("{family} {variant}")).collect();
    say(format_args!("{}: {}", entry.index, info.name));
    say(format_args!("   backend   {} ({:?})", info.backend, info.device_type));
    say(format_args!("   driver    {} {}", info.driver, info.driver_info));
    say(format_args!(
        "   limits    binding {} MiB, workgroup memory {} KiB, {} invocations, subgroup {}–{}",
        limits.max_storage_buffer_binding_size >> 20,
        limits.max_compute_workgroup_storage_size >> 10,
        limits.max_compute_invocations_per_workgroup,
        info.subgroup_min_size,
        info.subgroup_max_size,
    ));
    say(format_args!("   features  {}", features(entry).join(", ")));
    say(format_args!("   variants  {}", variants.join(", ")));
}
