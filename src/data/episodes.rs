//! Fixed lists of tasks over images, so that two programs can be compared on the same tasks.
//!
//! A JSON file: a list of tasks, each a list with an entry a class, whose place is its label.
//!
//! ```json
//! [[{"class": "images_background/Greek/character03",
//!    "support": ["0396_01.png"], "query": ["0396_05.png", "0396_17.png"]},
//!   {"class": "images_background/Greek/character11",
//!    "support": ["0404_07.png"], "query": ["0404_02.png", "0404_20.png"]}]]
//! ```
//!
//! All tasks have as many classes, all classes as many support and as many query files. Names are
//! those of [`ImageSet::image_number`](crate::tasks::ImageSet::image_number).

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::data::names::composed;
use crate::disk::text_file;
use crate::error::{Error, Result};
use crate::tasks::{Episodes, Split, SplitPart};

/// One class of a listed task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EpisodeClass {
    /// The class's name in the image set.
    pub class: String,
    /// Files to adapt to.
    pub support: Vec<String>,
    /// Files to be scored on.
    pub query: Vec<String>,
}

/// A list of tasks by the names of their images: at least one task, all of the same sizes, no image
/// twice in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodeList {
    path: PathBuf,
    tasks: Vec<Vec<EpisodeClass>>,
}

impl EpisodeList {
    /// Reads and checks the list in the file at `path`. Tasks are counted from 0 in messages.
    ///
    /// # Errors
    /// [`Error::Data`] that names the line of damaged JSON, or the task and the class of what cannot
    /// be; [`Error::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let tasks = parse(&text_file::read(path)?).map_err(|message| Error::data(path, message))?;
        Ok(Self { path: path.into(), tasks })
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are no tasks, which [`EpisodeList::load`] refuses.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Looks the images up among the classes of `part`.
    ///
    /// # Errors
    /// [`Error::Data`] that names the task, the class or file that is not there, and the nearest
    /// name that is.
    pub fn resolve(&self, split: &Split, part: SplitPart) -> Result<Episodes> {
        let first = &self.tasks[0];
        let mut episodes = Episodes {
            path: self.path.clone(),
            part,
            way: first.len(),
            shots: first[0].support.len(),
            queries: first[0].query.len(),
            support: Vec::new(),
            query: Vec::new(),
        };
        let classes = Classes::new(split, part);
        for (index, entry) in numbered(&self.tasks) {
            let refuse = |message| Error::data(&self.path, format!("task {index}: {message}"));
            let class = classes.find(&entry.class).map_err(refuse)?;
            for (files, numbers) in
                [(&entry.support, &mut episodes.support), (&entry.query, &mut episodes.query)]
            {
                for file in files {
                    numbers.push(classes.image(class, file).map_err(refuse)?);
                }
            }
        }
        Ok(episodes)
    }
}

/// Every entry with the number of its task.
fn numbered(tasks: &[Vec<EpisodeClass>]) -> impl Iterator<Item = (usize, &EpisodeClass)> {
    tasks.iter().enumerate().flat_map(|(index, task)| task.iter().map(move |entry| (index, entry)))
}

fn parse(text: &str) -> Result<Vec<Vec<EpisodeClass>>, String> {
    let mut tasks: Vec<Vec<EpisodeClass>> = serde_json::from_str(text).map_err(|error| {
        format!(
            "{error}; it should be a JSON list of tasks, each a list of {{\"class\": name, \
             \"support\": [files], \"query\": [files]}}, one a class"
        )
    })?;
    for EpisodeClass { class, support, query } in tasks.iter_mut().flatten() {
        *class = composed(class);
        support.iter_mut().chain(query).for_each(|file| *file = composed(file));
    }
    let Some(first) = tasks.first() else {
        return Err("lists no tasks; give at least one".into());
    };
    for (index, task) in tasks.iter().enumerate() {
        check_task(task, first).map_err(|message| format!("task {index}: {message}"))?;
    }
    Ok(tasks)
}

