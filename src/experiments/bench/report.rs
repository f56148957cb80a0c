//! What a benchmark found: plain data, JSON of a published schema (docs/bench.schema.json).

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiments::bench::scaling::Point;
use crate::experiments::bench::timing::Timing;
use crate::gpu::{AdapterReport, Gpu};
use crate::tune::Trial;

/// Changes with the meaning of a field.
pub const VERSION: u32 = 2;

/// Everything that one call measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Report {
    /// Version of this format.
    pub version: u32,
    /// Name and version of the program.
    pub program: String,
    /// The device that everything was measured on.
    pub device: Device,
    /// Flags that changed how kernels were made or chosen: `--no-autotune`, `--baseline`, `--checked`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether fewer and shorter repeats were taken.
    pub quick: bool,
    /// What the device reaches at best, which the rows' rates are shares of.
    pub ceilings: Ceilings,
    /// One or more for each workload and number of tasks, in the order measured.
    pub rows: Vec<Row>,
    /// Every adapter of the machine, in a report that is sent to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterReport>,
    /// Every variant of the kernels with its time, in a report that is sent to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Trial>,
    /// How the cost grows, if it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaling: Vec<Point>,
}

/// What was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Device {
    /// Name of the adapter, as its driver gives it.
    pub name: String,
    /// Interface that wgpu drives it by: `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// DiscreteGpu, IntegratedGpu, VirtualGpu, Cpu or Other.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the driver; may be empty.
    pub driver: String,
    /// The driver's version, in its own words; may be empty.
    pub driver_info: String,
    /// Smallest and largest subgroup.
    pub subgroup: [u32; 2],
    /// Bytes of the largest storage binding.
    pub largest_binding: u64,
}

impl Device {
    /// Of an open device.
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        Self {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            kind: format!("{:?}", info.device_type),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            subgroup: [info.subgroup_min_size, info.subgroup_max_size],
            largest_binding: gpu.profile().largest_binding,
        }
    }
}

/// What the device can do at best, measured in the same process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Ceilings {
    /// Floating-point operations a second of a kernel of independent multiply-adds.
    pub flops: f64,
    /// Bytes a second, read and written, of a kernel that copies a buffer.
    pub bytes: f64,
    /// Both by a second of processor time, where the device is a CPU: wall time says little on a busy
    /// machine.
    pub by_processor_time: Option<[f64; 2]>,
}

/// One workload at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Row {
    /// Name of the workload, as `--workload` takes it.
    pub workload: String,
    /// Tasks M of a meta-iteration, or batches of a kernel.
    pub tasks: usize,
    /// The sizes in words.
    pub shape: String,
    /// The measurement, or why there is none.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its figures.
    Measured(Box<Measured>),
    /// Why the device cannot take the workload.
    Skipped(String),
}

/// The figures of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Measured {
    /// Of a meta-iteration, or of one run of a kernel.
    pub time: Timing,
    /// Inner steps of all tasks in an iteration; none for a kernel alone.
    pub task_steps: Option<u64>,
    /// Floating-point operations of an iteration, counted from the network: two a multiply-add of
    /// the matrix products. None where nothing but memory counts.
    pub flops: Option<u64>,
    /// Bytes that an iteration must read and write; only for kernels that are bound by memory.
    pub bytes_moved: Option<u64>,
    /// A meta-iteration with as many dispatches, but inner loops that do nothing.
    pub control: Option<Timing>,
    /// Processor time of the thread that records, submits and reads the losses, as a share of the
    /// time.
    pub host_share: Option<f64>,
    /// `fused` or `layered`.
    pub plan: Option<String>,
    /// Kernel: the variants that ran.
    pub variants: BTreeMap<String, BTreeSet<String>>,
    /// Device time of each dispatch of an iteration, the longest first; none for a kernel alone, and
    /// without timestamps.
    pub kernels: Option<Vec<DispatchTime>>,
    /// Dispatches of a meta-iteration, or of one run of a kernel.
    pub dispatches: usize,
    /// Submissions an iteration.
    pub submits: f64,
    /// Bytes of all buffers on the device.
    pub memory: u64,
    /// Start-up times of fresh processes; none for a kernel alone, or where they are not wanted.
    pub first_result: Option<FirstResult>,
    /// How fast the same network is tested in a long job; of each training for its largest number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluated>,
}

