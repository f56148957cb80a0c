//! Files: safe writing, text in any encoding, tensor files, the cache folder, paths quoted for a shell.

pub(crate) mod atomic;
pub(crate) mod cache;
pub(crate) mod shell;
pub(crate) mod tensor_file;
pub(crate) mod text_file;
