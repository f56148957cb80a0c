//! Buffers, counted before they are made.

use crate::error::{Error, Result};
use crate::gpu::context::Gpu;
use crate::gpu::mirror::{Loads, Mirror};

/// Bytes of `count` floats.
pub const fn size_of_f32s(count: usize) -> u64 {
    (count as u64).saturating_mul(4)
}

/// Bytes of a buffer that holds `bytes`: at least 16, and a multiple of it.
fn rounded(bytes: u64) -> u64 {
    bytes.max(16).checked_next_multiple_of(16).unwrap_or(u64::MAX)
}

/// What a job will allocate: named sizes, checked against the device before anything is made.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    entries: Vec<(&'static str, u64)>,
    /// Bytes of mirrors, where kernels read them.
    mirrors: Option<u64>,
}

impl Memory {
    /// What a job on `gpu` will allocate; [`Memory::default`] is without mirrors.
    pub fn on(gpu: &Gpu) -> Self {
        let mirrors = (gpu.loads() == Loads::Mirrors).then_some(0);
        Self { entries: Vec::new(), mirrors }
    }

    /// Says that kernels read a buffer of `bytes` as well as write it, hence its mirror, where they read mirrors.
    pub fn read(&mut self, bytes: u64) {
        if let (Some(mirrors), true) = (&mut self.mirrors, bytes > 0) {
            *mirrors = mirrors.saturating_add(Mirror::bytes(bytes));
        }
    }

    /// Adds a buffer of `bytes`, rounded up to what the device takes.
    pub fn add(&mut self, name: &'static str, bytes: u64) {
        self.entries.push((name, rounded(bytes)));
    }

    /// Bytes of all buffers and mirrors.
    pub fn total(&self) -> u64 {
        let mirrors = self.mirrors.unwrap_or(0);
        self.entries.iter().fold(mirrors, |sum: u64, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Bytes of the largest buffer.
    pub fn largest(&self) -> u64 {
        self.entries.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// Refuses a job with a buffer that the device cannot bind.
    ///
    /// # Errors
    /// [`Error::Limit`] with the needed and the available bytes; `remedy` says for a buffer's name which
    /// settings to lower.
    pub fn check(&self, gpu: &Gpu, remedy: impl Fn(&str) -> &'static str) -> Result<()> {
        let available = gpu.profile().largest_binding;
        match self.entries.iter().find(|(_, bytes)| *bytes > available) {
            None => Ok(()),
            Some((name, needed)) => Err(Error::Limit {
                unit: "bytes",
                what: format!("the buffer of {name}"),
                needed: *needed,
                available,
                remedy: remedy(name).to_string(),
            }),
        }
    }
}

/// Storage buffers by their names, with their sizes in floats: what a budget adds up is what is allocated.
#[derive(Clone, Copy, Debug)]
pub struct BufferList<const N: usize>(pub [(&'static str, usize); N]);

impl<const N: usize> BufferList<N> {
    /// Adds them to `memory`.
    pub fn plan(&self, memory: &mut Memory) {
        self.0.iter().for_each(|(name, floats)| memory.add(name, size_of_f32s(*floats)));
    }

    /// Makes them, zeroed.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for one.
    pub fn allocate(&self, gpu: &Gpu) -> Result<[wgpu::Buffer; N]> {
        let made: Vec<wgpu::Buffer> = self
            .0
            .iter()
            .map(|(name, floats)| gpu.storage(name, size_of_f32s(*floats)))
            .collect::<Result<_>>()?;
        Ok(made.try_into().expect("as many as there are names"))
    }
}

impl Gpu {
    /// A storage buffer of `bytes`, zeroed, that can be copied from and to.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for it.
    pub fn storage(&self, name: &'static str, bytes: u64) -> Result<wgpu::Buffer> {
        use wgpu::BufferUsages as Usage;
        self.buffer(name, bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
    }

    /// A buffer of `bytes` (rounded up to 16) for `usage`.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for it.
    pub fn buffer(
        &self,
        name: &'static str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let size = rounded(bytes);
        let limit = move |available| Error::Limit {
            unit: "bytes",
            what: format!("the buffer of {name}"),
            needed: size,
            available,
            remedy: "lower the number of tasks or runs".to_string(),
        };
        let largest = self.device().limits().max_buffer_size;
        if size > largest {
            return Err(limit(largest));
        }
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.end(scope, move |_| limit(0))?;
        Ok(buffer)
    }

    /// A storage buffer that holds `values`.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has no room for it.
    pub fn storage_with<T: bytemuck::Pod>(
        &self,
        name: &'static str,
        values: &[T],
    ) -> Result<wgpu::Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let buffer = self.storage(name, bytes.len() as u64)?;
        self.queue().write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }
}
