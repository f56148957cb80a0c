//! A data set of images as it was read: its split, what is stored of that, and what is to be said.

use std::path::Path;

use crate::data::names;
use crate::data::stored_split::{self, ImageDigest, StoredSplit};
use crate::error::Result;
use crate::tasks::{ImageSet, Split, SplitClass, SplitPart};

/// How a data set is read.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Reading<'a> {
    /// The split of the run that goes on or is tested; without one it is drawn.
    pub stored: Option<&'a StoredSplit>,
    /// Go on where stored classes are missing or their images changed.
    pub changed_data: bool,
    /// The parts that tasks will be drawn from: only those have to hold enough for a task.
    pub parts: &'a [SplitPart],
    /// Decode images anew, and keep none in the user's cache folder.
    pub uncached: bool,
}

impl Reading<'_> {
    /// A new run that trains, validates and tests.
    pub const ALL: Reading<'static> =
        Reading { stored: None, changed_data: false, parts: &SplitPart::ALL, uncached: false };
}

/// An image set with its split.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DataSet {
    /// The images, and the classes that each part draws its tasks from.
    pub split: Split,
    /// What a run keeps of the split.
    pub stored: StoredSplit,
    /// What was read and what was left out, a line a part.
    pub notes: Vec<String>,
    /// Classes that are missing and images that changed since the run was trained, which `changed_data` lets pass.
    pub changed: Vec<String>,
}

/// Training, validation and test classes, and the stored classes that are missing.
pub(super) type Restored = ([Vec<SplitClass>; 3], Vec<String>);

impl Reading<'_> {
    /// The stored split on `images` of the data set in `folder`, if there is one. Where it has no test classes, those of
    /// `late_test` that it does not know are.
    ///
    /// # Errors
    /// [`crate::Error::Data`] that names the classes that are missing.
    pub(super) fn restore(
        &self,
        images: &ImageSet,
        rotations: u8,
        late_test: &[SplitClass],
        folder: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Option<Restored>> {
        let Some(stored) = self.stored else { return Ok(None) };
        let (mut classes, missing) = stored.classes(images, rotations);
        if !missing.is_empty() && !self.changed_data {
            return Err(stored_split::refuse(folder, &missing, &[]));
        }
        let mut unknown = stored.unknown(images);
        if classes[2].is_empty() && missing.is_empty() {
            // The run began without a part to test on; nothing of it was trained on.
            let late: Vec<SplitClass> = late_test
                .iter()
                .copied()
                .filter(|class| unknown.contains(&images.classes[class.class].name.as_str()))
                .collect();
            unknown.retain(|name| late.iter().all(|it| images.classes[it.class].name != *name));
            classes[2] = late;
        }
        if !unknown.is_empty() {
            let names = names::listed(&unknown);
            let count = names::count(unknown.len(), "class", "classes");
            notes.push(format!("{count} came after the run's split was drawn, ignored: {names}"));
        }
        let [train, val, test] = classes.each_ref().map(Vec::len);
        let train = train / usize::from(rotations);
        notes.push(format!(
            "the run's split: {train} classes to train on, {val} to validate on, {test} to test on"
        ));
        Ok(Some((classes, missing)))
    }

    /// The data set of `split`, whose images have `digests` and which is compared with what was stored.
    ///
    /// # Errors
    /// [`crate::Error::Data`] that names the images that changed.
    pub(super) fn finish(
        &self,
        split: Split,
        digests: &[ImageDigest],
        missing: Vec<String>,
        folder: &Path,
        notes: Vec<String>,
    ) -> Result<DataSet> {
        let Some(stored) = self.stored else {
            let stored = StoredSplit::of(&split, digests);
            return Ok(DataSet { split, stored, notes, changed: Vec::new() });
        };
        let changed = stored.changed(&split.images, digests);
        if !changed.is_empty() && !self.changed_data {
            return Err(stored_split::refuse(folder, &[], &changed));
        }
        let missing = missing.into_iter().map(|class| format!("{class} (missing)"));
        let changed: Vec<String> = missing.chain(changed).collect();
        Ok(DataSet { split, stored: stored.clone(), notes, changed })
    }
}
