//! Examples to adapt to and to predict: images in folders, or arrays.

use std::path::Path;

use crate::data::array_file::ArrayFile;
use crate::data::image_folder::{class_folders, photos};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tasks::{ImagesSpec, TaskSpec};

/// Examples with labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Labelled {
    /// The classes by name, in the order of their labels.
    pub classes: Vec<String>,
    /// `[N, …input]`.
    pub x: Vec<f32>,
    /// `[N]`, below the number of classes.
    pub labels: Vec<u32>,
    /// What was left out.
    pub notes: Vec<String>,
}

/// Examples without.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Unlabelled {
    /// What each is called: its file, or its place in an array.
    pub names: Vec<String>,
    /// The folder that it lies in, if it is one of those below the place that was given.
    pub folders: Vec<Option<String>>,
    /// `[Q, …input]`.
    pub x: Vec<f32>,
    /// What was left out.
    pub notes: Vec<String>,
}

/// Class folders of images, or arrays `x` `[N, …input]` and `y` `[N]` (any whole numbers), at `place`.
///
/// # Errors
/// [`Error::Data`] that names the file and what is wrong with it.
pub fn labelled(place: &Path, tasks: &TaskSpec, model: &Model) -> Result<Labelled> {
    let Some(mut file) = arrays(place)? else {
        let (folders, notes) = class_folders(place, &images(place, tasks, model)?)?;
        let mut own = Labelled { classes: vec![], x: vec![], labels: vec![], notes };
        for (label, (class, photos)) in (0..).zip(folders) {
            own.labels.extend(std::iter::repeat_n(label, photos.files.len()));
            own.x.extend(photos.x);
            own.classes.push(class);
        }
        return Ok(own);
    };
    let x = rows(&mut file, model)?;
    let y = file.need("y")?;
    let count = x.len() / model.inputs();
    if y.shape != [count] {
        let message = format!(
            "the array `y` has the shape {:?}, but [{count}] was expected, a label for each example of `x`",
            y.shape
        );
        return Err(file.wrong(message));
    }
    let labels = y.integers("y").map_err(|message| file.wrong(message))?;
    let mut classes = labels.clone();
    classes.sort_unstable();
    classes.dedup();
    let place = |label: &i64| classes.binary_search(label).expect("it is one of them") as u32;
    Ok(Labelled {
        x,
        labels: labels.iter().map(place).collect(),
        classes: classes.iter().map(i64::to_string).collect(),
        notes: Vec::new(),
    })
}

/// Images (a file, or a folder of them), or an array `x` `[Q, …input]`, at `place`.
///
/// # Errors
/// As [`labelled`].
pub fn unlabelled(place: &Path, tasks: &TaskSpec, model: &Model) -> Result<Unlabelled> {
    let Some(mut file) = arrays(place)? else {
        let (photos, notes) = photos(place, &images(place, tasks, model)?)?;
        let folder = |file: &std::path::PathBuf| {
            let own = file.parent().filter(|parent| *parent != place)?;
            Some(own.file_name()?.to_string_lossy().into_owned())
        };
        return Ok(Unlabelled {
            folders: photos.files.iter().map(folder).collect(),
            names: photos.files.iter().map(|file| file.display().to_string()).collect(),
            x: photos.x,
            notes,
        });
    };
    let x = rows(&mut file, model)?;
    let count = x.len() / model.inputs();
    Ok(Unlabelled {
        names: (0..count).map(|place| place.to_string()).collect(),
        folders: vec![None; count],
        x,
        notes: Vec::new(),
    })
}

/// The file of arrays at `place`; none if images lie there.
fn arrays(place: &Path) -> Result<Option<ArrayFile>> {
    let extension = place.extension().map(|it| it.to_string_lossy().to_lowercase());
    let file = ["npz", "npy", "safetensors"];
    let is_file = extension.is_some_and(|it| file.contains(&it.as_str()));
    match is_file || place.join("x.npy").is_file() {
        true => ArrayFile::open(place).map(Some),
        false => Ok(None),
    }
}

/// The array `x` `[N, …input]`.
fn rows(file: &mut ArrayFile, model: &Model) -> Result<Vec<f32>> {
    let x = file.need("x")?;
    let input = &model.spec().input;
    if x.shape.len() != input.len() + 1 || x.shape[1..] != input[..] || x.shape[0] == 0 {
        let sizes: String = input.iter().map(|size| format!(", {size}")).collect();
        let message = format!("the array `x` has the shape {:?}; give [N{sizes}]", x.shape);
        return Err(file.wrong(message));
    }
    let (x, _) = x.floats("x", input.len() == 3).map_err(|message| file.wrong(message))?;
    Ok(x)
}

/// How images become what the network reads.
fn images(place: &Path, tasks: &TaskSpec, model: &Model) -> Result<ImagesSpec> {
    let mut spec = ImagesSpec::of_one(28, 1);
    match (tasks, model.spec().input.as_slice()) {
        (TaskSpec::Images(own), _) => spec = own.clone(),
        (TaskSpec::Omniglot(own), _) => spec.size = own.size,
        (TaskSpec::Glyphs(own), _) => spec.size = own.size,
        (_, &[channels @ (1 | 3), height, width]) if height == width => {
            (spec.size, spec.channels) = (height, channels);
        }
        _ => {
            let message = format!(
                "the run's network reads {:?}, not square images; give arrays (an .npz with x and y)",
                model.spec().input
            );
            return Err(Error::data(place, message));
        }
    }
    Ok(spec)
}
