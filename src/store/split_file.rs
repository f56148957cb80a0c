//! `split.json` in the folder of a run or a sweep: the split that its tasks are drawn from.

use std::path::Path;

use crate::data::StoredSplit;
use crate::disk::{atomic, text_file};
use crate::error::{Error, Result};

/// The file's name.
pub(crate) const NAME: &str = "split.json";

impl StoredSplit {
    /// Stores it in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        atomic::write(&folder.join(NAME), self.to_json().as_bytes())
    }

    /// What is stored in `folder`, if anything is.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged, [`Error::Io`].
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        if !path.try_exists().map_err(Error::io(&path))? {
            return Ok(None);
        }
        let text = text_file::read(&path)?;
        let remedy = "; put it back, or remove it to have the split drawn anew";
        let split = Self::from_json(&text);
        split.map(Some).map_err(|message| Error::data(&path, format!("{message}{remedy}")))
    }
}
