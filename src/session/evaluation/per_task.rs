//! The scores of every task in a file.

use std::path::Path;

use serde::Serialize;

use super::{Evaluation, Origin};
use crate::disk::atomic;
use crate::error::{Error, Result};
use crate::model::Loss;

/// The formats of a file with the scores of every task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerTask {
    /// A header, then a line for each task.
    Csv,
    /// An array with an object for each task.
    Json,
}

/// One task in the file.
#[derive(Serialize)]
struct Line {
    origin: Origin,
    run: usize,
    seed: u64,
    transductive: bool,
    task: usize,
    loss_before: f32,
    accuracy_before: Option<f32>,
    loss_after: f32,
    accuracy_after: Option<f32>,
}

impl PerTask {
    /// The format that the extension of `path` asks for, at which nothing lies yet.
    ///
    /// # Errors
    /// [`Error::Config`] for another extension, [`Error::Data`] if `path` exists or its folder does
    /// not.
    pub fn check(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            Some("csv") => Self::Csv,
            Some("json") => Self::Json,
            _ => {
                let message = format!("`{}` must end in .csv or .json", path.display());
                return Err(Error::config("per_task", message));
            }
        };
        atomic::check_new(path)?;
        Ok(format)
    }

    /// Writes the scores of every task of `evaluations`, a line or an object each.
    ///
    /// # Errors
    /// [`Error::Data`] if `path` exists, [`Error::Io`].
    pub fn write(self, path: &Path, evaluations: &[Evaluation], loss: Loss) -> Result<()> {
        let lines = evaluations.iter().flat_map(|one| lines(one, loss == Loss::CrossEntropy));
        let text = match self {
            Self::Csv => csv(lines),
            Self::Json => {
                let lines: Vec<Line> = lines.collect();
                serde_json::to_string(&lines)
                    .expect("numbers are valid JSON")
                    .replace("},{", "},\n{")
            }
        };
        atomic::write_new(path, format!("{}\n", text.trim_end()).as_bytes())
    }
}

fn lines(evaluation: &Evaluation, classes: bool) -> impl Iterator<Item = Line> {
    evaluation.scores.iter().enumerate().map(move |(task, [before, after])| Line {
        origin: evaluation.origin,
        run: evaluation.run,
        seed: evaluation.seed,
        transductive: evaluation.transductive,
        task,
        loss_before: before.loss,
        accuracy_before: classes.then_some(before.accuracy),
        loss_after: after.loss,
        accuracy_after: classes.then_some(after.accuracy),
    })
}

fn csv(lines: impl Iterator<Item = Line>) -> String {
    let mut text = "origin,run,seed,transductive,task,\
                    loss_before,accuracy_before,loss_after,accuracy_after\n"
        .to_string();
    for line in lines {
        let origin = match line.origin {
            Origin::Trained => "trained",
            Origin::Random => "random",
        };
        let share = |value: Option<f32>| value.map_or(String::new(), |value| value.to_string());
        text.push_str(&format!(
            "{origin},{},{},{},{},{},{},{},{}\n",
            line.run,
            line.seed,
            line.transductive,
            line.task,
            line.loss_before,
            share(line.accuracy_before),
            line.loss_after,
            share(line.accuracy_after),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::evaluation;
    use super::*;

    #[test]
    fn every_task_is_written_in_both_formats() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, loss| {
            let path = folder.path().join(name);
            PerTask::check(&path).unwrap().write(&path, &[evaluation()], loss).unwrap();
            std::fs::read_to_string(path).unwrap()
        };
        let header = "origin,run,seed,transductive,task,\
                      loss_before,accuracy_before,loss_after,accuracy_after\n";
        let classes = "trained,1,6,true,0,1.5,0.2,0.1,1\ntrained,1,6,true,1,2.5,0.4,inf,0\n";
        assert_eq!(written("a.csv", Loss::CrossEntropy), format!("{header}{classes}"));
        let values = "trained,1,6,true,0,1.5,,0.1,\ntrained,1,6,true,1,2.5,,inf,\n";
        assert_eq!(written("b.CSV", Loss::Mse), format!("{header}{values}"));
        let text = written("a.json", Loss::CrossEntropy);
        let lines: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!((lines.len(), text.lines().count()), (2, 2));
        assert_eq!(lines[0]["origin"], "trained");
        assert_eq!(lines[0]["accuracy_before"].to_string(), "0.2");
        assert!(lines[1]["loss_after"].is_null(), "JSON has no infinity");
    }

    #[test]
    fn other_extensions_and_existing_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tasks", "tasks.txt"] {
            let text = PerTask::check(&folder.path().join(name)).unwrap_err().to_string();
            assert!(text.contains("`per_task`") && text.contains(".csv or .json"), "{text}");
        }
        let path = folder.path().join("mine.csv");
        std::fs::write(&path, "mine").unwrap();
        let text = PerTask::check(&path).unwrap_err().to_string();
        assert!(text.contains("mine.csv: exists already"), "{text}");
    }
}
