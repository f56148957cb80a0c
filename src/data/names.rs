//! Names of files and classes: which of them do not count, when two are the same, and how messages list them.

use std::path::Path;
use std::{fs, io};

use unicode_normalization::UnicodeNormalization;

/// How many names a message lists.
const NAMED: usize = 20;

/// Files and folders that systems, editors and notebooks leave beside data, in lower case.
const LEFTOVERS: [&str; 10] = [
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__pycache__",
];

/// Whether the file or folder `name` is no part of a data set: it begins with a dot (which covers
/// `.ipynb_checkpoints`, `.DS_Store`, `.git`), is a backup of an editor (`name~`, `#name#`), or one of the
/// things that systems and network drives put into every folder (`__MACOSX`, `@eaDir`, `Thumbs.db`,
/// `desktop.ini` …).
pub(crate) fn is_hidden(name: &str) -> bool {
    let backup =
        name.ends_with('~') || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'));
    name.starts_with('.') || backup || LEFTOVERS.contains(&name.to_lowercase().as_str())
}

/// `name` in Unicode's composed form (NFC): macOS gives out names decomposed, keyboards type them composed.
pub(crate) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// `number` of a thing.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The first names, and how many more there are.
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What lies at a path, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File,
    Folder,
    /// A link whose target is gone, or that leads to itself.
    Dangling,
    /// A pipe, a socket, a device: reading it might never end.
    Special,
}

impl Entry {
    /// What lies at `path`.
    ///
    /// # Errors
    /// What the file system says, but for links.
    pub fn at(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Folder),
            Ok(metadata) if metadata.is_file() => Ok(Self::File),
            Ok(_) => Ok(Self::Special),
            Err(_) if path.is_symlink() => Ok(Self::Dangling),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_leave_is_hidden() {
        for name in [
            ".DS_Store",
            ".ipynb_checkpoints",
            "__MACOSX",
            "@eaDir",
            "Thumbs.db",
            "THUMBS.DB",
            "desktop.ini",
            "cat.png~",
            "#cat.png#",
            "$RECYCLE.BIN",
            "__pycache__",
        ] {
            assert!(is_hidden(name), "{name}");
        }
        for name in ["cat", "a.b.png", "~cat.png", "#1", "#", "thumbs", "macosx", "_x"] {
            assert!(!is_hidden(name), "{name}");
        }
    }

    #[test]
    fn names_are_compared_composed() {
        assert_eq!(composed("Cafe\u{301}"), "Caf\u{e9}");
        assert_eq!(composed("plain"), "plain");
    }
}
