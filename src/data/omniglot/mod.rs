//! Omniglot: from its two zips, or the folders extracted from them, to an image set and a split.

mod archive;
mod split;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use crate::data::image_cache::{self, ImageCache};
use crate::data::left_out::LeftOut;
use crate::data::stored_split::ImageDigest;
use crate::data::{DataSet, Reading, data_folder, decode};
use crate::disk::cache::cache_folder;
use crate::error::{Error, Result};
use crate::tasks::{Bits, ImageClass, ImageSet, OmniglotSpec, Split, SplitClass};

use archive::{Member, Part};

/// The parts that the data set comes in.
const PARTS: [&str; 2] = ["images_background", "images_evaluation"];

/// Reads the data set that `spec` names and splits it; `progress` hears of the images read and
/// their number.
///
/// Characters are sorted by alphabet and name over both parts. Without a stored split or class lists they are
/// shuffled with `split_seed` and the first `train_count` are for training: the reference implementation's
/// recipe, but with this crate's own random numbers, so the split is not the one of Python's
/// `random` with the same seed.
///
/// # Errors
/// [`Error::Data`] for missing, truncated, doubled or foreign files, for the class lists, and for characters and
/// drawings that are not those of the stored split; [`Error::Config`] for an impossible split or size;
/// [`Error::Limit`] for a set of more words than the device can count.
pub fn read(
    spec: &OmniglotSpec,
    reading: Reading<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<DataSet> {
    let cache = cache_folder().filter(|_| !reading.uncached);
    read_cached(spec, reading, cache.as_deref(), progress)
}

/// As [`read`], with the folder of the cache, if there is one.
fn read_cached(
    spec: &OmniglotSpec,
    reading: Reading<'_>,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<DataSet> {
    let content = "images_background.zip and images_evaluation.zip (or the extracted folders)";
    let folder = data_folder::find(spec.data.as_deref(), Some("omniglot"), content)?;
    let parts = parts(&folder)?;
    let (mut members, mut notes) = (Vec::new(), Vec::new());
    for (part, source) in parts.iter().enumerate() {
        let mut left = LeftOut::default();
        let own = source.members(&mut left)?;
        let characters: BTreeSet<(&str, &str)> = own.iter().map(Member::class).collect();
        let (name, count, images) = (source.name, characters.len(), own.len());
        if source.path().is_file() && folder.join(name).is_dir() {
            notes.push(format!("{name}.zip is read, the folder {name} beside it is not"));
        }
        notes.push(format!(
            "{name}: {count} characters, {images} images{}",
            left.words(source.path())
        ));
        members.extend(own.into_iter().map(|member| (part, member)));
    }
    // Alphabets over both parts, then characters, then drawings.
    members.sort_by(|(part_a, a), (part_b, b)| {
        (a.class(), part_a, &a.file, &a.path).cmp(&(b.class(), part_b, &b.file, &b.path))
    });
    refuse_doubles(&members, &parts)?;
    let classes = classes(&members, &parts);
    if classes.is_empty() {
        return Err(Error::data(&folder, "holds no images of the form Alphabet/characterNN/*.png"));
    }
    let images = ImageSet {
        width: spec.size,
        height: spec.size,
        channels: 1,
        bits: Bits::One,
        words: Vec::new(),
        classes,
        files: members.iter().map(|(_, member)| member.file.clone()).collect(),
    };
    let rotations = if spec.rotations { 4 } else { 1 };
    let stored = reading.stored.is_some();
    let (classes, missing) = match reading.restore(&images, rotations, &[], &folder, &mut notes)? {
        Some(restored) => restored,
        None => {
            let (train, test) = split::split(spec, &images.classes, &folder)?;
            let turned =
                |rotation| train.iter().map(move |class| SplitClass { class: *class, rotation });
            let test = test.into_iter().map(|class| SplitClass { class, rotation: 0 });
            ([(0..rotations).flat_map(turned).collect(), Vec::new(), test.collect()], Vec::new())
        }
    };
    let [train, val, test] = classes;
    if !stored {
        notes.push(format!(
            "split: {} characters to train on{}, {} to test on",
            train.len() / usize::from(rotations),
            if spec.rotations { ", each in four rotations" } else { "" },
            test.len()
        ));
    }
    let mut split = Split { images, train, val, test };
    // Before the decoding.
    split.check(&spec.episodes, reading.parts)?;
    let (words, digests) = images_of(&parts, &members, spec.size, &folder, cache, progress)?;
    split.images.words = words;
    reading.finish(split, &digests, missing, &folder, notes)
}

/// The parts that are there, at least one.
fn parts(folder: &Path) -> Result<Vec<Part>> {
    let found: Vec<Part> = PARTS.iter().filter_map(|name| Part::find(folder, name)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let message = format!(
        "holds no Omniglot: neither {0}.zip nor {1}.zip nor the folders {0} and {1} are there",
        PARTS[0], PARTS[1]
    );
    Err(Error::data(folder, message))
}

/// A data set that lies in its place twice would show a task's support images again as queries.
fn refuse_doubles(members: &[(usize, Member)], parts: &[Part]) -> Result<()> {
    let same = |pair: &&[(usize, Member)]| {
        let [(part_a, a), (part_b, b)] = pair else { return false };
        (part_a, a.class(), &a.file) == (part_b, b.class(), &b.file)
    };
    let Some(pair) = members.windows(2).find(same) else { return Ok(()) };
    let [(part, a), (_, b)] = pair else { return Ok(()) };
    let message = format!("holds an image twice, as {} and {}; keep one copy", a.path, b.path);
    Err(Error::data(parts[*part].path(), message))
}

/// Consecutive members of one character become a class named `part/Alphabet/character`.
fn classes(members: &[(usize, Member)], parts: &[Part]) -> Vec<ImageClass> {
    let mut classes: Vec<ImageClass> = Vec::new();
    for (index, (part, member)) in members.iter().enumerate() {
        let name = format!("{}/{}/{}", parts[*part].name, member.alphabet, member.character);
        match classes.last_mut() {
            Some(last) if last.name == name => last.images += 1,
            _ => classes.push(ImageClass { name, first_image: index as u32, images: 1 }),
        }
    }
    classes
}

/// Changes with what is done to an image.
const VERSION: &str = "1";

/// The images of all members and the digests of their files, in the members' order: decoded, or, of zips that were
/// read before, from the folder `cache`.
fn images_of(
    parts: &[Part],
    members: &[(usize, Member)],
    size: usize,
    folder: &Path,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Vec<u32>, Vec<ImageDigest>)> {
    if size == 0 {
        return Err(Error::config("tasks.size", "0 is too small; give 1 or more"));
    }
    let zips = || -> Result<Option<Vec<ImageDigest>>> { parts.iter().map(Part::digest).collect() };
    let Some((cache, zips_before)) = cache.zip(zips()?) else {
        return decode_all(parts, members, size, folder, progress);
    };
    let cache = cache_of(cache, folder, size, &zips_before, members);
    let mut words = decode::room(members.len(), size as u128 * size as u128)?;
    let mut digests = vec![ImageDigest::default(); members.len()];
    if cache.load(&mut words, &mut digests) {
        let all = members.len() as u64;
        progress(all, all);
        return Ok((words, digests));
    }
    let (words, digests) = decode_all(parts, members, size, folder, progress)?;
    // Of what was changed meanwhile, nothing is kept.
    if zips()? == Some(zips_before) {
        cache.store(&words, &digests);
    }
    Ok((words, digests))
}

/// The place of the images `[1, size, size]` of these members, in their order, of zips with these digests in `folder`.
fn cache_of(
    cache: &Path,
    folder: &Path,
    size: usize,
    zips: &[ImageDigest],
    members: &[(usize, Member)],
) -> ImageCache {
    let zips = zips.iter().map(|zip| zip.as_slice());
    let names = members.iter().map(|(_, member)| member.path.as_bytes());
    let contents = std::iter::once(VERSION.as_bytes()).chain(zips).chain(names);
    ImageCache::new(cache, folder, [1, size], image_cache::hash(contents))
}

/// Decodes all members; the results are in the members' order.
fn decode_all(
    parts: &[Part],
    members: &[(usize, Member)],
    size: usize,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Vec<u32>, Vec<ImageDigest>)> {
    let mut packed = decode::room(members.len(), size as u128 * size as u128)?;
    let words = packed.len() / members.len();
    let digests: Vec<OnceLock<ImageDigest>> = members.iter().map(|_| OnceLock::new()).collect();
    let jobs: Vec<_> = members.iter().zip(&digests).collect();
    decode::on_all_cores(
        &jobs,
        |_| words,
        (&mut packed, words),
        folder,
        || parts.iter().map(Part::open).collect::<Result<Vec<_>>>(),
        |readers, ((part, member), digest), image| {
            let own = readers[*part].decode(member, size, image)?;
            digest.set(own).expect("each member is decoded once");
            Ok(())
        },
        progress,
    )?;
    let digests = digests.into_iter().map(|digest| digest.into_inner().expect("all are decoded"));
    Ok((packed, digests.collect()))
}
