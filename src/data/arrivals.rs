//! Tasks that arrive one by one: a folder of safetensors files, one a task, in the order of their names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::arrays::TaskArrays;
use crate::data::decode::error_of_all;
use crate::data::left_out::{LeftOut, Reason};
use crate::data::names::{composed, is_hidden};
use crate::error::{Error, Result};
use crate::model::Model;

const EXTENSION: &str = "safetensors";

/// The tasks of a folder.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskFiles {
    /// In the order of the files' names.
    pub tasks: Vec<TaskArrays>,
    /// How many were read, what was left out, and what bytes were taken for: a line each.
    pub notes: Vec<String>,
}

impl TaskFiles {
    /// Reads and checks the tasks for `model` in `folder`; hidden files do not count.
    ///
    /// # Errors
    /// [`Error::Data`] that names all files that are wrong, or says that there are none; [`Error::Io`].
    pub fn load(folder: &Path, model: &Model) -> Result<Self> {
        let mut left = LeftOut::default();
        let paths = files(folder, &mut left)?;
        if paths.is_empty() {
            return Err(Error::data(folder, "holds no *.safetensors; a file is a task"));
        }
        let (mut tasks, mut failed) = (Vec::with_capacity(paths.len()), Vec::new());
        for path in &paths {
            match TaskArrays::load(path, model) {
                Ok(task) => tasks.push(task),
                Err(error) => failed.push(error),
            }
        }
        if !failed.is_empty() {
            return Err(error_of_all(failed, folder));
        }
        let mut notes = vec![format!("{} tasks{}", tasks.len(), left.words(folder))];
        let bytes = paths.iter().zip(&tasks).find(|(_, task)| task.from_bytes);
        notes.extend(bytes.and_then(|(path, task)| task.note(path)));
        Ok(Self { tasks, notes })
    }
}

/// The files of tasks in `folder`, sorted by name.
fn files(folder: &Path, left: &mut LeftOut) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        if is_hidden(&name) {
            continue;
        }
        let ours = path.extension().is_some_and(|own| own.eq_ignore_ascii_case(EXTENSION));
        if path.is_dir() {
            left.add(Reason::Folder, &path);
        } else if ours {
            files.push((composed(&name), path));
        } else {
            left.add(Reason::format_of(&path), &path);
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;
    use crate::model::{Activation, ModelSpec};

    /// Writes a task of one example.
    fn task(path: &Path, value: f32) {
        let bytes = value.to_le_bytes();
        let view = || TensorView::new(Dtype::F32, vec![1, 1, 1], &bytes).unwrap();
        let tensors = [("support_x", view()), ("support_y", view())];
        fs::write(path, serialize(tensors, None).unwrap()).unwrap();
    }

    #[test]
    fn tasks_arrive_in_the_order_of_their_names_and_the_rest_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let model = Model::new(ModelSpec::builder(&[1]).dense(1, Activation::Linear)).unwrap();
        let load = || TaskFiles::load(folder.path(), &model);
        assert!(load().unwrap_err().to_string().contains("holds no *.safetensors"));
        task(&place("b.safetensors"), 2.0);
        task(&place("a.SAFETENSORS"), 1.0);
        task(&place("._a.safetensors"), 3.0);
        fs::write(place("notes.txt"), "").unwrap();
        let files = load().unwrap();
        let first: Vec<f32> = files.tasks.iter().map(|task| task.support_x[0]).collect();
        assert_eq!(first, [1.0, 2.0]);
        let note = "2 tasks; left out: 1 file .txt, which is not read (notes.txt)";
        assert_eq!(files.notes, [note]);
        fs::write(place("c.safetensors"), "").unwrap();
        fs::write(place("d.safetensors"), "no").unwrap();
        let text = load().unwrap_err().to_string();
        assert!(
            text.contains("2 files cannot be used") && text.contains("d.safetensors"),
            "{text}"
        );
    }
}
