//! One file: from an image in any format that is read to packed pixels.

use std::io::{BufReader, Cursor};
use std::path::Path;

use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::data::decode;
use crate::data::stored_split::{ImageDigest, digest_of};
use crate::disk::read::{self, IMAGE};
use crate::error::{Error, Result};
use crate::tasks::{Background, ImagesSpec};

use super::source::{Layout, Source};

/// Smooth in both directions: an image that shrinks is averaged over, one that grows is blended.
const FILTER: FilterType = FilterType::Triangle;

/// Width and height of the image in `path` as it is to be seen, from its header.
pub(super) fn size(path: &Path) -> Result<[u32; 2]> {
    let reader = ImageReader::new(BufReader::new(read::open(path)?)).with_guessed_format();
    let decoder = reader.map_err(Error::io(path))?.into_decoder();
    let mut decoder = decoder.map_err(|error| Fault::from(error).at(path))?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok(if is_turned(orientation) { [height, width] } else { [width, height] })
}

/// Whether width and height change places.
fn is_turned(orientation: Orientation) -> bool {
    use Orientation as O;
    matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH)
}

/// Decodes `source`, whose file has this `digest`, and writes its images, resized where their size is another, to `packed`: bytes
/// `[C, H, W]`, four to a word, low ones first.
pub(super) fn decode(
    source: &Source,
    digest: &ImageDigest,
    layout: Layout,
    spec: &ImagesSpec,
    packed: &mut [u32],
) -> Result<()> {
    let path = &source.path;
    let bytes = read::bytes(path)?;
    let changed = || Error::data(path, "was changed while it was read; start again");
    if digest_of(&source.name(), &bytes) != *digest {
        return Err(changed());
    }
    let whole = whole(&bytes, path, spec)?;
    let words = packed.len() / source.images as usize;
    match layout {
        Layout::Folders => pack(&fit(&whole, spec.size), spec.channels, packed),
        Layout::Strips { width } => {
            if (whole.width(), whole.height()) != (width, width * source.images) {
                return Err(changed());
            }
            // One below the other: each is a part of the strip's bytes.
            let squares = whole.as_bytes().chunks_exact((width * width) as usize * spec.channels);
            for ((place, square), image) in (0..).zip(squares).zip(packed.chunks_exact_mut(words)) {
                if width as usize == spec.size {
                    pack(square, spec.channels, image);
                } else {
                    let square = whole.crop_imm(0, place * width, width, width);
                    pack(&fit(&square, spec.size), spec.channels, image);
                }
            }
        }
    }
    Ok(())
}

/// The image in the file at `path` as the network reads it: `[C, H, W]`, 0 to 1.
pub(super) fn numbers(path: &Path, spec: &ImagesSpec) -> Result<Vec<f32>> {
    let bytes = read::bytes(path)?;
    let pixels = fit(&whole(&bytes, path, spec)?, spec.size);
    let (channels, plane) = (spec.channels, pixels.len() / spec.channels);
    let number = |place: usize| f32::from(pixels[place % plane * channels + place / plane]) / 255.0;
    Ok((0..pixels.len()).map(number).collect())
}

/// The image in `bytes`, of the file at `path`, in the channels of `spec`.
fn whole(bytes: &[u8], path: &Path, spec: &ImagesSpec) -> Result<DynamicImage> {
    let whole = decoded(bytes, decode::limits()?).map_err(|fault| fault.at(path))?;
    // 16 bits become 8.
    let whole = on_background(whole, spec.background);
    Ok(match spec.channels {
        1 => DynamicImage::ImageLuma8(whole.into_luma8()),
        _ => DynamicImage::ImageRgb8(whole.into_rgb8()),
    })
}

/// Why an image is not read.
#[derive(Debug)]
enum Fault {
    /// It is damaged, cut, or no image at all.
    Broken(String),
    /// It needs more memory than an image may take.
    TooLarge,
    /// It is a kind of its format that is not read.
    Unsupported(String),
}

impl Fault {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Broken(why) => {
                Error::data(path, format!("cannot be decoded ({why}); fetch it again or remove it"))
            }
            Self::Unsupported(what) => Error::data(
                path,
                format!("is of a kind that is not read ({what}); convert it to PNG"),
            ),
            Self::TooLarge => {
                let most = IMAGE.bytes().unwrap_or(u64::MAX) >> 20;
                let message = format!(
                    "takes more than {most} MiB of memory; shrink it, or set {} to a larger number",
                    IMAGE.variable
                );
                Error::data(path, message)
            }
        }
    }
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            ImageError::Unsupported(error) => Self::Unsupported(error.to_string()),
            error => Self::Broken(error.to_string()),
        }
    }
}

/// Decodes an image, turned as its EXIF data say.
fn decoded(bytes: &[u8], limits: Limits) -> Result<DynamicImage, Fault> {
    let mut decoder = decoder(bytes, limits)?;
    // Metadata that cannot be read turn nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The decoder of an image; what it is follows from its content, not its name.
fn decoder(bytes: &[u8], mut limits: Limits) -> Result<impl ImageDecoder + '_, Fault> {
    let broken = |why: &str| Fault::Broken(why.into());
    let format = image::guess_format(bytes)
        .map_err(|_| broken("is neither PNG, JPEG, WebP, BMP, TIFF nor GIF"))?;
    let bytes = match format {
        ImageFormat::Jpeg => {
            // Phones put films and depth maps behind the end of the image.
            let end = jpeg_end(bytes).ok_or_else(|| broken("the end of the image is missing"))?;
            &bytes[..end]
        }
        _ => bytes,
    };
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    // The reader refuses headers that ask for more memory than an image can need.
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    Ok(decoder)
}

/// Where the first image of a JPEG file ends; none if its end is missing (the decoder fills what is missing
/// with grey). Walks from marker to marker (ITU-T T.81, annex B): segments say how long they are, and in the coded
/// data behind a start of scan a marker is a byte FF before any but 00 (a stuffed FF), FF (fill) and D0 to D7 (restarts).
fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        // Decoders pass over what lies between segments.
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xFF)?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xD9 => return Some(at + 2),
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]);
                at += 2 + usize::from(length);
                if marker == 0xDA {
                    let is_marker =
                        |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF | 0xD0..=0xD7);
                    at += bytes.get(at..)?.windows(2).position(is_marker)?;
                }
            }
        }
    }
}

/// `image` without transparency: laid on `background`, in the values of the pixels as they are (as browsers do).
fn on_background(image: DynamicImage, background: Background) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let Background(below) = background;
    let image = image.into_rgba8();
    let laid = RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        let mix = |above: u32, below: u8| {
            ((above * alpha + u32::from(below) * (255 - alpha) + 127) / 255) as u8
        };
        image::Rgb([mix(red, below[0]), mix(green, below[1]), mix(blue, below[2])])
    });
    DynamicImage::ImageRgb8(laid)
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
