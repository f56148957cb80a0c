//! From a configuration to what runs on the device: network, tasks, trainer, evaluation.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{AdaptationSetup, DeviceImages, Origin, Trainer, TrainerSetup};
use crate::model::Model;
use crate::rng::Phase;
use crate::run::config::Config;
use crate::tasks::{
    Batches, EpisodeList, Episodes, Split, SplitPart, TaskSpec, image_folder, omniglot,
};

/// A checked configuration with its data in device memory.
#[derive(Debug)]
pub struct Job {
    config: Config,
    model: Model,
    images: Option<Arc<DeviceImages>>,
    /// The names of the classes and files, without the pixels.
    names: Option<Arc<Split>>,
}

impl Job {
    /// Checks `config` and loads its data set; `progress` is told the images read and their number.
    ///
    /// # Errors
    /// [`crate::Error::Config`] and [`crate::Error::Model`] for impossible values,
    /// [`crate::Error::Data`] for the data set, [`crate::Error::Limit`] if it does not fit.
    pub fn new(gpu: &Gpu, config: Config, progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        let model = config.validate()?;
        let split = match &config.tasks {
            TaskSpec::Sine(_) | TaskSpec::Glyphs(_) => None,
            TaskSpec::Omniglot(spec) => Some(omniglot::load(spec, progress)?),
            TaskSpec::Images(spec) => Some(image_folder::load(spec, progress)?),
        };
        let (images, names) = match (split, config.tasks.episodes()) {
            (Some(mut split), Some(episodes)) => {
                split.check(episodes)?;
                let images = Arc::new(DeviceImages::new(gpu, &split)?);
                split.images.words = Vec::new();
                (Some(images), Some(Arc::new(split)))
            }
            _ => (None, None),
        };
        Ok(Self { config, model, images, names })
    }

    /// Another configuration on the same data and with the same network.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for impossible values.
    pub fn with(&self, config: Config) -> Result<Self> {
        let model = config.validate()?;
        Ok(Self { config, model, images: self.images.clone(), names: self.names.clone() })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where tasks of `part` come from.
    fn origin(&self, part: SplitPart) -> Origin {
        match (&self.config.tasks, &self.images, self.config.tasks.episodes()) {
            (TaskSpec::Sine(spec), ..) => Origin::Sine(spec.clone()),
            (TaskSpec::Glyphs(spec), ..) => Origin::Glyphs(spec.clone()),
            (_, Some(images), Some(spec)) => {
                Origin::Episodes { images: images.clone(), part, queries: spec.queries }
            }
            _ => unreachable!("`new` loads the images"),
        }
    }

    /// What the trainer is made from.
    pub fn trainer_setup(&self) -> TrainerSetup {
        self.config.trainer_setup(self.model.clone(), self.origin(SplitPart::Train))
    }

    /// A trainer at iteration 0.
    ///
    /// # Errors
    /// See [`Trainer::new`].
    pub fn trainer(&self, gpu: &Gpu) -> Result<Trainer> {
        Trainer::new(gpu, self.trainer_setup())
    }

    /// The tasks of `list`, looked up among the test classes.
    ///
    /// # Errors
    /// [`Error::Config`] if the run's tasks are not over images, else see [`EpisodeList::resolve`].
    pub fn episodes(&self, list: &EpisodeList) -> Result<Episodes> {
        let Some(split) = &self.names else {
            let message = "a list of episodes names images, and this run's tasks have none; leave \
                           --episodes out";
            return Err(Error::config("tasks.kind", message));
        };
        list.resolve(split, SplitPart::Test)
    }

    /// How run `run` is evaluated on tasks of `phase`.
    pub fn evaluation(&self, run: usize, phase: Phase) -> AdaptationSetup {
        let config = &self.config;
        let part = match phase {
            Phase::Test => SplitPart::Test,
            Phase::Validation => SplitPart::Val,
            _ => SplitPart::Train,
        };
        let [way, _, group] = config.tasks.groups();
        AdaptationSetup {
            model: self.model.clone(),
            rule: config.strategy.adaptation_rule(&config.inner),
            rate: config.inner.rate,
            weight_decay: config.inner.weight_decay,
            plan: config.plan,
            batches: Batches {
                way,
                group,
                tail: 0,
                steps: config.eval.steps,
                batch: config.eval.batch,
                replacement: config.eval.replacement,
            },
            origin: self.origin(part),
            phase,
            seed: config.seed.wrapping_add(run as u64),
            scored: true,
            transductive: vec![config.eval.transductive],
        }
    }
}
