//! One file: from PNG or JPEG to packed pixels.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader};

use crate::error::{Error, Result};
use crate::tasks::spec::ImagesSpec;

use super::layout::{Layout, Source};

/// Smooth in both directions: an image that shrinks is averaged over, one that grows is blended.
const FILTER: FilterType = FilterType::Triangle;

/// Width and height of the image in `path`, from its header.
pub(super) fn size(path: &Path) -> Result<[u32; 2]> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let size = reader.map_err(Error::io(path))?.into_dimensions();
    size.map(|(width, height)| [width, height]).map_err(|error| broken(path, &error))
}

/// Decodes `source` and writes its images, resized where their size is another, to `packed`: bytes
/// `[C, H, W]`, four to a word, low ones first.
pub(super) fn decode(
    source: &Source,
    layout: Layout,
    spec: &ImagesSpec,
    packed: &mut [u32],
) -> Result<()> {
    let path = &source.path;
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let whole = read(&bytes).map_err(|error| broken(path, &error))?;
    // Transparent pixels keep their colour, 16 bits become 8.
    let whole = match spec.channels {
        1 => DynamicImage::ImageLuma8(whole.into_luma8()),
        _ => DynamicImage::ImageRgb8(whole.into_rgb8()),
    };
    let words = packed.len() / source.images as usize;
    match layout {
        Layout::Folders => pack(&fit(&whole, spec.size), spec.channels, packed),
        Layout::Strips { width } => {
            if (whole.width(), whole.height()) != (width, width * source.images) {
                return Err(Error::data(path, "was changed while it was read; start again"));
            }
            for (place, image) in (0..source.images).zip(packed.chunks_exact_mut(words)) {
                let square = whole.crop_imm(0, place * width, width, width);
                pack(&fit(&square, spec.size), spec.channels, image);
            }
        }
    }
    Ok(())
}

/// Decodes an image; what it is follows from its content, not its name.
fn read(bytes: &[u8]) -> Result<DynamicImage, String> {
    // The reader refuses headers that ask for more memory than an image can need.
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|error| error.to_string())?;
    match reader.format() {
        Some(ImageFormat::Jpeg) if !is_whole_jpeg(bytes) => {
            return Err("the end of the image is missing".into());
        }
        Some(ImageFormat::Jpeg | ImageFormat::Png) => {}
        _ => return Err("is neither PNG nor JPEG".into()),
    }
    reader.decode().map_err(|error| error.to_string())
}

/// Whether an end of image comes after the last scan (the decoder fills what is missing with grey).
/// Inside a scan neither marker can occur.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last([0xFF, 0xD9]) > last([0xFF, 0xDA])
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::data(path, format!("cannot be decoded ({error}); fetch it again or remove it"))
}

/// The bytes `[size, size, C]` of `image`.
fn fit(image: &DynamicImage, size: usize) -> Vec<u8> {
    let size = size as u32;
    if (image.width(), image.height()) == (size, size) {
        return image.as_bytes().to_vec();
    }
    image.resize_exact(size, size, FILTER).into_bytes()
}

/// Writes bytes `[H, W, C]` as `[C, H, W]`, four to a word, to words that are zero.
fn pack(pixels: &[u8], channels: usize, words: &mut [u32]) {
    let plane = pixels.len() / channels;
    for (index, pixel) in pixels.chunks_exact(channels).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            let place = channel * plane + index;
            words[place / 4] |= u32::from(*value) << (8 * (place % 4));
        }
    }
}
