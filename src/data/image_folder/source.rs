//! Classes and their files, in one of the two layouts.

use std::path::PathBuf;

use crate::data::left_out::LeftOut;
use crate::data::names::composed;
use crate::tasks::SplitPart;

/// What makes do without test classes.
pub(super) const WITHOUT: &str =
    "; to test on the training classes, set tasks.test_classes = \"train\"";

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
        composed(&self.path.file_name().unwrap_or_default().to_string_lossy())
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
    /// What each part left out.
    pub left_out: Vec<(SplitPart, LeftOut)>,
    /// What lies beside the parts.
    pub others: Vec<PathBuf>,
}
