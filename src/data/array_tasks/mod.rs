//! `tasks.kind = "arrays"`: examples of the user's own from files, cut into training, validation and test parts
//! (docs/tasks.md).

mod examples;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::data::array_file::ArrayFile;
use crate::data::names::{count, listed};
use crate::data::stored_arrays::{self, Normalization, StoredArrays};
use crate::data::{Reading, StoredSplit};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::rng::{Phase, Stream, shuffle};
use crate::tasks::{ArraySet, ArrayTargets, ArraysSpec, Normalize, SplitPart, TestClasses};

use examples::Examples;

/// Examples of a class that a sampler tells apart.
const MOST_OF_A_CLASS: usize = 256;

/// The parts of a data set of arrays, and what is to be said of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArrayData {
    /// Training, validation and test part, as far as there are.
    pub parts: [Option<ArraySet>; 3],
    /// Classes of a task, support examples of a training task and queries of a test task, where the configuration leaves
    /// them to the files.
    pub sizes: [usize; 3],
    /// What a run keeps of it.
    pub stored: StoredSplit,
    /// What was read, a line a part.
    pub notes: Vec<String>,
    /// Parts that are not what the run was trained on, which `changed_data` lets pass.
    pub changed: Vec<String>,
}

/// Reads the files that `spec` names for `model`.
///
/// # Errors
/// [`Error::Data`] that names the file, the array and the place of what is wrong, also if it is not what the run was
/// trained on; [`Error::Config`] for more examples a task than there are.
pub fn read(spec: &ArraysSpec, model: &Model, reading: Reading<'_>) -> Result<ArrayData> {
    let mut notes = Vec::new();
    let mut dealt = None;
    let mut parts = match &spec.data {
        Some(path) => {
            let examples = load(path, model, &mut notes)?;
            dealt = Some(examples.groups());
            split(&examples, spec, path)?
        }
        None => files(spec, model, &mut notes)?,
    };
    let kept = reading.stored.and_then(StoredSplit::arrays);
    let digests = parts.each_ref().map(|part| part.as_ref().map(stored_arrays::digest));
    let mut changed = Vec::new();
    if let Some(kept) = kept {
        changed = kept.changed(&digests);
        if let (Some(_), Some(path), true) = (changed.first(), &spec.data, reading.changed_data)
            && dealt != kept.dealt()
        {
            // Another number of tasks or classes is dealt otherwise.
            let message = "has more or fewer tasks than were dealt into parts, so that what the run was trained on cannot be told \
                           from the rest; put it back, or name other tests in the configuration of another data set";
            return Err(Error::data(path, message));
        }
        if let (Some(part), false) = (changed.first(), reading.changed_data) {
            let path = spec.data.as_deref().or(spec.file(SplitPart::Train));
            let message = format!(
                "its {part} part is not what the run was trained on; give the same file, or go on all the same with \
                 what is there"
            );
            return Err(Error::data(path.unwrap_or(Path::new("the arrays")), message));
        }
    }
    if let (None, [Some(train), others @ ..]) = (reading.stored, &digests) {
        refuse_same(spec, train, others)?;
    }
    for (part, set) in SplitPart::ALL.into_iter().zip(&parts) {
        notes.extend(set.as_ref().map(|set| described(part, set)));
    }
    if spec.test_classes == TestClasses::Train && !spec_is_pool(&parts) {
        let message = "the files are lists of tasks, which have no classes in common; leave it out";
        return Err(Error::config("tasks.test_classes", message));
    }
    let sizes = sizes(spec, model, &parts);
    check(spec, sizes, &parts, reading.parts)?;
    if !reading.parts.contains(&SplitPart::Test)
        && let Err(error) = check(spec, sizes, &parts, &[SplitPart::Test])
    {
        notes.push(format!("there are no test tasks so far: {error}"));
    }
    let normalization = match kept {
        Some(kept) => kept.normalization().cloned(),
        None => match spec.normalize {
            Normalize::None => None,
            Normalize::MeanStd => parts[0].as_ref().map(|set| Normalization::of(set, model)),
        },
    };
    if let Some(own) = &normalization {
        own.check(model).map_err(|message| Error::config("tasks.normalize", message))?;
        parts.iter_mut().flatten().for_each(|set| own.apply(&mut set.x));
    }
    let known: Vec<String> = [
        ("tasks.way", spec.way, sizes[0]),
        ("tasks.train_shots", spec.train_shots, sizes[1]),
        ("tasks.queries", spec.queries, sizes[2]),
    ]
    .into_iter()
    .filter(|(key, given, _)| given.is_none() && (*key != "tasks.way" || spec_is_pool(&parts)))
    .map(|(key, _, size)| format!("{key} = {size}"))
    .collect();
    if !known.is_empty() {
        notes.push(format!("{}, by the files", known.join(", ")));
    }
    let stored = match reading.stored {
        Some(stored) => stored.clone(),
        None => StoredSplit::of_arrays(StoredArrays::new(digests, normalization, dealt)),
    };
    Ok(ArrayData { parts, sizes, stored, notes, changed })
}