impl Measured {
    /// Inner steps of tasks in a second.
    pub fn task_steps_per_second(&self) -> Option<f64> {
        self.task_steps.map(|steps| steps as f64 / self.time.median)
    }

    /// The evaluation's operations of inner steps in a second as a multiple of the training's.
    pub fn evaluation_ratio(&self) -> Option<f64> {
        let one = self.evaluation.as_ref()?;
        Some(one.flops as f64 / one.time.median / self.flops_per_second()?)
    }

    /// Inner steps of tasks in a second of processor time.
    pub fn task_steps_per_cpu_second(&self) -> Option<f64> {
        self.task_steps.map(|steps| steps as f64 / self.time.cpu)
    }

    /// Floating-point operations in a second.
    pub fn flops_per_second(&self) -> Option<f64> {
        self.flops.map(|flops| flops as f64 / self.time.median)
    }

    /// Share of the device's ceiling that bounds the row.
    pub fn share(&self, ceilings: &Ceilings) -> Option<f64> {
        let (seconds, [flops, bytes]) = match ceilings.by_processor_time {
            Some(ceilings) => (self.time.cpu, ceilings),
            None => (self.time.median, [ceilings.flops, ceilings.bytes]),
        };
        let share = |work: u64, ceiling: f64| work as f64 / seconds / ceiling;
        let flops = self.flops.map(|work| share(work, flops));
        flops.or(self.bytes_moved.map(|work| share(work, bytes)))
    }

    /// What a row is compared by: task-steps, or runs of the kernel, in a second.
    pub fn rate(&self) -> f64 {
        self.task_steps_per_second().unwrap_or(1.0 / self.time.median)
    }
}

/// One dispatch of a meta-iteration, which may be repeated: in each inner step, and for each chunk of
/// tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DispatchTime {
    /// Name of the shader's file.
    pub kernel: String,
    /// Name of the layer that it belongs to (`conv1`, `norm1`, …), if it belongs to one.
    pub layer: Option<String>,
    /// Which of the kernel's variants ran, where there are several.
    pub variant: Option<String>,
    /// Workgroups along each dimension.
    pub grid: [u32; 3],
    /// Workgroups in all.
    pub workgroups: u64,
    /// How often it is dispatched in a meta-iteration.
    pub repeats: usize,
    /// Device time of one of them in seconds: the mean over a meta-iteration, the median over several.
    pub seconds: f64,
    /// Floating-point operations of one: two a multiply-add of the matrix products.
    pub operations: u64,
    /// Bytes that one reads and writes at least: each number once when it is read, once when it is
    /// written. Caches may keep some of them from memory.
    pub bytes: u64,
}

/// What a dispatch is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Multiply-adds.
    Arithmetic,
    /// Bytes read and written.
    Memory,
}

impl DispatchTime {
    /// Seconds in a meta-iteration.
    pub fn total(&self) -> f64 {
        self.seconds * self.repeats as f64
    }

    /// The ceiling that is nearer, and the share of it that is reached.
    pub fn share(&self, ceilings: &Ceilings) -> (Bound, f64) {
        let share = |work: u64, ceiling: f64| work as f64 / self.seconds / ceiling;
        let arithmetic = share(self.operations, ceilings.flops);
        let memory = share(self.bytes, ceilings.bytes);
        if arithmetic > memory { (Bound::Arithmetic, arithmetic) } else { (Bound::Memory, memory) }
    }
}

/// Seconds from the start of a fresh process to the losses of the first meta-iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FirstResult {
    /// With empty caches.
    pub cold: f64,
    /// With what the cold start left in the caches of driver and program.
    pub warm: f64,
}

/// Test tasks with the preset's steps and minibatches: drawn, predicted before and after adaptation, the scores brought back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Evaluated {
    /// Tasks at once: as many as an evaluation of 10,000 has.
    pub tasks: usize,
    /// Inner steps of a task.
    pub steps: usize,
    /// Examples of a minibatch.
    pub batch: usize,
    /// Floating-point operations of all their inner steps, counted as the training's; those of the predictions are not among them.
    pub flops: u64,
    /// Of these tasks.
    pub time: Timing,
}

impl Evaluated {
    /// Tasks in a second.
    pub fn tasks_per_second(&self) -> f64 {
        self.tasks as f64 / self.time.median
    }
}

/// The JSON schema of a report.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Report);
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}
