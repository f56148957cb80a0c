//! The mirrors that a device has: made when a kernel is recorded that reads one, shared by all that do.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, PoisonError, Weak};

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::mirror::{Loads, MIRROR_WIDTH, Mirror, PIXEL};

impl Gpu {
    /// Where kernels that are recorded from now on read.
    pub fn loads(&self) -> Loads {
        match self.variant(Loads::KEY).as_deref() {
            Some("mirrors") if self.profile().mirrors => Loads::Mirrors,
            Some("buffers") => Loads::Buffers,
            _ => Loads::of(self.profile()),
        }
    }

    /// Whether a buffer of `bytes` can have a mirror.
    pub fn can_mirror(&self, bytes: u64) -> bool {
        Mirror::bytes(bytes) / (PIXEL * u64::from(MIRROR_WIDTH))
            <= u64::from(self.device().limits().max_texture_dimension_2d)
    }

    /// The mirror of `buffer`, of `words` (else of floats): one for all that are recorded while one of them is there. That of a
    /// `fixed` buffer, which keeps what it holds, is copied here and never again.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room for it.
    pub fn mirror(&self, buffer: &wgpu::Buffer, words: bool, fixed: bool) -> Result<Arc<Mirror>> {
        let mut mirrors = self.mirrors().0.lock().unwrap_or_else(PoisonError::into_inner);
        // A mirror holds its buffer: while there is one, no other buffer has the same number.
        let key = BuildHasherDefault::<DefaultHasher>::default().hash_one((buffer, words, fixed));
        let found = mirrors.get(&key).and_then(Weak::upgrade);
        if let Some(mirror) = found.filter(|mirror| mirror.buffer == *buffer) {
            return Ok(mirror);
        }
        mirrors.retain(|_, mirror| mirror.strong_count() > 0);
        let mirror = Arc::new(self.new_mirror(buffer, words, fixed)?);
        if fixed {
            let mut encoder = self.device().create_command_encoder(&Default::default());
            mirror.copy(&mut encoder);
            self.submit(encoder.finish());
        }
        mirrors.insert(key, Arc::downgrade(&mirror));
        Ok(mirror)
    }

    fn new_mirror(&self, buffer: &wgpu::Buffer, words: bool, fixed: bool) -> Result<Mirror> {
        let bytes = Mirror::bytes(buffer.size());
        let height = (bytes / PIXEL) as u32 / MIRROR_WIDTH;
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let texture = self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("mirror"),
            size: wgpu::Extent3d { width: MIRROR_WIDTH, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: Mirror::format(words),
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        self.end(scope, move |_| crate::error::Error::Limit {
            unit: "bytes",
            what: "a copy of a buffer that kernels read".into(),
            needed: bytes,
            available: 0,
            remedy: "lower the number of tasks or runs".into(),
        })?;
        let view = texture.create_view(&Default::default());
        Ok(Mirror { buffer: buffer.clone(), texture, view, fixed })
    }
}
