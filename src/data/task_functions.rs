//! `tasks.kind = "wgsl"`: the file of the functions, or the text that a run keeps of it.

use crate::data::{Reading, StoredSplit};
use crate::disk::read;
use crate::disk::text_file;
use crate::error::Result;
use crate::tasks::{FunctionSpec, TaskFunctions};

/// Functions as they were read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FunctionData {
    /// The functions.
    pub functions: TaskFunctions,
    /// What a run keeps of them: all of their text.
    pub stored: StoredSplit,
    /// What is to be said of them.
    pub notes: Vec<String>,
}

/// The functions of `spec`: those that the run keeps, or else those in the file.
///
/// # Errors
/// [`crate::Error::Io`] and [`crate::Error::Data`] if the file cannot be read.
pub fn read(spec: &FunctionSpec, reading: Reading<'_>) -> Result<FunctionData> {
    let name = spec.file.display().to_string();
    if let Some((stored, text)) = reading.stored.and_then(|it| Some((it, it.functions()?))) {
        // The file is not needed any more, but who changed it may think that it counts.
        let other = read::bytes(&spec.file).is_ok_and(|bytes| bytes != text.as_bytes());
        let note = format!(
            "{name} has changed since the run began, which goes on with the functions that it was begun with"
        );
        let notes = other.then_some(note).into_iter().collect();
        let functions = TaskFunctions::new(name, text);
        return Ok(FunctionData { functions, stored: stored.clone(), notes });
    }
    let text = text_file::read(&spec.file)?;
    let stored = StoredSplit::of_functions(text.clone());
    Ok(FunctionData { functions: TaskFunctions::new(name, text), stored, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_run_keeps_its_functions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.wgsl");
        fs::write(&path, "struct Task { n: u32 }\n").unwrap();
        let spec = FunctionSpec::new(&path, 3);
        let first = read(&spec, Reading::default()).unwrap();
        let stored = StoredSplit::from_json(&first.stored.to_json()).unwrap();
        let later =
            || read(&spec, Reading { stored: Some(&stored), ..Reading::default() }).unwrap();
        assert_eq!((later().functions, later().notes.len()), (first.functions.clone(), 0));
        fs::write(&path, "struct Task { m: u32 }\n").unwrap();
        assert_eq!(later().functions, first.functions);
        assert!(later().notes[0].contains("mine.wgsl has changed"));
        fs::remove_file(&path).unwrap();
        assert_eq!((later().functions, later().notes.len()), (first.functions, 0));
        assert!(read(&spec, Reading::default()).unwrap_err().to_string().contains("mine.wgsl"));
    }
}
