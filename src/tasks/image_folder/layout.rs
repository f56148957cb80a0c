//! Which files a data set consists of.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::tasks::images::SplitPart;

use super::picture;

/// Pixels of the largest strip that is decoded.
const LARGEST: u64 = 1 << 27;

/// What a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A folder of images.
    Folders,
    /// A file of squares of this width, one below the other.
    Strips { width: u32 },
}

/// A file with images of one class.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub path: PathBuf,
    /// How many.
    pub images: u32,
}

impl Source {
    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A class and its files.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub part: SplitPart,
    pub name: String,
    pub sources: Vec<Source>,
}

/// A whole data set, sorted by part, class and file.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub layout: Layout,
    pub classes: Vec<Class>,
}

/// Lists the data set in `folder`.
pub(super) fn find(folder: &Path) -> Result<Listing> {
    let mut first: Option<(PathBuf, bool)> = None;
    let mut classes = Vec::new();
    for part in SplitPart::ALL {
        let path = folder.join(part.name());
        if !path.is_dir() {
            if part == SplitPart::Val {
                continue;
            }
            let message = format!(
                "holds no folder `{}`; images lie in the folders train, test and perhaps val, as \
                 train/CLASS/*.png (or jpg), or as strips of square images train/CLASS.png",
                part.name()
            );
            return Err(Error::data(folder, message));
        }
        let (own, folders) = classes_of(part, &path)?;
        classes.extend(own);
        let (other, kind) = first.get_or_insert_with(|| (path.clone(), folders));
        if *kind != folders {
            let message = format!("has another layout than {}; keep to one", other.display());
            return Err(Error::data(path, message));
        }
    }
    refuse_doubles(&classes)?;
    let folders = first.is_some_and(|(_, folders)| folders);
    let layout = if folders { Layout::Folders } else { measure(&mut classes)? };
    Ok(Listing { layout, classes })
}

/// The classes in the folder of a part, and whether they are folders. A strip's images are not
/// counted yet.
fn classes_of(part: SplitPart, folder: &Path) -> Result<(Vec<Class>, bool)> {
    let (folders, strips) = entries(folder)?;
    let message = match (folders.is_empty(), strips.is_empty()) {
        (true, true) => "holds neither folders of images nor PNG strips",
        (false, false) => "holds both folders of images and PNG strips",
        (true, false) => {
            let class = |path: PathBuf| -> Result<Class> {
                let name = utf8(path.file_stem(), &path)?;
                Ok(Class { part, name, sources: vec![Source { path, images: 0 }] })
            };
            return Ok((strips.into_iter().map(class).collect::<Result<_>>()?, false));
        }
        (false, true) => {
            let class = |path: PathBuf| -> Result<Class> {
                let name = utf8(path.file_name(), &path)?;
                Ok(Class { part, name, sources: images(&path)? })
            };
            return Ok((folders.into_iter().map(class).collect::<Result<_>>()?, true));
        }
    };
    Err(Error::data(folder, format!("{message}; give each class a folder, or each class a strip")))
}

/// The folders and the PNG files in `folder`, sorted; hidden ones do not count.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut folders, mut strips) = (Vec::new(), Vec::new());
    for path in visible(folder)? {
        if path.is_dir() {
            folders.push(path);
        } else if has_extension(&path, &["png"]) {
            strips.push(path);
        }
    }
    Ok((folders, strips))
}

/// The images in the folder of a class, sorted.
fn images(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in visible(folder)? {
        if path.is_file() && has_extension(&path, &["png", "jpg", "jpeg"]) {
            utf8(path.file_name(), &path)?;
            sources.push(Source { path, images: 1 });
        }
    }
    if sources.is_empty() {
        return Err(Error::data(folder, "holds no png, jpg or jpeg; fill it or remove it"));
    }
    Ok(sources)
}

/// What is in `folder`, sorted by name.
fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with('.') && name != "__MACOSX" {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    extensions.contains(&extension.as_str())
}

fn utf8(name: Option<&std::ffi::OsStr>, path: &Path) -> Result<String> {
    let name = name.and_then(|name| name.to_str());
    name.map(str::to_string).ok_or_else(|| Error::data(path, "has no UTF-8 name; rename it"))
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
                "the class `{}` is there twice, also with {}; keep it in one place",
                class.name,
                other.display()
            );
            return Err(Error::data(path, message));
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
