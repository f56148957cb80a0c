//! Where results lie: under their own names once they are whole, and before that under names that say `partial`.

use std::path::{Path, PathBuf};

use crate::disk::atomic;
use crate::error::Result;

/// `path` for what is `whole`; otherwise the same with `.partial` before the extension: `results.partial.json`.
pub fn place(path: &Path, whole: bool) -> PathBuf {
    if whole {
        return path.to_path_buf();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|it| format!(".{}", it.to_string_lossy()));
    path.with_file_name(format!("{stem}.partial{}", extension.unwrap_or_default()))
}

/// Removes what lay under the partial name of `path`, which is there whole by now.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn settle(path: &Path) -> Result<()> {
    atomic::remove(&place(path, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_result_has_another_name_until_the_whole_one_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("results.json");
        assert_eq!(place(&whole, true), whole);
        let partial = place(&whole, false);
        assert_eq!(partial, folder.path().join("results.partial.json"));
        assert_eq!(place(Path::new("table"), false), Path::new("table.partial"));
        settle(&whole).unwrap();
        std::fs::write(&partial, "half").unwrap();
        std::fs::write(&whole, "all").unwrap();
        settle(&whole).unwrap();
        assert!(whole.exists() && !partial.exists());
    }
}
