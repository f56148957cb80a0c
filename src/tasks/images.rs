//! Image sets as they lie in device memory, and splits of their classes.

use crate::error::{Error, Result};
use crate::tasks::part::SplitPart;
use crate::tasks::spec::EpisodeSpec;

/// Bits of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// A pixel is 0 or 1.
    One,
    /// A pixel is a byte b, which kernels read as b / 255.
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
    /// Name of its folder or strip; for Omniglot the path, such as `images_background/Alphabet/character01`.
    pub name: String,
    /// Number of its first image in the set.
    pub first_image: u32,
    /// How many images it has.
    pub images: u32,
}

/// Images of one size, packed: pixel p (`[C, H, W]`, row-major) takes bits p · `bits` … of its image,
/// low bits of a word first; every image starts with a fresh word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// Pixels along a row.
    pub width: usize,
    /// Pixels along a column.
    pub height: usize,
    /// Channels C: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Bits of a pixel.
    pub bits: Bits,
    /// `[images, words of an image]`: the packed pixels.
    pub words: Vec<u32>,
    /// All classes, in the order of their images.
    pub classes: Vec<ImageClass>,
    /// Each image's file in its class (a number for a strip of images), as
    /// [`ImageSet::image_number`] knows it; may be empty.
    pub files: Vec<String>,
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

    /// Number of images; 0 where an image has no pixels.
    pub fn len(&self) -> usize {
        self.words.len().checked_div(self.words_per_image()).unwrap_or(0)
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

    /// The number of the image `file` of the class named `class`: for Omniglot `0001_01.png` of
    /// `images_background/Alphabet/character01`, for a folder of images the file's name, for a strip
    /// the image's place in it (`17`). None if there is no such image.
    pub fn image_number(&self, class: &str, file: &str) -> Option<u32> {
        let class = self.classes.iter().position(|found| found.name == class)?;
        let place = self.files_of(class).iter().position(|found| found == file)?;
        Some(self.classes[class].first_image + place as u32)
    }

    /// The files of class `class` (an index), in the order of its images; empty if the set does not
    /// know them, or has no such class.
    pub fn files_of(&self, class: usize) -> &[String] {
        let Some(class) = self.classes.get(class) else { return &[] };
        let first = class.first_image as usize;
        self.files.get(first..first + class.images as usize).unwrap_or_default()
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

/// An image set with its training, validation and test classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The images of all parts.
    pub images: ImageSet,
    /// Classes of training tasks.
    pub train: Vec<SplitClass>,
    /// May be empty: validation tasks then come from the training classes.
    pub val: Vec<SplitClass>,
    /// Classes of test tasks; may be empty if none are drawn.
    pub test: Vec<SplitClass>,
}

impl Split {
    /// The classes that tasks of `part` are drawn from.
    pub fn classes(&self, part: SplitPart) -> &[SplitClass] {
        match part {
            SplitPart::Val if !self.val.is_empty() => &self.val,
            SplitPart::Train | SplitPart::Val => &self.train,
            SplitPart::Test => &self.test,
        }
    }

    /// Checks that tasks of the sizes of `episodes` can be drawn from each of `parts`; the others will not be
    /// drawn from.
    ///
    /// # Errors
    /// [`Error::Config`] that names both numbers.
    pub fn check(&self, episodes: &EpisodeSpec, parts: &[SplitPart]) -> Result<()> {
        parts.iter().try_for_each(|part| self.check_part(*part, episodes))
    }

    fn check_part(&self, part: SplitPart, episodes: &EpisodeSpec) -> Result<()> {
        let (classes, way, name) = (self.classes(part), episodes.way, part.name());
        let (examples, key, sum) = match part {
            SplitPart::Train => (episodes.train_shots, "tasks.train_shots", ""),
            _ => (episodes.test_examples(), "tasks.shots", " (tasks.shots and tasks.queries)"),
        };
        // Validation tasks of a data set without a part for them.
        let lent = part == SplitPart::Val && self.val.is_empty();
        let (whose, remedy) = match (lent, part) {
            (true, _) => (
                "; there is no `val`, so validation tasks come from the training classes",
                ", or set eval.every = 0",
            ),
            (false, SplitPart::Val) => ("", ", or set eval.every = 0"),
            (false, SplitPart::Test) => {
                ("", " (a trained run: in the configuration of another data set)")
            }
            _ => ("", ""),
        };
        if part == SplitPart::Test && classes.is_empty() {
            let message = "the data set has no part to draw test tasks from; add one, or test in the configuration of \
                           another data set";
            return Err(Error::config("tasks", message));
        }
        if classes.len() < way {
            let message = format!(
                "{way} classes a task, but there are only {} to draw {name} tasks from{whose}; lower it{remedy}",
                classes.len(),
            );
            return Err(Error::config("tasks.way", message));
        }
        for class in classes {
            let Some(class) = self.images.classes.get(class.class) else {
                let message = format!(
                    "the {name} part names class {}, but there are {}; split the set anew",
                    class.class,
                    self.images.classes.len()
                );
                return Err(Error::config("tasks", message));
            };
            if (class.images as usize) < examples {
                let message = format!(
                    "a {name} task needs {examples} images of a class{sum}, but {} has {}{whose}; lower it{remedy}",
                    class.name, class.images
                );
                return Err(Error::config(key, message));
            }
        }
        Ok(())
    }
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
            files: vec!["a.png".into(), "b.png".into()],
        }
    }

    #[test]
    fn a_set_without_pixels_is_empty() {
        assert_eq!(ImageSet { width: 0, ..set() }.len(), 0);
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
    fn images_are_found_by_class_and_file() {
        let mut set = set();
        assert_eq!(set.image_number("corner", "b.png"), Some(1));
        assert_eq!(set.image_number("corner", "c.png"), None);
        assert_eq!(set.image_number("other", "b.png"), None);
        set.files.clear();
        assert_eq!(set.image_number("corner", "b.png"), None);
    }

    #[test]
    fn too_few_classes_or_images_are_refused() {
        let classes = vec![SplitClass { class: 0, rotation: 0 }];
        let mut split =
            Split { images: set(), train: classes.clone(), val: Vec::new(), test: classes };
        let sizes = |way, train_shots, shots| EpisodeSpec { way, shots, train_shots, queries: 1 };
        let all = &SplitPart::ALL;
        let text = |split: &Split, sizes| split.check(&sizes, all).unwrap_err().to_string();
        assert!(split.check(&sizes(1, 2, 1), all).is_ok());
        let few = text(&split, sizes(5, 2, 1));
        assert!(few.contains("tasks.way") && few.contains('5'), "{few}");
        for sizes in [sizes(1, 3, 1), sizes(1, 1, 2)] {
            let few = text(&split, sizes);
            assert!(few.contains("corner") && few.contains('3'), "{few}");
        }
        let other = vec![SplitClass { class: 7, rotation: 0 }];
        let other = Split { train: other, ..split.clone() };
        assert!(text(&other, sizes(1, 1, 1)).contains("names class 7"));
        assert!(other.images.files_of(7).is_empty());
        assert!(
            split.check(&sizes(1, 1, 2), &[SplitPart::Train]).is_ok(),
            "no other is drawn from"
        );
        let lent = split.check(&sizes(1, 1, 2), &[SplitPart::Val]).unwrap_err().to_string();
        for part in ["tasks.shots", "there is no `val`", "training classes", "eval.every"] {
            assert!(lent.contains(part), "{lent}");
        }
        assert_eq!(split.classes(SplitPart::Val), split.train);
        split.test.clear();
        assert!(text(&split, sizes(1, 2, 1)).contains("test"));
    }
}
