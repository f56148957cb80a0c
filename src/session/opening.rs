//! A trainer in one call: of a preset, or of a run on disk.

use std::path::Path;

use crate::config::{Config, Data, Job, presets};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::meta::Trainer;
use crate::store::RunDirectory;

impl Trainer {
    /// The trainer of the preset `name` ([`presets::names`]) at iteration 0. A preset over images reads its data set
    /// from the folder that `REPTILE_DATA` names.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with the nearest name if there is no such preset; as [`Job::new`] and [`Trainer::new`].
    pub fn preset(gpu: &Gpu, name: &str) -> Result<Self> {
        let config = presets::find(name)?.config()?;
        Job::new(gpu, config, &mut |_, _| ())?.trainer(gpu)
    }

    /// The trainer of the run in `folder` at its last checkpoint: to adapt what it has learned, or to train it further in
    /// memory. Nothing of the folder is changed; [`crate::session::Session`] goes on with a run on disk.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if there is no run at `folder`, [`crate::Error::Checkpoint`] if its state is damaged; as
    /// [`Job::read`] and [`Trainer::new`].
    pub fn load(gpu: &Gpu, folder: impl AsRef<Path>) -> Result<Self> {
        let run = RunDirectory::open(&folder)?;
        let config =
            Config::from_toml(&run.config_text()?, &folder.as_ref().display().to_string())?;
        let checkpoint = run.latest(&config.validate()?)?;
        let split = run.split()?;
        let data = Data { split: split.as_ref(), ..Data::default() };
        let mut trainer = Job::read(gpu, config, data, &mut |_, _| ())?.trainer(gpu)?;
        if let Some(checkpoint) = checkpoint {
            trainer.restore(&checkpoint.state)?;
        }
        Ok(trainer)
    }
}
