//! Files: safe writing, text in any encoding, tensor files, the cache folder, paths quoted for a shell.

#[cfg(feature = "data")]
pub(crate) mod atomic;
#[cfg(feature = "data")]
pub(crate) mod cache;
#[cfg(feature = "experiments")]
pub(crate) mod partial;
pub(crate) mod read;
#[cfg(feature = "data")]
pub(crate) mod shell;
pub(crate) mod tensor_file;
pub(crate) mod text_file;