fn spec_is_pool(parts: &[Option<ArraySet>; 3]) -> bool {
    parts.iter().flatten().any(ArraySet::has_classes)
}

/// Refuses validation and tests on the training examples themselves, unless that is said.
fn refuse_same(spec: &ArraysSpec, train: &str, others: &[Option<String>]) -> Result<()> {
    let parts = [SplitPart::Val, SplitPart::Test].into_iter().zip(others);
    let same = |(_, digest): &(SplitPart, &Option<String>)| digest.as_deref() == Some(train);
    let Some((part, _)) = parts.into_iter().find(same) else { return Ok(()) };
    if spec.test_classes == TestClasses::Train {
        return Ok(());
    }
    let message = "holds the training examples themselves, which the network has seen; give others, or one file for all \
                   parts in tasks.data (classes that are to be the same: leave it out, and set \
                   tasks.test_classes = \"train\")";
    Err(match spec.file(part) {
        Some(path) => Error::data(path, message),
        None => Error::config(format!("tasks.{}", part.name()), message),
    })
}

/// A line if a part has labels of the training part: they may name the same classes.
fn common_labels(part: SplitPart, own: &[i64], train: &[i64]) -> Option<String> {
    let both: Vec<String> = own
        .iter()
        .filter(|label| train.binary_search(label).is_ok())
        .map(|label| label.to_string())
        .collect();
    let name = part.name();
    (!both.is_empty()).then(|| {
        format!(
            "{} {} also in the training part; if they name the same classes, {name} tasks are not of new ones",
            count(both.len(), "label of the part", "labels of the part") + &format!(" {name} ({})", listed(&both)),
            if both.len() == 1 { "is" } else { "are" },
        )
    })
}

/// The file of every part that names one.
fn files(
    spec: &ArraysSpec,
    model: &Model,
    notes: &mut Vec<String>,
) -> Result<[Option<ArraySet>; 3]> {
    let mut parts = [const { None }; 3];
    let mut first: Option<(bool, &Path)> = None;
    let mut trained = Vec::new();
    for (place, part) in SplitPart::ALL.into_iter().enumerate() {
        let Some(path) = spec.file(part) else { continue };
        let examples = load(path, model, notes)?;
        let classes = examples.has_classes();
        match first {
            Some((own, other)) if own != classes => {
                let kind = |classes| if classes { "labelled examples" } else { "a list of tasks" };
                let message = format!(
                    "holds {}, but {} holds {}; give the same in both",
                    kind(classes),
                    other.display(),
                    kind(own)
                );
                return Err(Error::data(path, message));
            }
            _ => first = first.or(Some((classes, path))),
        }
        match part {
            SplitPart::Train => trained = examples.labels().to_vec(),
            _ if spec.test_classes == TestClasses::Own => {
                notes.extend(common_labels(part, examples.labels(), &trained));
            }
            _ => {}
        }
        let mut groups: Vec<usize> = (0..examples.groups()).collect();
        if !classes && part != SplitPart::Train {
            // Validation and tests go through their tasks in turn: not in the order of the file.
            shuffle(&mut groups, &stream(spec, place as u32));
        }
        parts[place] = Some(examples.part(&groups));
    }
    if parts[0].is_none() {
        let message = "no file is given: name the one of the training part in tasks.train, or one for all parts in \
                       tasks.data";
        return Err(Error::config("tasks.train", message));
    }
    Ok(parts)
}

