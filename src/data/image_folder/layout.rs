//! Which files a data set consists of.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::data::left_out::{LeftOut, Reason};
use crate::data::names::Entry;
use crate::error::{Error, Result};
use crate::tasks::{SplitPart, TestClasses};

use super::files::{FORMATS, has_extension, utf8, visible};
use super::source::{Class, Layout, Listing, Source, WITHOUT};
use super::{csv_split, picture};

/// What allows training classes in the test part.
const ALLOWED: &str = ", or set tasks.test_classes = \"train\"";

/// Pixels of the largest strip that is decoded.
const LARGEST: u64 = 1 << 27;

/// Lists the data set in `folder`, which must hold the `needed` parts.
pub(super) fn find(folder: &Path, needed: &[SplitPart], test: TestClasses) -> Result<Listing> {
    if let Some(mut listing) = csv_split::find(folder, needed)? {
        tell_apart(&mut listing.classes, test);
        refuse_doubles(&listing.classes)?;
        return Ok(listing);
    }
    let mut first: Option<(PathBuf, bool)> = None;
    let mut classes = Vec::new();
    let mut left_out = Vec::new();
    let mut read = Vec::new();
    for part in SplitPart::ALL {
        let Some(path) = part_folder(folder, part)? else {
            if part == SplitPart::Val || !needed.contains(&part) {
                continue;
            }
            return Err(missing_part(folder, part));
        };
        read.push(path.clone());
        let mut left = LeftOut::default();
        let (own, folders) = classes_of(part, &path, &mut left)?;
        classes.extend(own);
        left_out.push((part, left));
        let (other, kind) = first.get_or_insert_with(|| (path.clone(), folders));
        if *kind != folders {
            let message = format!("has another layout than {}; keep to one", other.display());
            return Err(Error::data(path, message));
        }
    }
    tell_apart(&mut classes, test);
    refuse_doubles(&classes)?;
    let folders = first.is_some_and(|(_, folders)| folders);
    let layout = if folders { Layout::Folders } else { measure(&mut classes)? };
    let mut others = visible(folder)?;
    others.retain(|path| !read.contains(path));
    Ok(Listing { layout, classes, left_out, others })
}

/// The folder of a part, by any of its names.
fn part_folder(folder: &Path, part: SplitPart) -> Result<Option<PathBuf>> {
    let names: &[&str] = match part {
        SplitPart::Val => &["val", "valid", "validation"],
        _ => &[part.name()],
    };
    let mut found = Vec::new();
    for path in names.iter().map(|name| folder.join(name)) {
        if path.is_dir() {
            found.push(path);
        } else if path.exists() || path.is_symlink() {
            let message = "is no folder, nor a link to one; mend it, or remove it to go without";
            return Err(Error::data(path, message));
        }
    }
    if let [first, second, ..] = &found[..] {
        let message = format!("and {} are both there; keep one", second.display());
        return Err(Error::data(first, message));
    }
    Ok(found.pop())
}

/// The error of a folder without `part`, with where it may be instead.
fn missing_part(folder: &Path, part: SplitPart) -> Error {
    let message = format!(
        "holds no folder `{}`; images lie in the folders train, test and perhaps val, as \
         train/CLASS/*.png (or jpg, webp, bmp, tiff, gif), or as strips of square images train/CLASS.png{}",
        part.name(),
        if part == SplitPart::Test { WITHOUT } else { "" }
    );
    let below = visible(folder).unwrap_or_default().into_iter();
    let mut deeper = below.filter(|path| path.join(part.name()).is_dir());
    match (deeper.next(), deeper.next()) {
        (Some(only), None) => {
            let remedy = format!("; {} has it: give that one", only.display());
            Error::data(folder, message + &remedy)
        }
        _ => Error::data(folder, message),
    }
}

/// The classes in the folder of a part, and whether they are folders. A strip's images are not
/// counted yet.
fn classes_of(part: SplitPart, folder: &Path, left: &mut LeftOut) -> Result<(Vec<Class>, bool)> {
    let Entries { folders, strips, others } = entries(folder, left)?;
    let message = match (folders.is_empty(), strips.is_empty()) {
        (true, true) => "holds neither folders of images nor PNG strips",
        (false, false) => "holds both folders of images and PNG strips",
        (true, false) => {
            others.iter().for_each(|path| left.add(Reason::format_of(path), path));
            let class = |path: PathBuf| -> Result<Class> {
                let name = utf8(path.file_stem(), &path)?;
                Ok(Class { part, name, sources: vec![Source { path, images: 0 }] })
            };
            return Ok((strips.into_iter().map(class).collect::<Result<_>>()?, false));
        }
        (false, true) => {
            others.iter().for_each(|path| left.add(Reason::BesideFolders, path));
            let mut classes = Vec::with_capacity(folders.len());
            for path in folders {
                let name = utf8(path.file_name(), &path)?;
                classes.push(Class { part, name, sources: images(&path, left)? });
            }
            return Ok((classes, true));
        }
    };
    Err(Error::data(folder, format!("{message}; give each class a folder, or each class a strip")))
}

