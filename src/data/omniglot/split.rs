//! Which classes are for training and which for testing.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::data::names::composed;
use crate::disk::text_file;
use crate::error::{Error, Result};
use crate::rng::{Phase, Stream, shuffle};
use crate::tasks::{ImageClass, OmniglotSpec};

/// Indices of the training and of the test classes.
pub(super) fn split(
    spec: &OmniglotSpec,
    classes: &[ImageClass],
    folder: &Path,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let named = |list: &Option<std::path::PathBuf>| {
        list.as_ref().map(|path| read_list(path, classes, folder)).transpose()
    };
    let train = named(&spec.train_classes)?;
    if spec.tests_training_classes() {
        let train = train.unwrap_or_else(|| (0..classes.len()).collect());
        return Ok((train.clone(), train));
    }
    let test = named(&spec.test_classes)?;
    let others = |taken: &[usize]| -> Vec<usize> {
        let taken: BTreeSet<usize> = taken.iter().copied().collect();
        (0..classes.len()).filter(|class| !taken.contains(class)).collect()
    };
    match (train, test) {
        (Some(train), Some(test)) => {
            if let Some(both) = train.iter().find(|class| test.contains(class)) {
                let message = format!(
                    "{} is also a training class; keep it in one list",
                    classes[*both].name
                );
                return Err(Error::data(spec.test_classes.as_ref().map_or(folder, |p| p), message));
            }
            Ok((train, test))
        }
        (Some(train), None) => Ok((train.clone(), others(&train))),
        (None, Some(test)) => Ok((others(&test), test)),
        (None, None) => random(spec, classes, folder),
    }
}

fn random(
    spec: &OmniglotSpec,
    classes: &[ImageClass],
    folder: &Path,
) -> Result<(Vec<usize>, Vec<usize>)> {
    if let Some(part) = super::PARTS.iter().find(|part| is_missing(part, classes)) {
        let message = format!(
            "{part} is missing; the split is drawn from both parts (or name classes with \
             tasks.train_classes and tasks.test_classes)"
        );
        return Err(Error::data(folder, message));
    }
    if spec.train_count >= classes.len() {
        let message = format!(
            "{} of {} characters would leave none to test on; lower it",
            spec.train_count,
            classes.len()
        );
        return Err(Error::config("tasks.train_count", message));
    }
    let mut order: Vec<usize> = (0..classes.len()).collect();
    shuffle(&mut order, &Stream::new(spec.split_seed, Phase::Split, 0, 0));
    let test = order.split_off(spec.train_count);
    Ok((order, test))
}

/// Whether no class is of `part`.
fn is_missing(part: &str, classes: &[ImageClass]) -> bool {
    !classes.iter().any(|class| part_of(&class.name) == part)
}

/// The part in a class path.
fn part_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// The classes that a file names, a path a line; empty lines and lines with # do not count.
fn read_list(path: &Path, classes: &[ImageClass], folder: &Path) -> Result<Vec<usize>> {
    let text = text_file::read(path)?;
    let index: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(index, class)| (class.name.as_str(), index)).collect();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let name = &composed(line.trim().trim_end_matches('/').trim_start_matches("./"));
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let Some(class) = index.get(name.as_str()) else {
            let part = part_of(name);
            if super::PARTS.contains(&part) && is_missing(part, classes) {
                let message = format!(
                    "line {}: `{name}` needs {part}.zip or the folder {part}, which {} lacks",
                    number + 1,
                    folder.display()
                );
                return Err(Error::data(path, message));
            }
            let nearest = classes
                .iter()
                .min_by_key(|class| strsim::levenshtein(&class.name, name))
                .map_or("", |class| class.name.as_str());
            let message = format!(
                "line {}: there is no class `{name}`; did you mean `{nearest}`?",
                number + 1
            );
            return Err(Error::data(path, message));
        };
        if found.contains(class) {
            let message = format!("line {}: `{name}` is listed twice", number + 1);
            return Err(Error::data(path, message));
        }
        found.push(*class);
    }
    if found.is_empty() {
        return Err(Error::data(path, "names no class; give a path a line"));
    }
    Ok(found)
}
