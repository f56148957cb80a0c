//! Image sets as they lie in device memory, and splits of their classes.

use crate::error::{Error, Result};

/// Bits of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    One,
    Eight,
}

impl Bits {
    /// The number.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Eight => 8,
        }
    }
}

/// One class: consecutive images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageClass {
    pub name: String,
    pub first_image: u32,
    pub images: u32,
}

/// Images of one size, packed: pixel p (`[C, H, W]`, row-major) takes bits p · `bits` … of its image,
/// low bits of a word first; every image starts with a fresh word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub bits: Bits,
    pub words: Vec<u32>,
    pub classes: Vec<ImageClass>,
}

impl ImageSet {
    /// Pixels of an image, channels counted.
    pub fn pixels(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Words of an image.
    pub fn words_per_image(&self) -> usize {
        (self.pixels() * self.bits.count()).div_ceil(32)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.words.len() / self.words_per_image()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Pixel `index` of `image` turned counter-clockwise by `rotation` quarter turns, in 0..=1: what
    /// `shaders/gather_images.wgsl` reads.
    ///
    /// # Panics
    /// If there is no such pixel or image.
    pub fn pixel(&self, image: usize, rotation: u8, index: usize) -> f32 {
        let (width, height) = (self.width, self.height);
        let (plane, row, column) =
            (index / (height * width), index / width % height, index % width);
        let (row, column) = match rotation {
            1 => (column, width - 1 - row),
            2 => (height - 1 - row, width - 1 - column),
            3 => (height - 1 - column, row),
            _ => (row, column),
        };
        let place = (plane * height + row) * width + column;
        let bits = self.bits.count();
        let word = self.words[image * self.words_per_image() + place * bits / 32];
        let largest = (1_u32 << bits) - 1;
        (word >> (place * bits % 32) & largest) as f32 / largest as f32
    }

    /// Checks that tasks of `way` classes with `examples` images each can be drawn from `classes`.
    ///
    /// # Errors
    /// [`Error::Config`] that names both numbers.
    pub fn check(&self, classes: &[SplitClass], way: usize, examples: usize) -> Result<()> {
        if classes.len() < way {
            let message =
                format!("{way} classes a task, but there are only {}; lower it", classes.len());
            return Err(Error::config("tasks.way", message));
        }
        for class in classes {
            let class = &self.classes[class.class];
            if (class.images as usize) < examples {
                let message = format!(
                    "a task needs {examples} images of a class (support and query), but {} has {}; \
                     lower tasks.shots, tasks.train_shots or tasks.queries",
                    class.name, class.images
                );
                return Err(Error::config("tasks.shots", message));
            }
        }
        Ok(())
    }
}

/// A class of a split: a class of the image set, turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitClass {
    /// Index into [`ImageSet::classes`].
    pub class: usize,
    /// Counter-clockwise quarter turns.
    pub rotation: u8,
}

/// An image set with its training and test classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub images: ImageSet,
    pub train: Vec<SplitClass>,
    pub test: Vec<SplitClass>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 2×2 image with one white pixel at the top right, and its negative.
    fn set() -> ImageSet {
        ImageSet {
            width: 2,
            height: 2,
            channels: 1,
            bits: Bits::One,
            words: vec![0b0010, 0b1101],
            classes: vec![ImageClass { name: "corner".into(), first_image: 0, images: 2 }],
        }
    }

    #[test]
    fn rotations_are_counter_clockwise() {
        let set = set();
        let turned = |rotation| -> Vec<f32> { (0..4).map(|i| set.pixel(0, rotation, i)).collect() };
        assert_eq!(turned(0), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(turned(1), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(turned(2), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(turned(3), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(set.pixel(1, 0, 1), 0.0);
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn bytes_become_shares_of_255() {
        let set = ImageSet { bits: Bits::Eight, words: vec![0xFF_80_40_00], ..set() };
        let pixels: Vec<f32> = (0..4).map(|i| set.pixel(0, 0, i)).collect();
        assert_eq!(pixels, [0.0, 64.0 / 255.0, 128.0 / 255.0, 1.0]);
    }

    #[test]
    fn too_few_classes_or_images_are_refused() {
        let set = set();
        let classes = [SplitClass { class: 0, rotation: 0 }];
        assert!(set.check(&classes, 1, 2).is_ok());
        let text = set.check(&classes, 5, 2).unwrap_err().to_string();
        assert!(text.contains("tasks.way") && text.contains('5'), "{text}");
        let text = set.check(&classes, 1, 3).unwrap_err().to_string();
        assert!(text.contains("corner") && text.contains('3'), "{text}");
    }
}