/// Checks the sizes of `task` against those of the `first`, and that nothing is there twice.
fn check_task(task: &[EpisodeClass], first: &[EpisodeClass]) -> Result<(), String> {
    if task.is_empty() {
        return Err("has no classes; give each class an entry".into());
    }
    if task.len() != first.len() {
        return Err(format!(
            "has {} classes, but task 0 has {}; give all tasks as many",
            task.len(),
            first.len()
        ));
    }
    let mut seen = HashSet::new();
    for entry in task {
        let class = &entry.class;
        if !seen.insert(class) {
            return Err(format!("`{class}` has two entries; give a class one label"));
        }
        for (what, files, wanted) in [
            ("support", &entry.support, &first[0].support),
            ("query", &entry.query, &first[0].query),
        ] {
            if files.is_empty() {
                return Err(format!("`{class}` has no {what} files; give at least one"));
            }
            if files.len() != wanted.len() {
                return Err(format!(
                    "`{class}` has {} {what} files, but `{}` of task 0 has {}; give all classes of \
                     all tasks as many",
                    files.len(),
                    first[0].class,
                    wanted.len()
                ));
            }
        }
        refuse_doubles(entry)?;
    }
    Ok(())
}

fn refuse_doubles(entry: &EpisodeClass) -> Result<(), String> {
    let EpisodeClass { class, support, query } = entry;
    for (what, files) in [("support", support), ("query", query)] {
        let mut seen = HashSet::new();
        if let Some(file) = files.iter().find(|file| !seen.insert(*file)) {
            return Err(format!("`{file}` of `{class}` is a {what} file twice; keep it once"));
        }
    }
    match query.iter().find(|file| support.contains(file)) {
        None => Ok(()),
        Some(file) => Err(format!(
            "`{file}` of `{class}` is both a support and a query file, so its answer is known; \
             keep it in one of the two"
        )),
    }
}

/// The classes of one part by their names.
struct Classes<'a> {
    split: &'a Split,
    part: SplitPart,
    /// Indices into the image set.
    index: HashMap<&'a str, usize>,
}

impl<'a> Classes<'a> {
    fn new(split: &'a Split, part: SplitPart) -> Self {
        let named = |class: usize| (split.images.classes[class].name.as_str(), class);
        let index = split.classes(part).iter().map(|class| named(class.class)).collect();
        Self { split, part, index }
    }

    /// The index of a class, or a message.
    fn find(&self, name: &str) -> Result<usize, String> {
        if let Some(class) = self.index.get(name) {
            return Ok(*class);
        }
        let (part, images) = (self.part.name(), &self.split.images);
        if let Some(class) = images.classes.iter().position(|class| class.name == name) {
            let has = |part: &SplitPart| {
                self.split.classes(*part).iter().any(|member| member.class == class)
            };
            let place = match SplitPart::ALL.into_iter().find(has) {
                Some(other) => format!("a {} class", other.name()),
                None => "in no part".into(),
            };
            return Err(format!(
                "`{name}` is {place} of the run's split; list {part} classes alone"
            ));
        }
        let nearest = nearest(name, self.index.keys().copied());
        Err(format!("there is no class `{name}`; did you mean the {part} class `{nearest}`?"))
    }

    /// The number of an image in the set, or a message.
    fn image(&self, class: usize, file: &str) -> Result<u32, String> {
        let files = self.split.images.files_of(class);
        let class = &self.split.images.classes[class];
        if let Some(place) = files.iter().position(|found| found == file) {
            return Ok(class.first_image + place as u32);
        }
        if files.is_empty() {
            return Err(format!("the image set knows no files of `{}`; fill them in", class.name));
        }
        let nearest = nearest(file, files.iter().map(String::as_str));
        Err(format!("`{}` has no image `{file}`; did you mean `{nearest}`?", class.name))
    }
}

/// The name that differs least; of equals the first in the alphabet.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> &'a str {
    names.min_by_key(|found| (strsim::levenshtein(found, name), *found)).unwrap_or_default()
}