fn stream(spec: &ArraysSpec, task: u32) -> Stream {
    Stream::new(spec.split_seed, Phase::Split, 0, task)
}

/// The tasks or classes of one file in three parts.
fn split(examples: &Examples, spec: &ArraysSpec, path: &Path) -> Result<[Option<ArraySet>; 3]> {
    let all = examples.groups();
    let mut groups: Vec<usize> = (0..all).collect();
    shuffle(&mut groups, &stream(spec, 0));
    let mut share = 0.0;
    let ends = spec.parts.map(|part| {
        share += part;
        ((share * all as f64).round() as usize).min(all)
    });
    let cuts = [0..ends[0], ends[0]..ends[1], ends[1]..ends[2]];
    let what = if examples.has_classes() { "classes" } else { "tasks" };
    for ((part, cut), share) in SplitPart::ALL.into_iter().zip(&cuts).zip(spec.parts) {
        if share > 0.0 && cut.is_empty() {
            let message = format!(
                "has {all} {what}, of which tasks.parts = {:?} leaves none to the {} part; give more, or other shares",
                spec.parts,
                part.name()
            );
            return Err(Error::data(path, message));
        }
    }
    Ok(cuts.map(|cut| (!cut.is_empty()).then(|| examples.part(&groups[cut]))))
}

/// Reads the examples of one file.
fn load(path: &Path, model: &Model, notes: &mut Vec<String>) -> Result<Examples> {
    let mut file = ArrayFile::open(path)?;
    let (examples, own) = Examples::read(&mut file, model)?;
    notes.extend(own.into_iter().map(|note| format!("{}: {note}", path.display())));
    Ok(examples)
}

/// One part in a line.
fn described(part: SplitPart, set: &ArraySet) -> String {
    let rows: usize = set.groups.iter().map(|[_, rows]| *rows as usize).sum();
    let groups = match set.has_classes() {
        true => count(set.groups.len(), "class", "classes"),
        false => count(set.groups.len(), "task", "tasks"),
    };
    let fewest = match rows == set.fewest() * set.groups.len() {
        true => format!(", {} each", set.fewest()),
        false => format!(", {} or more each", set.fewest()),
    };
    format!("{}: {groups}, {}{fewest}", part.name(), count(rows, "example", "examples"))
}

/// The part that test tasks are drawn from.
pub fn test_part<'a>(spec: &ArraysSpec, parts: &'a [Option<ArraySet>; 3]) -> Option<&'a ArraySet> {
    let lent = parts[0].as_ref().filter(|_| spec.test_classes == TestClasses::Train);
    parts[2].as_ref().or(lent)
}

/// The parts that evaluation draws from: tests, and validation where it has no part of its own that of training.
fn evaluated<'a>(
    spec: &ArraysSpec,
    parts: &'a [Option<ArraySet>; 3],
) -> impl Iterator<Item = &'a ArraySet> {
    let [train, val, _] = parts;
    [val.as_ref().or(train.as_ref()), test_part(spec, parts)].into_iter().flatten()
}

/// Classes of a task, support examples of a training task, queries of a test task: as the configuration says, or as every
/// task, or class, has them.
fn sizes(spec: &ArraysSpec, model: &Model, parts: &[Option<ArraySet>; 3]) -> [usize; 3] {
    let classes = spec_is_pool(parts);
    let most = if classes { MOST_OF_A_CLASS } else { usize::MAX };
    let fewest = |set: &ArraySet| set.fewest().min(most);
    let train = parts[0].as_ref().map_or(0, fewest);
    let left = evaluated(spec, parts).map(|set| fewest(set).saturating_sub(spec.shots)).min();
    [
        spec.way.unwrap_or(if classes { model.outputs() } else { 1 }),
        spec.train_shots.unwrap_or(train),
        spec.queries.unwrap_or(left.unwrap_or(0).max(1)),
    ]
}

