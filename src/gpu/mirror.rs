//! Copies of buffers in textures. On Mesa's software driver a load from a storage texture that is only read takes a third
//! of the time of one from a buffer, and a copy from the buffer costs next to nothing (docs/kernels.md).

use std::collections::HashMap;
use std::sync::{Mutex, Weak};

use crate::gpu::profile::Profile;

/// Pixels of a row of a mirror, a power of two.
pub const MIRROR_WIDTH: u32 = 1024;

/// Bytes of a pixel: four numbers.
pub(super) const PIXEL: u64 = 16;

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
    pub(super) buffer: wgpu::Buffer,
    pub(super) texture: wgpu::Texture,
    pub(super) view: wgpu::TextureView,
    /// The buffer keeps what it holds, and was copied when the mirror was made.
    pub(super) fixed: bool,
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

/// The mirrors that recordings of a device hold, by numbers of their buffers and of what they are.
#[derive(Debug, Default)]
pub(super) struct Mirrors(pub(super) Mutex<HashMap<u64, Weak<Mirror>>>);
