//! An image set in device memory.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Wait, now};
use crate::kernels::{ImageShape, noise};
use crate::meta::checks;
use crate::tasks::{ImageSet, Split, SplitClass, SplitPart};

/// The images that one part of a split needs, and the table of its classes.
#[derive(Debug, PartialEq, Eq)]
struct Packed {
    words: Vec<u32>,
    /// [classes]: (first image with its rotation in the two high bits, images).
    classes: Vec<[u32; 2]>,
    /// Where the classes' images are in the set, and the first of each here.
    places: Vec<(Range<u32>, u32)>,
}

impl Packed {
    fn new(set: &ImageSet, classes: &[SplitClass]) -> Self {
        let mut firsts: BTreeMap<usize, u32> = BTreeMap::new();
        let mut packed = Self { words: Vec::new(), classes: Vec::new(), places: Vec::new() };
        for class in classes {
            let own = &set.classes[class.class];
            let first = *firsts.entry(class.class).or_insert_with(|| {
                let first = (packed.words.len() / set.words_per_image()) as u32;
                let images = own.first_image..own.first_image + own.images;
                let words = [images.start, images.end].map(|i| i as usize * set.words_per_image());
                packed.words.extend_from_slice(&set.words[words[0]..words[1]]);
                packed.places.push((images, first));
                first
            });
            packed.classes.push([first | u32::from(class.rotation) << 30, own.images]);
        }
        packed
    }
}

/// Finds image `image` of the set in a part.
fn place(places: &[(Range<u32>, u32)], image: u32) -> Option<u32> {
    let (range, first) = places.iter().find(|(range, _)| range.contains(&image))?;
    Some(first + image - range.start)
}

/// One part of a split in device memory.
#[derive(Clone, Debug)]
pub(super) struct DevicePart {
    /// [images, words of an image].
    pub words: wgpu::Buffer,
    /// [classes]: (first image with its rotation in the two high bits, images).
    pub classes: wgpu::Buffer,
    /// Number of classes.
    pub count: usize,
    /// Images of the class that has the fewest.
    fewest: usize,
    places: Vec<(Range<u32>, u32)>,
}

impl DevicePart {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.places.iter().map(|(range, _)| range.len()).sum()
    }

    /// Number of classes, and images of the class that has the fewest.
    pub fn classes_and_fewest(&self) -> (usize, usize) {
        (self.count, self.fewest)
    }
}

/// An image set in device memory, each part of its split by itself, since one binding has to hold
/// what tasks are drawn from.
#[derive(Debug)]
pub struct DeviceImages {
    pub(super) shape: ImageShape,
    train: DevicePart,
    val: Option<DevicePart>,
    test: DevicePart,
}

impl DeviceImages {
    /// Uploads the images of `split`.
    ///
    /// # Errors
    /// [`Error::Limit`] if a part does not fit into one binding, [`Error::Config`] if the split names classes or images
    /// that the set has not.
    pub fn new(gpu: &Gpu, split: &Split) -> Result<Self> {
        let set = &split.images;
        check(split)?;
        let part = |part: SplitPart| -> Result<DevicePart> {
            let packed = Packed::new(set, split.classes(part));
            let bytes = size_of_val(packed.words.as_slice()) as u64;
            let available = gpu.profile().largest_binding;
            if bytes > available {
                return Err(Error::Limit {
                    unit: "bytes",
                    what: format!("the {} part of the image set", part.name()),
                    needed: bytes,
                    available,
                    remedy: "lower tasks.size or give fewer classes".into(),
                });
            }
            Ok(DevicePart {
                words: gpu.storage_with("images", &packed.words)?,
                classes: gpu.storage_with("classes", &packed.classes)?,
                count: packed.classes.len(),
                fewest: packed
                    .classes
                    .iter()
                    .map(|[_, images]| *images as usize)
                    .min()
                    .unwrap_or(0),
                places: packed.places,
            })
        };
        let train = part(SplitPart::Train)?;
        let test = match split.test == split.train {
            true => train.clone(),
            false => part(SplitPart::Test)?,
        };
        Ok(Self {
            shape: ImageShape {
                channels: set.channels,
                height: set.height,
                width: set.width,
                bits: set.bits.count(),
                words_per_image: set.words_per_image(),
            },
            train,
            val: (!split.val.is_empty()).then(|| part(SplitPart::Val)).transpose()?,
            test,
        })
    }

    /// Random images, drawn on the device: `classes` classes of `per_class` images each, the same in
    /// every part. A benchmark needs no data set.
    ///
    /// # Errors
    /// [`Error::Limit`] if they do not fit into one binding, [`Error::Config`] for an impossible shape and for no images,
    /// [`Error::DeviceLost`].
    pub fn noise(gpu: &Gpu, shape: ImageShape, classes: usize, per_class: usize) -> Result<Self> {
        now(Self::noise_by(Wait::Blocking, gpu, shape, [classes, per_class]))
    }

    /// The async twin of [`DeviceImages::noise`].
    ///
    /// # Errors
    /// As [`DeviceImages::noise`].
    pub async fn noise_async(
        gpu: &Gpu,
        shape: ImageShape,
        classes: usize,
        per_class: usize,
    ) -> Result<Self> {
        Self::noise_by(Wait::Awaiting, gpu, shape, [classes, per_class]).await
    }

