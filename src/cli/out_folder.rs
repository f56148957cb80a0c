//! The folder that a command writes to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::disk::shell::quoted;

/// The folder that a command writes to: what the user named, or one of its own below `runs`, which goes again if
/// nothing was put there.
#[derive(Debug)]
pub struct OutFolder {
    path: PathBuf,
    own: bool,
}

impl OutFolder {
    /// What `command` is in messages, with its flags for the folder.
    pub fn command(command: &str, out: Option<&Path>, resume: bool) -> String {
        let out = out.map(|out| format!(" --out {}", quoted(out))).unwrap_or_default();
        format!("{command}{out}{}", if resume { " --resume" } else { "" })
    }

    /// What `make` finds for the `first` of several processes. The others do not write: `given` is a name for them, there or not.
    pub fn of_first(
        first: bool,
        given: Option<&Path>,
        make: impl FnOnce() -> Result<Self>,
    ) -> Result<Self> {
        match first {
            true => make(),
            false => Ok(Self { path: given.unwrap_or(Path::new("run")).into(), own: false }),
        }
    }

    /// `given`, or a new folder below `runs`: `name`, or that with a number. Commands that are started at the same
    /// moment get different ones.
    pub fn new(given: Option<&Path>, name: &str) -> Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path: path.into(), own: false });
        }
        let runs = Path::new("runs");
        std::fs::create_dir_all(runs).context("the folder `runs` cannot be made; give --out")?;
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        for name in std::iter::once(name.to_string()).chain(numbered) {
            let path = runs.join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, own: true }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(crate::Error::io(&path)(error).into()),
            }
        }
        unreachable!("there is always another number")
    }
}

impl std::ops::Deref for OutFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        if self.own {
            // Fails, as it should, if there is anything in it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}
