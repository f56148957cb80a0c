//! The split that a run was trained on, by the names of its classes, with a digest of what they hold: so that nothing
//! is ever tested on what it was trained with, wherever the data lies by then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::data::names::{count, listed};
use crate::data::stored_arrays::{Normalization, StoredArrays};
use crate::error::{Error, Result};
use crate::tasks::{ImageClass, ImageSet, Split, SplitClass};

/// SHA-256 of one image's file and its name.
pub(super) type ImageDigest = [u8; 32];

/// Digits of a class's digest, and of an image's mark.
const DIGEST: usize = 16;
const MARK: usize = 8;

/// One class of a stored split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredClass {
    /// As in [`ImageClass::name`].
    pub name: String,
    /// The first hexadecimal digits of the SHA-256 of its images' digests, in their order.
    digest: String,
    /// The first digits of each image's digest, one after another: they tell which images changed.
    marks: String,
}

/// The classes of each part of a split, in the order in which tasks are drawn from them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSplit {
    train: Vec<StoredClass>,
    val: Vec<StoredClass>,
    test: Vec<StoredClass>,
    /// Of tasks over arrays, which have no named classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrays: Option<StoredArrays>,
    /// The text of functions that draw tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    functions: Option<String>,
}

/// The digest of an image: its name and the bytes of its file.
pub(super) fn digest_of(name: &str, bytes: &[u8]) -> ImageDigest {
    let mut hash = Sha256::new();
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
    hash.update(bytes);
    hash.finalize().into()
}

impl StoredClass {
    fn of(class: &ImageClass, digests: &[ImageDigest]) -> Self {
        let own = of_class(class, digests);
        let mut hash = Sha256::new();
        own.iter().for_each(|digest| hash.update(digest));
        Self {
            name: class.name.clone(),
            digest: hex(&hash.finalize(), DIGEST),
            marks: own.iter().map(|digest| hex(digest, MARK)).collect(),
        }
    }

    /// Images that it had.
    fn images(&self) -> usize {
        self.marks.len() / MARK
    }

    /// The files of `class` that are not as they were stored, and how many stored ones are gone.
    fn changes(&self, class: &ImageClass, set: &ImageSet, digests: &[ImageDigest]) -> Changes {
        let own = of_class(class, digests);
        if own.len() > 1 && own.iter().all(|digest| *digest == own[0]) {
            // The squares of a strip have the digest of its file.
            let files = vec![format!("{} (its strip)", class.name)];
            return Changes { files, gone: 0, class: class.name.clone() };
        }
        let marks: Vec<String> = own.iter().map(|digest| hex(digest, MARK)).collect();
        let stored: BTreeSet<&str> = (0..self.images())
            .filter_map(|image| self.marks.get(image * MARK..(image + 1) * MARK))
            .collect();
        let first = class.first_image as usize;
        let files = marks.iter().enumerate().filter(|(_, mark)| !stored.contains(mark.as_str()));
        let files = files.map(|(place, _)| match set.files.get(first + place) {
            Some(file) => format!("{}/{file}", class.name),
            None => format!("{}, image {place}", class.name),
        });
        let there: BTreeSet<&str> = marks.iter().map(String::as_str).collect();
        let gone = stored.iter().filter(|mark| !there.contains(**mark)).count();
        Changes { files: files.collect(), gone, class: class.name.clone() }
    }
}

/// What differs in a class.
struct Changes {
    class: String,
    files: Vec<String>,
    gone: usize,
}

impl Changes {
    fn names(self) -> Vec<String> {
        match (self.files.is_empty(), self.gone) {
            (false, _) => self.files,
            (true, 0) => vec![format!("{}: the order of its images", self.class)],
            (true, 1) => vec![format!("{}: 1 image is gone", self.class)],
            (true, gone) => vec![format!("{}: {gone} images are gone", self.class)],
        }
    }
}

fn of_class<'a>(class: &ImageClass, digests: &'a [ImageDigest]) -> &'a [ImageDigest] {
    &digests[class.first_image as usize..][..class.images as usize]
}

impl StoredSplit {
    /// The split `split`, whose images have these digests.
    pub(super) fn of(split: &Split, digests: &[ImageDigest]) -> Self {
        let part = |classes: &[SplitClass]| {
            // Turned classes are those of the first rotation once more.
            let own = classes.iter().filter(|class| class.rotation == 0);
            own.map(|class| StoredClass::of(&split.images.classes[class.class], digests)).collect()
        };
        Self {
            train: part(&split.train),
            val: part(&split.val),
            test: part(&split.test),
            ..Self::default()
        }
    }

    /// What is kept of arrays.
    pub(super) fn of_arrays(arrays: StoredArrays) -> Self {
        Self { arrays: Some(arrays), ..Self::default() }
    }

    /// What is kept of arrays, where tasks are over such.
    pub fn arrays(&self) -> Option<&StoredArrays> {
        self.arrays.as_ref()
    }

    /// How inputs are normalised, if they are.
    pub fn normalization(&self) -> Option<&Normalization> {
        self.arrays.as_ref().and_then(StoredArrays::normalization)
    }

