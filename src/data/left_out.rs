//! What a reader of a data set leaves out, and why: said in a line, never in silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::names;

/// Why something is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// A link whose target is gone.
    DanglingLink,
    /// A file with this extension, which is not read here.
    Format(String),
    /// A folder where files were expected.
    Folder,
    /// The same, with images in it.
    FolderOfImages,
    /// A folder that leads back to where it lies, or lies too deep.
    Deep,
    /// Neither a file nor a folder: a pipe, a socket, a device.
    Special,
    /// A file where the classes' folders were expected.
    BesideFolders,
    /// An image of Omniglot that does not lie in `Alphabet/character/`.
    Depth,
}

impl Reason {
    /// The reason of a file that is no image by its name.
    pub fn format_of(path: &Path) -> Self {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Self::Format(extension)
    }

    fn words(&self, count: usize) -> String {
        let many = |one: &str, many: &str| names::count(count, one, many);
        match self {
            Self::DanglingLink => many("link to nothing", "links to nothing"),
            Self::Format(extension) if extension.is_empty() => {
                many("file without an extension", "files without an extension")
            }
            Self::Format(extension) => {
                let files = many("file", "files");
                format!("{files} .{extension}, which is not read")
            }
            Self::Folder => {
                let folders = many("folder", "folders");
                format!("{folders}, not looked into")
            }
            Self::FolderOfImages => {
                let folders = many("folder", "folders");
                format!("{folders} with images inside a class, not looked into")
            }
            Self::Deep => {
                let folders = many("folder", "folders");
                format!("{folders} too deep or leading back, not looked into")
            }
            Self::Special => many("pipe, socket or device", "pipes, sockets or devices"),
            Self::BesideFolders => many("file beside the classes", "files beside the classes"),
            Self::Depth => {
                let images = many("image", "images");
                format!("{images} not in a folder Alphabet/character")
            }
        }
    }
}

/// What was left out of one part of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut(BTreeMap<Reason, Vec<PathBuf>>);

impl LeftOut {
    /// Notes that `path` does not count.
    pub fn add(&mut self, reason: Reason, path: &Path) {
        self.0.entry(reason).or_default().push(path.to_path_buf());
    }

    /// «; left out: 2 files .txt, which is not read (train/c0/notes.txt, …)», with paths below `folder`; nothing if
    /// there is nothing.
    pub fn words(&self, folder: &Path) -> String {
        let one = |(reason, paths): (&Reason, &Vec<PathBuf>)| {
            let first = paths[0].strip_prefix(folder).unwrap_or(&paths[0]);
            let more = if paths.len() > 1 { ", …" } else { "" };
            format!("{} ({}{more})", reason.words(paths.len()), first.display())
        };
        let all: Vec<String> = self.0.iter().map(one).collect();
        if all.is_empty() { String::new() } else { format!("; left out: {}", all.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_said_with_an_example() {
        let mut left = LeftOut::default();
        assert_eq!(left.words(Path::new("d")), "");
        for name in ["a.HEIC", "b.heic"] {
            let path = Path::new("d/train/c0").join(name);
            left.add(Reason::format_of(&path), &path);
        }
        left.add(Reason::DanglingLink, Path::new("d/train/c9"));
        assert_eq!(
            left.words(Path::new("d")),
            "; left out: 1 link to nothing (train/c9), 2 files .heic, which is not read \
             (train/c0/a.HEIC, …)"
        );
    }
}
