//! Images in a folder with `train`, `test` and perhaps `val`, in one of two layouts:
//!
//! | layout | a class is | an image is |
//! |---|---|---|
//! | folders | `train/CLASS/` | a PNG, JPEG, WebP, BMP, TIFF or GIF of any size in it |
//! | strips | `train/CLASS.png` | a square of the strip: as wide as it, one below the other |
//!
//! Or any images, with lists `train.csv`, `test.csv` and perhaps `val.csv` beside them (`csv_split`).
//!
//! All images are brought to one size and kind. What is resized is kept in the user's cache folder.

mod csv_split;
mod files;
mod layout;
mod photos;
mod picture;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::image_cache::{self, ImageCache};
use crate::data::left_out::LeftOut;
use crate::data::names::listed;
use crate::data::stored_split::{ImageDigest, digest_of};
use crate::data::{DataSet, Reading, data_folder, decode};
use crate::disk::cache::cache_folder;
use crate::disk::read;
use crate::error::Result;
use crate::tasks::{
    Bits, ImageClass, ImageSet, ImagesSpec, Split, SplitClass, SplitPart, TestClasses,
};

pub use photos::{Photos, class_folders, photos};
use source::{Class, Layout, Listing, Source};

/// Changes with what is done to an image.
const VERSION: &str = "2";

