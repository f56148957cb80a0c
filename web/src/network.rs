//! A network that is trained: from a configuration or a checkpoint, and back to one.

use std::sync::atomic::{AtomicU64, Ordering};

use reptile::config::Config;
use reptile::gpu::Gpu;
use reptile::meta::{Origin, Trainer, TrainingState};
use reptile::model::Model;
use reptile::store::checkpoint::{Checkpoint, CheckpointFile, RunInfo};
use reptile::tasks::TaskSpec;
use reptile::{Error, Result};
use wasm_bindgen::prelude::*;

use crate::{settings, toml};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What errors call a checkpoint.
const NAME: &str = "file";

/// A network, and what trains it.
pub struct Network {
    /// Its configuration.
    pub config: Config,
    /// The same as TOML.
    text: String,
    /// What trains it.
    pub trainer: Trainer,
    /// Another one for each network: what was made for one does not fit the next.
    pub number: u64,
    /// The split of a checkpoint's data set.
    split: Option<String>,
    /// The checkpoint that it was opened from.
    pub opened: Option<Opened>,
}

/// A checkpoint that others were adapted from.
pub struct Opened {
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// Its parameters `[P]`.
    pub parameters: Vec<f32>,
}

impl Network {
    /// That of `config`, whose text is `text`, at meta-iteration 0.
    pub async fn new(gpu: &Gpu, config: Config, text: String) -> Result<Self> {
        let model = config.validate()?;
        if config.runs != 1 {
            return Err(Error::config("runs", format!("{}; a page trains one", config.runs)));
        }
        let origin = match &config.tasks {
            TaskSpec::Sine(spec) => Origin::Sine(spec.clone()),
            TaskSpec::Glyphs(spec) => Origin::Glyphs(spec.clone()),
            // It adapts and predicts.
            _ => Origin::filled(),
        };
        let trainer = Trainer::prepare(gpu, config.trainer_setup(model, origin))?;
        let trainer = trainer.ready(|_, _| ()).await?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { config, text, trainer, number, split: None, opened: None })
    }

    /// That of a checkpoint's `bytes`, which goes on where the checkpoint was made.
    pub async fn open(gpu: &Gpu, bytes: Vec<u8>) -> Result<Self> {
        let file = CheckpointFile::from_bytes(NAME, bytes);
        let header = file.header()?;
        let (config, text) = read(&header.run.config).map_err(|error| {
            let message = js_sys::Error::from(error).message();
            Error::checkpoint(NAME, format!("its configuration: {}", String::from(message)))
        })?;
        let checkpoint = file.checkpoint(&Model::new(config.model.clone())?)?;
        let state = first_run(&checkpoint.state)?;
        let opened = Opened { sha256: file.sha256(), parameters: state.parameters[0].clone() };
        let mut own = Box::pin(Self::new(gpu, config, text)).await?;
        own.trainer.restore(&state)?;
        (own.split, own.opened) = (checkpoint.run.split, Some(opened));
        Ok(own)
    }

    /// Whether a page has tasks of its kind.
    pub fn trains(&self) -> Result<()> {
        match &self.config.tasks {
            TaskSpec::Sine(_) | TaskSpec::Glyphs(_) => Ok(()),
            other => {
                let message = format!(
                    "a page has \"sine\" and \"glyphs\" to train on, not \"{}\"",
                    other.kind()
                );
                Err(Error::config("tasks.kind", message))
            }
        }
    }

    /// Its state as the bytes of a checkpoint.
    pub async fn saved(&self) -> Result<Vec<u8>> {
        let state = self.trainer.snapshot_async().await?;
        let run = RunInfo::new(self.config.seed, self.text.clone(), self.split.clone());
        let file = CheckpointFile::of(NAME, &Checkpoint::new(run, state), self.trainer.model())?;
        Ok(file.bytes().to_vec())
    }
}

/// The configuration that `text` is, of its first run, and the text of that.
fn read(text: &str) -> std::result::Result<(Config, String), JsValue> {
    let mut given = toml::to_json(text)?;
    let config = settings::configuration(&given)?;
    if config.runs == 1 {
        return Ok((config, text.to_owned()));
    }
    given["runs"] = 1.into();
    Ok((settings::configuration(&given)?, toml::from_json(&given)?))
}

/// The first of a checkpoint's runs.
fn first_run(state: &TrainingState) -> Result<TrainingState> {
    TrainingState::of_runs(&[(state, 0)])
}