/// What lies in the folder of a part, each sorted.
struct Entries {
    folders: Vec<PathBuf>,
    /// PNG files.
    strips: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

fn entries(folder: &Path, left: &mut LeftOut) -> Result<Entries> {
    let mut entries = Entries { folders: Vec::new(), strips: Vec::new(), others: Vec::new() };
    for path in visible(folder)? {
        match Entry::at(&path).map_err(Error::io(&path))? {
            Entry::Dangling => left.add(Reason::DanglingLink, &path),
            Entry::Special => left.add(Reason::Special, &path),
            Entry::Folder => entries.folders.push(path),
            Entry::File if has_extension(&path, &["png"]) => entries.strips.push(path),
            Entry::File => entries.others.push(path),
        }
    }
    Ok(entries)
}

/// The images in the folder of a class, sorted.
fn images(folder: &Path, left: &mut LeftOut) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut inner = Vec::new();
    for path in visible(folder)? {
        let image = has_extension(&path, &FORMATS);
        match Entry::at(&path).map_err(Error::io(&path))? {
            Entry::Dangling if image => {
                let target = fs::read_link(&path).unwrap_or_default();
                let message = format!(
                    "is a link to {}, which is not there, so its class would lose an image; mend the \
                     link or remove it",
                    target.display()
                );
                return Err(Error::data(path, message));
            }
            Entry::Special if image => {
                let message = "is a pipe, a socket or a device, not a file; remove it";
                return Err(Error::data(path, message));
            }
            Entry::Dangling => left.add(Reason::DanglingLink, &path),
            Entry::Special => left.add(Reason::Special, &path),
            Entry::Folder => inner.push(path),
            Entry::File if image => {
                utf8(path.file_name(), &path)?;
                sources.push(Source { path, images: 1 });
            }
            Entry::File => left.add(Reason::format_of(&path), &path),
        }
    }
    if sources.is_empty() {
        if let Some(deeper) = inner.iter().find(|path| holds_images(path)) {
            let message = format!(
                "holds no images, but {} does: classes lie one folder too deep; move them up, so that each \
                 is a folder of images in the part's folder",
                deeper.display()
            );
            return Err(Error::data(folder, message));
        }
        let message = format!("holds no image ({}); fill it or remove it", FORMATS.join(", "));
        return Err(Error::data(folder, message));
    }
    for path in inner {
        let reason = if holds_images(&path) { Reason::FolderOfImages } else { Reason::Folder };
        left.add(reason, &path);
    }
    Ok(sources)
}

/// Whether an image lies in `folder`.
fn holds_images(folder: &Path) -> bool {
    visible(folder).is_ok_and(|paths| paths.iter().any(|path| has_extension(path, &FORMATS)))
}

/// Where test tasks may be of training classes, those of the other parts are named by their place: `test/CLASS`.
fn tell_apart(classes: &mut [Class], test: TestClasses) {
    if test == TestClasses::Own {
        return;
    }
    let train = classes.iter().filter(|class| class.part == SplitPart::Train);
    let names: HashSet<String> = train.map(|class| class.name.clone()).collect();
    for class in classes.iter_mut().filter(|class| class.part != SplitPart::Train) {
        if names.contains(&class.name) {
            class.name = format!("{}/{}", class.part.name(), class.name);
        }
    }
}

/// A class in two parts would be tested on what it was trained with.
fn refuse_doubles(classes: &[Class]) -> Result<()> {
    let mut seen: HashMap<&str, &Class> = HashMap::new();
    for class in classes {
        if let Some(other) = seen.insert(&class.name, class) {
            let [path, other] = [class, other].map(|class| match class.sources.first() {
                Some(source) => source.path.as_path(),
                None => Path::new(&class.name),
            });
            let message = format!(
                "the class `{}` is there twice, also with {}; keep it in one place{}",
                class.name,
                other.display(),
                if class.part == SplitPart::Test { ALLOWED } else { "" }
            );
            return Err(Error::data(path, message));
        }
        let mut files: HashMap<String, &Path> = HashMap::new();
        for source in &class.sources {
            if let Some(other) = files.insert(source.name(), &source.path) {
                let message = format!(
                    "has the name of {} but for its Unicode form; rename one",
                    other.display()
                );
                return Err(Error::data(&source.path, message));
            }
        }
    }
    Ok(())
}

/// Counts the images of every strip; all are of one width.
fn measure(classes: &mut [Class]) -> Result<Layout> {
    let mut common: Option<(u32, PathBuf)> = None;
    for source in classes.iter_mut().flat_map(|class| &mut class.sources) {
        let [width, height] = picture::size(&source.path)?;
        if width == 0 || height == 0 || height % width != 0 {
            let message = format!(
                "is {width} wide and {height} tall; a strip of square images is a whole number of \
                 times as tall as wide"
            );
            return Err(Error::data(&source.path, message));
        }
        if u64::from(width) * u64::from(height) > LARGEST {
            let message = format!("has {width}×{height} pixels, too many for one file; cut it");
            return Err(Error::data(&source.path, message));
        }
        if let Some((wanted, other)) = common.as_ref().filter(|(wanted, _)| *wanted != width) {
            let message = format!(
                "has images of {width} pixels, but those of {} have {wanted}; give all strips one \
                 width",
                other.display()
            );
            return Err(Error::data(&source.path, message));
        }
        source.images = height / width;
        common.get_or_insert_with(|| (width, source.path.clone()));
    }
    Ok(Layout::Strips { width: common.map_or(0, |(width, _)| width) })
}
