//! The device that everything runs on: one of our own, or the caller's.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use web_time::Instant;

use crate::error::{Error, Result};
use crate::gpu::adapters::{self, AdapterChoice};
use crate::gpu::error_scopes::ErrorScopes;
use crate::gpu::kernel::{Compiler, Kernel};
use crate::gpu::mirror::Mirrors;
use crate::gpu::options::GpuOptions;
use crate::gpu::profile::Profile;
use crate::gpu::source::Source;

/// How long a poll may take before the device counts as hung.
const POLL_TIMEOUT: Duration = Duration::from_secs(120);

/// Has the driver's cache of compiled pipelines, as long as a device is in use.
pub trait PipelineKeeper: Debug + Send + Sync {
    /// What pipelines are compiled with.
    fn cache(&self) -> &wgpu::PipelineCache;
}

/// A device, its queue and the kernels compiled for it. Clones share everything.
#[derive(Clone, Debug)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    profile: Profile,
    options: GpuOptions,
    kernels: Arc<Mutex<HashMap<Source, Arc<Kernel>>>>,
    pipelines: Option<Arc<dyn PipelineKeeper>>,
    variants: Arc<RwLock<Variants>>,
    scopes: Arc<ErrorScopes>,
    mirrors: Arc<Mirrors>,
    /// Whether kernels are compiled by [`Preparing`](crate::gpu::Preparing).
    defers: bool,
    /// Whether nobody else had the device before.
    requested: bool,
}

/// Kernel and shape: the variant that is the fastest on a device.
pub type Variants = BTreeMap<String, String>;

