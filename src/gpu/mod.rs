//! wgpu, and nothing of learning: adapters, the device, buffers, kernels, recordings, readback.

mod adapter_report;
mod adapters;
mod buffers;
mod context;
mod error_scopes;
mod kernel;
mod mirror;
mod mirrors;
mod options;
mod passes;
mod pending;
mod preparing;
mod profile;
mod recording;
mod reflection;
mod source;
mod submitting;
mod timestamps;
mod unroll;
mod variant;
mod waiting;
mod work;

pub use adapter_report::{AdapterReport, Limits};
#[cfg(not(target_arch = "wasm32"))]
pub use adapters::list_adapters;
pub use adapters::{AdapterChoice, AdapterEntry, list_adapters_async, no_adapter};
pub use buffers::{BufferList, Memory, size_of_f32s};
pub use context::{Gpu, PipelineKeeper, Variants};
pub use kernel::Kernel;
pub use mirror::{Loads, MIRROR_WIDTH, Mirror};
pub use options::GpuOptions;
pub use passes::Passes;
pub use pending::Pending;
pub use preparing::Preparing;
pub use profile::Profile;
pub use recording::{HeldDispatch, Offset, Part, Recording, Touched};
pub use reflection::{Access, Global, globals};
pub use source::{Constant, Element, Source};
pub use unroll::unroll;
pub use variant::VariantChoice;
pub(crate) use waiting::{Wait, now};
pub use work::Work;
