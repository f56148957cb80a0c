//! Copies of buffers in textures. On Mesa's software driver a load from a storage texture that is only read takes a third
//! of the time of one from a buffer, and a copy from the buffer costs next to nothing (docs/kernels.md).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::profile::Profile;

/// Pixels of a row of a mirror, a power of two.
pub const MIRROR_WIDTH: u32 = 1024;

/// Bytes of a pixel: four numbers.
const PIXEL: u64 = 16;

/// Where kernels read arrays that they don't write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loads {
    /// In the buffers.
    Buffers,
    /// In mirrors of them.
    Mirrors,
}

impl Loads {
    /// What a measurement of [`Loads`] is known by.
    pub const KEY: &'static str = "loads";

    /// The default of a profile.
    pub(crate) fn of(profile: &Profile) -> Self {
        if profile.mirrors { Self::Mirrors } else { Self::Buffers }
    }
}

/// A texture that a buffer is copied to.
#[derive(Debug)]
pub struct Mirror {
    buffer: wgpu::Buffer,
    texture: wgpu::Texture,
    view: wgpu::TextureView,
}

impl Mirror {
    /// The format of one that holds words, or floats.
    pub(super) fn format(words: bool) -> wgpu::TextureFormat {
        if words { wgpu::TextureFormat::Rgba32Uint } else { wgpu::TextureFormat::Rgba32Float }
    }

    /// Bytes of the mirror of a buffer of `bytes`.
    pub fn bytes(bytes: u64) -> u64 {
        bytes.next_multiple_of(PIXEL * u64::from(MIRROR_WIDTH))
    }

    /// The buffer.
    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// What a kernel binds.
    pub fn view(&self) -> &wgpu::TextureView {
        &self.view
    }

    /// Copies the buffer as it is.
    pub(super) fn copy(&self, encoder: &mut wgpu::CommandEncoder) {
        let pixels = self.buffer.size() / PIXEL;
        let width = u64::from(MIRROR_WIDTH);
        let (rows, rest) = ((pixels / width) as u32, (pixels % width) as u32);
        let mut copy = |first_row: u32, width: u32, rows: u32| {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: u64::from(first_row) * PIXEL * u64::from(MIRROR_WIDTH),
                bytes_per_row: Some(PIXEL as u32 * MIRROR_WIDTH),
                rows_per_image: None,
            };
            let mut target = self.texture.as_image_copy();
            target.origin.y = first_row;
            let size = wgpu::Extent3d { width, height: rows, depth_or_array_layers: 1 };
            let source = wgpu::TexelCopyBufferInfo { buffer: &self.buffer, layout };
            encoder.copy_buffer_to_texture(source, target, size);
        };
        if rows > 0 {
            copy(0, MIRROR_WIDTH, rows);
        }
        if rest > 0 {
            copy(rows, rest, 1);
        }
    }
}

/// The mirrors that recordings of a device hold, by their buffers.
#[derive(Debug, Default)]
pub(super) struct Mirrors(Mutex<HashMap<(u64, bool), Weak<Mirror>>>);

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

    /// The mirror of `buffer`, of `words` (else of floats): one for all that are recorded while one of them is there.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room for it.
    pub fn mirror(&self, buffer: &wgpu::Buffer, words: bool) -> Result<Arc<Mirror>> {
        let mut mirrors = self.mirrors().0.lock().unwrap_or_else(PoisonError::into_inner);
        // A mirror holds its buffer: while there is one, no other buffer has the same number.
        let key = (BuildHasherDefault::<DefaultHasher>::default().hash_one(buffer), words);
        let found = mirrors.get(&key).and_then(Weak::upgrade);
        if let Some(mirror) = found.filter(|mirror| mirror.buffer == *buffer) {
            return Ok(mirror);
        }
        mirrors.retain(|_, mirror| mirror.strong_count() > 0);
        let mirror = Arc::new(self.new_mirror(buffer, words)?);
        mirrors.insert(key, Arc::downgrade(&mirror));
        Ok(mirror)
    }

    fn new_mirror(&self, buffer: &wgpu::Buffer, words: bool) -> Result<Mirror> {
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
        Ok(Mirror { buffer: buffer.clone(), texture, view })
    }
}