/// Reads the data set that `spec` names; `progress` hears of the files looked at and their number, and then, where they
/// are decoded, of the images.
///
/// Classes are sorted by part and name, their images by name (a strip's by place), so the numbers
/// of images do not depend on the file system.
///
/// # Errors
/// [`crate::Error::Data`] for missing, damaged or foreign files, with the files, and for classes and images that are
/// not those of the stored split; [`crate::Error::Config`] for more classes or images a task than there are;
/// [`crate::Error::Limit`] for a set of more words than the device can count.
pub fn read(
    spec: &ImagesSpec,
    reading: Reading<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<DataSet> {
    let cache = cache_folder().filter(|_| !reading.uncached);
    read_cached(spec, reading, cache.as_deref(), progress)
}

/// As [`read`], with the folder of the cache, if there is one.
fn read_cached(
    spec: &ImagesSpec,
    reading: Reading<'_>,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<DataSet> {
    let content = "train, test and perhaps val";
    let folder = data_folder::find(spec.data.as_deref(), spec.set.as_deref(), content)?;
    let mut needed = reading.parts.to_vec();
    if reading.stored.is_none() {
        // A split is drawn from what is there.
        needed.push(SplitPart::Train);
    }
    if spec.test_classes == TestClasses::Train {
        needed.retain(|part| *part != SplitPart::Test);
    }
    let listing = layout::find(&folder, &needed, spec.test_classes)?;
    let mut notes = notes(&listing, &folder);
    let mut split = split(&listing, spec);
    let mut missing = Vec::new();
    if let Some(restored) = reading.restore(&split.images, 1, &split.test, &folder, &mut notes)? {
        ([split.train, split.val, split.test], missing) = restored;
    }
    // Before the decoding, which may take minutes.
    split.check(&spec.episodes, reading.parts)?;
    let sources: Vec<&Source> = listing.classes.iter().flat_map(|c| &c.sources).collect();
    let files = digests(&sources, &folder, progress)?;
    let of_images: Vec<ImageDigest> = sources
        .iter()
        .zip(&files)
        .flat_map(|(source, digest)| std::iter::repeat_n(*digest, source.images as usize))
        .collect();
    let bits = (spec.size as u128).pow(2).saturating_mul(8 * spec.channels as u128);
    let mut packed = decode::room(split.images.files.len(), bits)?;
    let words = split.images.words_per_image();
    let exact = matches!(listing.layout, Layout::Strips { width } if width as usize == spec.size);
    let cache = cache.filter(|_| !exact);
    let cache = cache.map(|cache| {
        let contents = contents(&listing, &files, spec);
        ImageCache::new(cache, &folder, [spec.channels, spec.size], contents)
    });
    let kept = cache.as_ref().is_some_and(|cache| cache.load(&mut packed, &mut []));
    if !kept {
        let jobs: Vec<(&Source, ImageDigest)> =
            sources.iter().copied().zip(files.clone()).collect();
        decode::on_all_cores(
            &jobs,
            |(source, _)| source.images as usize * words,
            (&mut packed, words),
            &folder,
            || Ok(()),
            |(), (source, digest), packed| {
                picture::decode(source, digest, listing.layout, spec, packed)
            },
            progress,
        )?;
        if let Some(cache) = cache {
            cache.store(&packed, &[]);
        }
    }
    split.images.words = packed;
    let total = split.images.len() as u64;
    progress(total, total);
    reading.finish(split, &of_images, missing, &folder, notes)
}

/// A hash of the layout, of every file's name and bytes, and of what is done to them.
fn contents(listing: &Listing, digests: &[ImageDigest], spec: &ImagesSpec) -> String {
    let layout: &[u8] = match listing.layout {
        Layout::Folders => b"folders",
        Layout::Strips { .. } => b"strips",
    };
    let mut parts = vec![VERSION.as_bytes(), &spec.background.0, layout];
    let mut files = digests.iter();
    for class in &listing.classes {
        parts.extend([class.part.name().as_bytes(), class.name.as_bytes()]);
        parts.extend(files.by_ref().take(class.sources.len()).map(|digest| digest.as_slice()));
    }
    image_cache::hash(parts)
}

/// The digest of every file.
fn digests(
    sources: &[&Source],
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<ImageDigest>> {
    const WORDS: usize = size_of::<ImageDigest>() / 4;
    let mut words = vec![0; sources.len() * WORDS];
    decode::on_all_cores(
        sources,
        |_| WORDS,
        (&mut words, WORDS),
        folder,
        || Ok(()),
        |(), source, digest| {
            let bytes = read::bytes(&source.path)?;
            let own = digest_of(&source.name(), &bytes);
            bytemuck::cast_slice_mut(digest).copy_from_slice(&own);
            Ok(())
        },
        // A bar that was full would be gone when decoding begins.
        &mut |done, total| progress(done, total + 1),
    )?;
    Ok(bytemuck::cast_slice(&words).to_vec())
}

/// A line a part: its classes and images, and what was left out of it.
fn notes(listing: &Listing, folder: &Path) -> Vec<String> {
    let one = |(part, left): &(SplitPart, LeftOut)| {
        let classes: Vec<&Class> =
            listing.classes.iter().filter(|class| class.part == *part).collect();
        let images: u64 =
            classes.iter().flat_map(|class| &class.sources).map(|it| u64::from(it.images)).sum();
        let (name, count) = (part.name(), classes.len());
        let kinds = kinds(&classes);
        format!("{name}: {count} classes, {images} images{kinds}{}", left.words(folder))
    };
    let mut notes: Vec<String> = listing.left_out.iter().map(one).collect();
    if !listing.others.is_empty() {
        let names: Vec<_> = listing.others.iter().filter_map(|path| path.file_name()).collect();
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        notes.push(format!("not read, beside train, val and test: {}", listed(&names)));
    }
    notes
}

/// « (12 png, 6 webp)»: how many files of each kind the classes have, where there are several kinds.
fn kinds(classes: &[&Class]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for source in classes.iter().flat_map(|class| &class.sources) {
        let extension =
            source.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        *counts.entry(extension).or_default() += 1;
    }
    if counts.len() < 2 {
        return String::new();
    }
    let all: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!(" ({})", all.join(", "))
}

/// The classes of `listing`, without their pixels.
fn split(listing: &Listing, spec: &ImagesSpec) -> Split {
    let mut images = ImageSet {
        width: spec.size,
        height: spec.size,
        channels: spec.channels,
        bits: Bits::Eight,
        words: Vec::new(),
        classes: Vec::new(),
        files: Vec::new(),
    };
    let [mut train, mut val, mut test] = [const { Vec::new() }; 3];
    for class in &listing.classes {
        let part = match class.part {
            SplitPart::Train => &mut train,
            SplitPart::Val => &mut val,
            SplitPart::Test => &mut test,
        };
        part.push(SplitClass { class: images.classes.len(), rotation: 0 });
        let first_image = images.files.len() as u32;
        for source in &class.sources {
            match listing.layout {
                Layout::Folders => images.files.push(source.name()),
                Layout::Strips { .. } => {
                    images.files.extend((0..source.images).map(|place| place.to_string()));
                }
            }
        }
        let count = images.files.len() as u32 - first_image;
        images.classes.push(ImageClass { name: class.name.clone(), first_image, images: count });
    }
    if spec.test_classes == TestClasses::Train && test.is_empty() {
        test.clone_from(&train);
    }
    Split { images, train, val, test }
}