/// Refuses tasks of more examples or classes than the parts that will be drawn from have.
fn check(
    spec: &ArraysSpec,
    [way, train_shots, queries]: [usize; 3],
    parts: &[Option<ArraySet>; 3],
    needed: &[SplitPart],
) -> Result<()> {
    let classes = spec_is_pool(parts);
    if !classes && way != 1 {
        let message = format!(
            "{way} classes a task, but the files are lists of tasks, whose labels are their own; leave it out"
        );
        return Err(Error::config("tasks.way", message));
    }
    for part in needed {
        let own = match part {
            SplitPart::Train => parts[0].as_ref(),
            SplitPart::Val => parts[1].as_ref().or(parts[0].as_ref()),
            SplitPart::Test => test_part(spec, parts),
        };
        let name = part.name();
        let Some(set) = own else {
            let classes = match *part == SplitPart::Test && classes {
                true => ", or test on the training classes (tasks.test_classes = \"train\")",
                false => "",
            };
            let message = format!(
                "there is no {name} part; name its file in tasks.{name}, or give it a share of tasks.data in \
                 tasks.parts{classes}"
            );
            return Err(Error::config(format!("tasks.{name}"), message));
        };
        let lent = match part == &SplitPart::Val && parts[1].is_none() {
            true => {
                "; there is no validation part, so its tasks come from the training part (or set eval.every = 0)"
            }
            false => "",
        };
        if classes && set.groups.len() < way {
            let message = format!(
                "{way} classes a task, but there are only {} to draw {name} tasks from{lent}; lower it, or give that part \
                 more (tasks.parts)",
                set.groups.len()
            );
            return Err(Error::config("tasks.way", message));
        }
        let (key, examples) = match part {
            SplitPart::Train => ("tasks.train_shots", train_shots),
            _ => ("tasks.shots", spec.shots.saturating_add(queries.max(1))),
        };
        let one = if classes { "class" } else { "task" };
        if examples > set.fewest() {
            let message = format!(
                "{name} tasks need {examples} examples of a {one}{}, but one has {}{lent}; lower it",
                if *part == SplitPart::Train { "" } else { " (tasks.shots and tasks.queries)" },
                set.fewest()
            );
            return Err(Error::config(key, message));
        }
        if classes && examples > MOST_OF_A_CLASS {
            let message =
                format!("{examples} examples of a class; at most {MOST_OF_A_CLASS} can be drawn");
            return Err(Error::config(key, message));
        }
    }
    Ok(())
}

/// Rows of a list, or of classes, whose groups are `of`.
fn picked(all: &ArraySet, of: &[usize], inputs: usize, outputs: usize) -> ArraySet {
    let rows: Vec<std::ops::Range<usize>> = of
        .iter()
        .map(|group| {
            let [first, rows] = all.groups[*group].map(|it| it as usize);
            first..first + rows
        })
        .collect();
    fn of_rows<T: Copy>(all: &[T], rows: &[std::ops::Range<usize>], width: usize) -> Vec<T> {
        let own = rows.iter().flat_map(|rows| &all[rows.start * width..rows.end * width]);
        own.copied().collect()
    }
    let mut first = 0;
    let groups = rows.iter().map(|rows| {
        first += rows.len() as u32;
        [first - rows.len() as u32, rows.len() as u32]
    });
    ArraySet {
        groups: groups.collect(),
        x: of_rows(&all.x, &rows, inputs),
        y: match &all.y {
            ArrayTargets::Values(values) => ArrayTargets::Values(of_rows(values, &rows, outputs)),
            ArrayTargets::Labels(labels) => ArrayTargets::Labels(of_rows(labels, &rows, 1)),
            ArrayTargets::Classes => ArrayTargets::Classes,
        },
    }
}
