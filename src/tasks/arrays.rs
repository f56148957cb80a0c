//! `tasks.kind = "arrays"`: which files hold the examples, and the sizes of a task.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tasks::part::{SplitPart, TestClasses};

/// Tasks over arrays of the user's own: a list of tasks, or a pool of labelled examples that N-way episodes are drawn
/// from (docs/tasks.md). Which of the two it is the shapes say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ArraysSpec {
    /// One file for all three parts, as `parts` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Without `data`: the file of the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// The file of the validation part; without one, validation tasks are drawn from the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
    /// The file of the test part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Shares of the tasks (of a pool: of the classes) of `data` for training, validation and tests. Default
    /// [0.7, 0.1, 0.2].
    #[serde(default = "shares", skip_serializing_if = "is_default_shares")]
    pub parts: [f64; 3],
    /// Seed by which `data` is split. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub split_seed: u64,
    /// Of a pool: classes of a task. Default: as many as the network has outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<usize>,
    /// Support examples of a test task; of a pool, of each class.
    pub shots: usize,
    /// Support examples of a training task; of a pool, of each class. Default: as many as every task (or class) of the
    /// training part has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_shots: Option<usize>,
    /// Query examples of a test task; of a pool, of each class. Default: what `shots` leaves of every task (or class) of
    /// the test part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<usize>,
    /// Of a pool: which classes test tasks are of. Default others than those of training.
    #[serde(default, skip_serializing_if = "TestClasses::is_own")]
    pub test_classes: TestClasses,
    /// What is done to the inputs. Default: nothing.
    #[serde(default, skip_serializing_if = "Normalize::is_none")]
    pub normalize: Normalize,
}

/// What is done to inputs before the network sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// Nothing.
    #[default]
    None,
    /// Minus the mean, divided by the standard deviation, both of the training part: of each number of an input, or of
    /// each channel of an image.
    MeanStd,
}

impl Normalize {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl ArraysSpec {
    /// Tasks of `shots` support examples in tests, over files that are named next.
    pub fn new(shots: usize) -> Self {
        Self {
            data: None,
            train: None,
            val: None,
            test: None,
            parts: shares(),
            split_seed: 0,
            way: None,
            shots,
            train_shots: None,
            test_classes: TestClasses::Own,
            queries: None,
            normalize: Normalize::None,
        }
    }

    /// The file of a part, where each has its own.
    pub fn file(&self, part: SplitPart) -> Option<&Path> {
        match part {
            SplitPart::Train => self.train.as_deref(),
            SplitPart::Val => self.val.as_deref(),
            SplitPart::Test => self.test.as_deref(),
        }
    }

    /// All paths that it names.
    pub(super) fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let places = [&mut self.data, &mut self.train, &mut self.val, &mut self.test];
        places.into_iter().flatten().collect()
    }

    /// Looks for the data at `place`: the file, or the folder that the files are in by now.
    pub(super) fn move_to(&mut self, place: &Path) {
        let folder = place.is_dir();
        for path in self.paths_mut() {
            *path = match path.file_name().filter(|_| folder) {
                Some(name) => place.join(name),
                None => place.to_path_buf(),
            };
        }
    }
}

fn shares() -> [f64; 3] {
    [0.7, 0.1, 0.2]
}

fn is_default_shares(parts: &[f64; 3]) -> bool {
    *parts == shares()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