    /// What is kept of functions in WGSL: their text.
    pub(super) fn of_functions(text: String) -> Self {
        Self { functions: Some(text), ..Self::default() }
    }

    /// The text of the functions, where tasks are drawn by such.
    pub(super) fn functions(&self) -> Option<&str> {
        self.functions.as_deref()
    }

    /// What of it holds for tasks over other arrays too: how inputs are normalised.
    pub fn of_other_arrays(&self) -> Option<Self> {
        self.arrays.as_ref().map(|arrays| Self::of_arrays(arrays.of_others()))
    }

    /// Test classes of `other` that are training classes here, by their names or their images.
    pub fn trained_on<'a>(&self, other: &'a Self) -> Vec<&'a str> {
        let names: BTreeSet<&str> = self.train.iter().map(|class| class.name.as_str()).collect();
        let images: BTreeSet<&str> = self.train.iter().map(|it| it.digest.as_str()).collect();
        let both = |class: &&StoredClass| {
            names.contains(class.name.as_str()) || images.contains(class.digest.as_str())
        };
        other.test.iter().filter(both).map(|class| class.name.as_str()).collect()
    }

    /// As a file or a field of a checkpoint holds it.
    ///
    /// # Panics
    /// Never: names are text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a split is plain data")
    }

    /// Reads what [`StoredSplit::to_json`] wrote.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let split: Self =
            serde_json::from_str(text).map_err(|error| format!("the stored split: {error}"))?;
        let damaged = |class: &&StoredClass| {
            !(class.marks.is_ascii() && class.marks.len().is_multiple_of(MARK))
        };
        if let Some(class) = split.parts().into_iter().flatten().find(damaged) {
            return Err(format!("the stored split: the marks of `{}` are damaged", class.name));
        }
        Ok(split)
    }

    fn parts(&self) -> [&Vec<StoredClass>; 3] {
        [&self.train, &self.val, &self.test]
    }

    /// The classes of `images` that the three parts name, training classes turned `rotations` times, and which
    /// stored names are missing.
    pub(super) fn classes(
        &self,
        images: &ImageSet,
        rotations: u8,
    ) -> ([Vec<SplitClass>; 3], Vec<String>) {
        let index: BTreeMap<&str, usize> = images
            .classes
            .iter()
            .enumerate()
            .map(|(index, class)| (class.name.as_str(), index))
            .collect();
        let mut missing = Vec::new();
        let mut found = |classes: &[StoredClass]| -> Vec<usize> {
            let one = |class: &StoredClass| {
                let place = index.get(class.name.as_str()).copied();
                if place.is_none() {
                    missing.push(class.name.clone());
                }
                place
            };
            classes.iter().filter_map(one).collect()
        };
        let [train, val, test] = self.parts().map(|classes| found(classes));
        let turned =
            |rotation| train.iter().map(move |class| SplitClass { class: *class, rotation });
        let plain = |classes: &[usize]| -> Vec<SplitClass> {
            classes.iter().map(|class| SplitClass { class: *class, rotation: 0 }).collect()
        };
        ([(0..rotations).flat_map(turned).collect(), plain(&val), plain(&test)], missing)
    }

    /// Classes of `images` that the split does not know: they came later.
    pub(super) fn unknown<'a>(&self, images: &'a ImageSet) -> Vec<&'a str> {
        let known: BTreeSet<&str> =
            self.parts().into_iter().flatten().map(|class| class.name.as_str()).collect();
        let names = images.classes.iter().map(|class| class.name.as_str());
        names.filter(|name| !known.contains(name)).collect()
    }

    /// The images, by class and file, that are not what they were.
    pub(super) fn changed(&self, images: &ImageSet, digests: &[ImageDigest]) -> Vec<String> {
        let index: BTreeMap<&str, &ImageClass> =
            images.classes.iter().map(|class| (class.name.as_str(), class)).collect();
        let classes = self.parts().into_iter().flatten();
        let differs = classes.filter_map(|stored| {
            let class = index.get(stored.name.as_str())?;
            let same = StoredClass::of(class, digests).digest == stored.digest;
            (!same).then(|| stored.changes(class, images, digests).names())
        });
        differs.flatten().collect()
    }
}

/// The error of a data set in `folder` that is not the one that the run was trained on.
pub(super) fn refuse(folder: &Path, missing: &[String], changed: &[String]) -> Error {
    let mut parts = Vec::new();
    if !missing.is_empty() {
        let count = count(missing.len(), "class is", "classes are");
        parts.push(format!("{count} missing: {}", listed(missing)));
    }
    if !changed.is_empty() {
        let count = count(changed.len(), "image", "images");
        parts.push(format!("{count} changed: {}", listed(changed)));
    }
    Error::data(
        folder,
        format!(
            "is not what the run was trained on: {}; give the folder with the same images, or go on all the same \
             with what is there",
            parts.join("; ")
        ),
    )
}

/// The first `digits` hexadecimal digits of `bytes`.
fn hex(bytes: &[u8], digits: usize) -> String {
    bytes.iter().take(digits / 2).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "stored_split_tests.rs"]
mod tests;
