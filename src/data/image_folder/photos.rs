//! Images outside of a data set: in folders by class, or any to be told apart.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{self, FORMATS, utf8};
use super::picture;
use crate::data::decode::error_of_all;
use crate::data::names::listed;
use crate::error::{Error, Result};
use crate::tasks::ImagesSpec;

/// Images as a network reads them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Photos {
    /// Their files.
    pub files: Vec<PathBuf>,
    /// `[images, C, H, W]`, 0 to 1.
    pub x: Vec<f32>,
}

/// Classes by name, each with its images.
pub type Classes = Vec<(String, Photos)>;

/// The images in the folders of `folder`, each of which is a class; classes and images in the order of their names. And
/// what was left out.
///
/// # Errors
/// [`Error::Data`] if there are no such folders, or one is empty; for an image that cannot be decoded; [`Error::Io`].
pub fn class_folders(folder: &Path, spec: &ImagesSpec) -> Result<(Classes, Vec<String>)> {
    let (folders, files, mut left) = visible(folder)?;
    if folders.is_empty() {
        let message = "holds no folders; give one with a folder of images for each class";
        return Err(Error::data(folder, message));
    }
    left.extend(files);
    let mut classes = Vec::new();
    for own in folders {
        let (deeper, files, others) = visible(&own)?;
        left.extend(deeper.into_iter().chain(others));
        if files.is_empty() {
            let message = "holds no images; give a class one or more, or remove its folder";
            return Err(Error::data(own, message));
        }
        let name = utf8(own.file_name(), &own)?;
        if let Some((_, other)) =
            classes.iter().find(|(other, _): &&(String, Photos)| *other == name)
        {
            let message = format!(
                "has the name of {} but for its Unicode form; rename one",
                other.files[0].parent().unwrap_or(folder).display()
            );
            return Err(Error::data(own, message));
        }
        classes.push((name, read(&own, files, spec)?));
    }
    Ok((classes, left_out(left)))
}

/// The images at `place`: a file, or all of a folder and of the folders in it. And what was left out.
///
/// # Errors
/// As [`class_folders`].
pub fn photos(place: &Path, spec: &ImagesSpec) -> Result<(Photos, Vec<String>)> {
    if fs::metadata(place).map_err(Error::io(place))?.is_file() {
        return Ok((read(place, vec![place.to_path_buf()], spec)?, Vec::new()));
    }
    let (folders, mut files, mut left) = visible(place)?;
    for own in folders {
        let (deeper, more, others) = visible(&own)?;
        files.extend(more);
        left.extend(deeper.into_iter().chain(others));
    }
    if files.is_empty() {
        return Err(Error::data(place, "holds no images; give a folder that does, or a file"));
    }
    // What is told of an image is told by its file.
    files.iter().try_for_each(|file| utf8(Some(file.as_os_str()), file).map(|_| ()))?;
    Ok((read(place, files, spec)?, left_out(left)))
}

/// Folders, images, and what is neither, of a folder, each in the order of their names.
fn visible(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>, Vec<PathBuf>)> {
    let all = files::visible(folder)?;
    let (folders, files): (Vec<_>, Vec<_>) = all.into_iter().partition(|path| path.is_dir());
    let is_image = |path: &PathBuf| path.is_file() && files::has_extension(path, &FORMATS);
    let (images, others) = files.into_iter().partition(is_image);
    Ok((folders, images, others))
}

fn read(folder: &Path, files: Vec<PathBuf>, spec: &ImagesSpec) -> Result<Photos> {
    let (mut x, mut failed) = (Vec::new(), Vec::new());
    for file in &files {
        match picture::numbers(file, spec) {
            Ok(own) => x.extend(own),
            Err(error) => failed.push(error),
        }
    }
    match failed.is_empty() {
        true => Ok(Photos { files, x }),
        false => Err(error_of_all(failed, folder)),
    }
}

fn left_out(paths: Vec<PathBuf>) -> Vec<String> {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    (!names.is_empty()).then(|| format!("not read: {}", listed(&names))).into_iter().collect()
}