    async fn noise_by(
        wait: Wait,
        gpu: &Gpu,
        shape: ImageShape,
        [classes, per_class]: [usize; 2],
    ) -> Result<Self> {
        checks::counted("the pixels of an image", &shape.sides())?;
        checks::counted("the images of a set", &[classes, per_class])?;
        let bits = shape.sides().iter().product::<usize>() * shape.bits;
        let (possible, words) = ([1, 8].contains(&shape.bits), bits.div_ceil(32));
        if !possible || bits == 0 || shape.words_per_image != words || classes * per_class == 0 {
            let message = format!(
                "{classes} classes of {per_class} images of {shape:?}; give 1 or more of each, 1 or 8 bits a pixel and \
                 as many words as they take"
            );
            return Err(Error::config("images", message));
        }
        checks::allocatable("images", &[classes, per_class, words])?;
        let words = classes * per_class * shape.words_per_image;
        let buffer = gpu.storage("images", 4 * words as u64)?;
        let mut recording = Recording::default();
        noise(gpu, &mut recording, 0, words, &buffer)?;
        recording.run_times_by(wait, gpu, 1).await?;
        let table: Vec<[u32; 2]> =
            (0..classes).map(|class| [(class * per_class) as u32, per_class as u32]).collect();
        let table = gpu.storage_with("classes", &table)?;
        let part = || DevicePart {
            words: buffer.clone(),
            classes: table.clone(),
            count: classes,
            fewest: per_class,
            places: vec![(0..(classes * per_class) as u32, 0)],
        };
        Ok(Self { shape, train: part(), val: None, test: part() })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let test = Some(&self.test).filter(|test| test.words != self.train.words);
        let parts = [Some(&self.train), self.val.as_ref(), test];
        parts.into_iter().flatten().map(|part| part.words.size() + part.classes.size()).sum()
    }

    /// The number by which kernels know image `image` of the set in tasks of `part`; none if no
    /// class of that part has it.
    pub fn number(&self, part: SplitPart, image: u32) -> Option<u32> {
        place(&self.part(part).places, image)
    }

    /// What tasks of `part` are drawn from, see [`Split::classes`].
    pub(super) fn part(&self, part: SplitPart) -> &DevicePart {
        match part {
            SplitPart::Train => &self.train,
            SplitPart::Val => self.val.as_ref().unwrap_or(&self.train),
            SplitPart::Test => &self.test,
        }
    }
}

/// Refuses a split that names classes, images or turns that its set has not.
fn check(split: &Split) -> Result<()> {
    let set = &split.images;
    let refuse = |message: String| Err(Error::config("images", message));
    checks::counted("the pixels of an image", &[set.channels, set.height, set.width])?;
    if set.pixels() == 0 {
        return refuse("an image has no pixels; give its sides and channels".into());
    }
    for part in [&split.train, &split.val, &split.test] {
        for own in part {
            let Some(class) = set.classes.get(own.class) else {
                let message = format!(
                    "a part names class {}, but there are {}",
                    own.class,
                    set.classes.len()
                );
                return refuse(message);
            };
            let end = u64::from(class.first_image) + u64::from(class.images);
            if end > set.len() as u64 {
                let message = format!(
                    "class {} has images up to {end}, but the set holds {}",
                    class.name,
                    set.len()
                );
                return refuse(message);
            }
            if own.rotation > 3 || (own.rotation % 2 == 1 && set.width != set.height) {
                let message = format!(
                    "class {} is turned by {} quarters; give 0 to 3, and for images that are not square 0 or 2",
                    class.name, own.rotation
                );
                return refuse(message);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Bits, ImageClass};

    fn set() -> ImageSet {
        let class =
            |name: &str, first_image, images| ImageClass { name: name.into(), first_image, images };
        ImageSet {
            width: 2,
            height: 2,
            channels: 1,
            bits: Bits::Eight,
            words: vec![10, 11, 12, 13, 14, 15],
            classes: vec![class("a", 0, 2), class("b", 2, 3), class("c", 5, 1)],
            files: Vec::new(),
        }
    }

    #[test]
    fn splits_of_other_sets_are_refused() {
        let split = |images: ImageSet, class, rotation| {
            let train = vec![SplitClass { class, rotation }];
            Split { images, train, val: Vec::new(), test: Vec::new() }
        };
        assert!(check(&split(set(), 2, 3)).is_ok());
        let mut few = set();
        few.words.pop();
        let wide = ImageSet { width: 4, height: 1, ..set() };
        let none = ImageSet { width: 0, ..set() };
        for (split, part) in [
            (split(set(), 3, 0), "class 3"),
            (split(few, 2, 0), "up to 6, but the set holds 5"),
            (split(set(), 0, 4), "turned by 4"),
            (split(wide, 0, 1), "not square"),
            (split(none, 0, 0), "no pixels"),
        ] {
            let text = check(&split).unwrap_err().to_string();
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_part_holds_its_own_images_once() {
        let set = set();
        let turned = |class, rotation| SplitClass { class, rotation };
        let packed = Packed::new(&set, &[turned(2, 0), turned(0, 0), turned(2, 1), turned(0, 3)]);
        assert_eq!(packed.words, [15, 10, 11]);
        assert_eq!(packed.classes, [[0, 1], [1, 2], [1 << 30, 1], [1 | 3 << 30, 2]]);
        let places: Vec<_> = (0..6).map(|image| place(&packed.places, image)).collect();
        assert_eq!(places, [Some(1), Some(2), None, None, None, Some(0)]);
    }
}
