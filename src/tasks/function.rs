//! `tasks.kind = "wgsl"`: a distribution over tasks as functions in WGSL.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Tasks that functions of the user's own draw on the device (docs/tasks.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FunctionSpec {
    /// The file with `struct Task`, `draw_task` and `draw_example`. Read when a run begins, which keeps its text.
    pub file: PathBuf,
    /// Of labels: classes of a task. Default: as many as the network has outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<usize>,
    /// Support examples of a test task, all classes together.
    pub shots: usize,
    /// Support examples of a training task. Default: `shots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_shots: Option<usize>,
    /// Query examples of a test task. Default: `shots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<usize>,
}

impl FunctionSpec {
    /// Tasks of `shots` support and as many query examples, drawn by the functions in `file`.
    pub fn new(file: impl Into<PathBuf>, shots: usize) -> Self {
        Self { file: file.into(), way: None, shots, train_shots: None, queries: None }
    }

    /// Support examples of a training task.
    pub fn train_shots(&self) -> usize {
        self.train_shots.unwrap_or(self.shots)
    }

    /// Query examples of a test task.
    pub fn queries(&self) -> usize {
        self.queries.unwrap_or(self.shots)
    }
}

/// The text of the functions, and what messages call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFunctions {
    name: String,
    text: Arc<str>,
    classes: Option<usize>,
}

impl TaskFunctions {
    /// The functions of `text`; messages call it `name`, such as its file.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), classes: None }
    }

    /// The same, whose tasks have so many classes: labels below them, and `OUTPUTS` is their number. As many as the network
    /// has outputs if nothing is said.
    #[must_use]
    pub fn with_classes(mut self, classes: Option<usize>) -> Self {
        self.classes = classes;
        self
    }

    /// Classes of a task, where that was said.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The WGSL.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }
}
