//! The one error type of the library. Every message names the thing and the remedy.

use std::path::{Path, PathBuf};

/// What can go wrong, seen from the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter, or none that matches what was asked for.
    #[error("{0}")]
    Adapter(String),

    /// The job needs more than the device offers.
    #[error("{what} needs {needed} {unit}, but the device allows {available}; {remedy}")]
    Limit {
        /// The buffer, image set or step that has no room.
        what: String,
        /// What is counted, such as bytes.
        unit: &'static str,
        /// How much it takes.
        needed: u64,
        /// How much the device allows; 0 where its memory is full.
        available: u64,
        /// What the caller can do, an imperative.
        remedy: String,
    },

    /// A kernel that the device's compiler refused: a defect of this crate or of the driver.
    #[error("kernel `{kernel}` was refused by the device: {message}")]
    Shader {
        /// Name of the shader's file.
        kernel: String,
        /// What the device's compiler said.
        message: String,
    },

    /// The device is gone (driver reset, unplugged, out of memory).
    #[error("the device was lost: {0}; open it again and go on from what was stored last")]
    DeviceLost(String),

    /// A rank of a distributed job failed or does not answer, or ranks do not fit together; the message says which, and why.
    #[error("{0}")]
    Ranks(String),

    /// A configuration key with an impossible value.
    #[error("`{key}`: {message}")]
    Config {
        /// The key with its section, such as `inner.rate`, or an option or argument.
        key: String,
        /// What is wrong with its value, and what would be right.
        message: String,
    },

    /// A network that cannot be built.
    #[error("model: {0}")]
    Model(String),

    /// A data set or a file of tasks that cannot be used.
    #[error("{}: {message}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        message: String,
    },

    /// A checkpoint that is damaged or belongs to something else.
    #[error("checkpoint {}: {message}", path.display())]
    Checkpoint {
        /// The checkpoint's file.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        message: String,
    },

    /// The loss or a parameter stopped being finite.
    #[error(
        "run {run} diverged at iteration {iteration}: the loss is {loss}; \
         lower inner.rate or outer.rate; what was saved before is kept"
    )]
    Diverged {
        /// Index of the first run that diverged, 0..R.
        run: usize,
        /// The meta-iteration at which it was seen.
        iteration: u64,
        /// Its first loss that is not finite; NaN where only parameters are not.
        loss: f32,
    },

    /// A file could not be read or written.
    #[error("{}: {error}{}", path.display(), remedy(error))]
    Io {
        /// The file or folder that was read, written or listed.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A bad value of a configuration key.
    pub fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }

    /// Something wrong with a data file or folder.
    pub fn data(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().into(), message: message.into() }
    }

    /// Something wrong with a checkpoint.
    pub fn checkpoint(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.as_ref().into(), message: message.into() }
    }

    /// An I/O error at `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |error| Self::Io { path, error }
    }
}

/// What to do about a file that could not be read or written.
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "; check the name, and that its folder exists",
        Kind::PermissionDenied => "; check who may read and write it",
        Kind::StorageFull => "; free some space",
        _ => "",
    }
}