impl Gpu {
    /// Opens the adapter that `choice` names, with all the limits and optional features that
    /// kernel variants can use.
    ///
    /// # Errors
    /// [`Error::Adapter`] if there is no adapter, none matches, or it gives no device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn request(choice: &AdapterChoice, options: GpuOptions) -> Result<Self> {
        pollster::block_on(Self::request_async(choice, options))
    }

    /// The async twin of [`Gpu::request`], for browsers too.
    ///
    /// # Errors
    /// As [`Gpu::request`].
    pub async fn request_async(choice: &AdapterChoice, options: GpuOptions) -> Result<Self> {
        let entry = adapters::choose(choice).await?;
        let descriptor = Self::device_descriptor(&entry.adapter);
        let (device, queue) = entry.adapter.request_device(&descriptor).await.map_err(|error| {
            Error::Adapter(format!("{} gave no device: {error}", entry.info.name))
        })?;
        Ok(Self { requested: true, ..Self::from_existing(device, queue, options) })
    }

    /// What to ask `adapter` for so that no kernel runs in a slower variant than the device has: all its
    /// limits, and of its features those that kernels and measurements use. A program adds what it needs
    /// itself.
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        let wanted = wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::PIPELINE_CACHE;
        wgpu::DeviceDescriptor {
            label: Some("reptile"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        }
    }

    /// The same device, whose pipelines are compiled with the driver's cache that `keeper` has.
    pub fn with_pipelines(self, keeper: Arc<dyn PipelineKeeper>) -> Self {
        Self { pipelines: Some(keeper), ..self }
    }

    /// Uses a device that the caller owns. Only its enabled features and limits are used
    /// ([`Gpu::device_descriptor`] asks for all that help); the library never submits, polls or blocks on
    /// it unless a method says so.
    pub fn from_existing(device: wgpu::Device, queue: wgpu::Queue, options: GpuOptions) -> Self {
        let info = device.adapter_info();
        let profile = Profile::new(&info, device.features(), &device.limits(), &options);
        Self {
            device,
            queue,
            info,
            profile,
            options,
            kernels: Arc::default(),
            pipelines: None,
            variants: Arc::default(),
            scopes: Arc::default(),
            mirrors: Arc::default(),
            defers: false,
            requested: false,
        }
    }

    /// Ends `scope`: an error in it is the one that `error` makes of it. In a browser [`Gpu::settled`] has it.
    pub(super) fn end(
        &self,
        scope: wgpu::ErrorScopeGuard,
        error: impl FnOnce(wgpu::Error) -> Error + 'static,
    ) -> Result<()> {
        self.scopes.end(scope, error)
    }

    /// What `make` makes; what the device refuses in it, as one that is lost refuses everything, is an error and not the
    /// program's end.
    pub(crate) fn guarded<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        // A browser's scopes answer too late.
        if cfg!(target_arch = "wasm32") {
            return make();
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        let refused = self.end(scope, |error| Error::DeviceLost(error.to_string()));
        made.and_then(|made| refused.map(|()| made))
    }

    /// Waits in a browser for what the device says of the buffers and kernels that were made so far. Natively every call
    /// returns its errors itself.
    ///
    /// # Errors
    /// The first of them.
    pub async fn settled(&self) -> Result<()> {
        self.scopes.settled().await
    }

    /// Whether `other` is this device. Devices of several instances of wgpu may be equal to it, hence not that alone.
    pub fn is(&self, other: &Self) -> bool {
        let requested = self.requested && other.requested;
        self.device == other.device
            && self.info == other.info
            && (!requested || Arc::ptr_eq(&self.kernels, &other.kernels))
    }

    pub(super) fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Name, backend, driver and type of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The capability profile by which kernel variants are chosen.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How kernels are made here.
    pub fn options(&self) -> &GpuOptions {
        &self.options
    }

    /// The kernel of `source`, compiled at its first use. `dynamic` names the buffers whose offset is given at each dispatch.
    ///
    /// # Errors
    /// [`Error::Shader`] if the device refuses it, [`Error::Limit`] if it binds more buffers than the device allows.
    pub fn kernel(&self, source: &Source, dynamic: &[&str]) -> Result<Arc<Kernel>> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(source) {
            if !self.defers {
                self.compile(kernel)?;
            }
            return Ok(kernel.clone());
        }
        let kernel = Arc::new(Kernel::read(&self.compiler(), source, dynamic)?);
        if !self.defers {
            self.compile(&kernel)?;
        }
        kernels.insert(source.clone(), kernel.clone());
        Ok(kernel)
    }

    /// Compiles `kernel`, if it is not yet.
    pub(super) fn compile(&self, kernel: &Kernel) -> Result<()> {
        let start = Instant::now();
        kernel.compile(&self.compiler())?;
        log::debug!("{} compiled in {:?}", kernel.name(), start.elapsed());
        Ok(())
    }

    fn compiler(&self) -> Compiler<'_> {
        Compiler {
            device: &self.device,
            options: &self.options,
            cache: self.pipelines.as_ref().map(|keeper| keeper.cache()),
            scopes: &self.scopes,
        }
    }

    /// The same device; kernels are read and not compiled yet.
    pub(super) fn deferring(&self) -> Self {
        Self { defers: true, ..self.clone() }
    }

    /// Those that are not compiled yet.
    pub(super) fn waiting_kernels(&self) -> Vec<Arc<Kernel>> {
        let kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting: Vec<_> =
            kernels.values().filter(|kernel| !kernel.is_compiled()).cloned().collect();
        waiting.sort_by_key(|kernel| kernel.name());
        waiting
    }

    /// The variant that was found to be the fastest for `key`, which names a kernel and a shape.
    pub fn variant(&self, key: &str) -> Option<String> {
        self.variants.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All variants that were found to be the fastest.
    pub fn tuned_variants(&self) -> Variants {
        self.variants.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds to them; kernels that are recorded from now on take them.
    pub fn set_variants(&self, found: impl IntoIterator<Item = (String, String)>) {
        self.variants.write().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    /// Forgets the variant for `key`, so that the profile's default is taken.
    pub fn forget_variant(&self, key: &str) {
        self.variants.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Number of kernels compiled so far.
    pub fn pipelines(&self) -> usize {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Name and text of every kernel compiled so far, and of the same that reads mirrors, for tools that read WGSL.
    pub fn kernel_texts(&self) -> Vec<(&'static str, String)> {
        let kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |source: &Source| (source.name(), source.text(!self.options.rolled));
        let mirrored = kernels.keys().filter(|source| source.has_reads());
        let mirrored: Vec<Source> = mirrored.map(|source| source.clone().mirrored()).collect();
        kernels.keys().chain(&mirrored).map(text).collect()
    }

    /// Blocks until everything submitted so far has run.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device does not answer in time.
    pub fn wait(&self) -> Result<()> {
        self.poll(None)
    }

    /// Blocks until `submission` (or everything, without one) has run.
    pub(crate) fn poll(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if cfg!(target_arch = "wasm32") {
            let message = "a browser does not let programs wait; use the async twin of this method";
            return Err(Error::DeviceLost(message.into()));
        }
        let wait =
            wgpu::PollType::Wait { submission_index: submission, timeout: Some(POLL_TIMEOUT) };
        match self.device.poll(wait) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::DeviceLost(error.to_string())),
        }
    }
}
