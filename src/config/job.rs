//! From a configuration to what runs on the device: network, tasks, trainer, evaluation.

use std::sync::Arc;

use crate::config::settings::Config;
use crate::data::{DataSet, EpisodeList, Reading, StoredSplit, image_folder, omniglot};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{AdaptationSetup, DeviceImages, Origin, Trainer, TrainerSetup};
use crate::model::Model;
use crate::rng::Phase;
use crate::tasks::{Batches, Episodes, SplitPart, TaskSpec};

/// What a data set is read for, and with it which of its parts must hold enough for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Training, and validation where the configuration has some.
    #[default]
    Train,
    /// Training, and validation in any case: a search compares by it.
    Search,
    /// Test tasks alone.
    Test,
    /// Both.
    All,
}

impl Purpose {
    fn parts(self, config: &Config) -> &'static [SplitPart] {
        use SplitPart::{Test, Train, Val};
        match (self, config.eval.every > 0) {
            (Self::Train, false) => &[Train],
            (Self::Train, true) | (Self::Search, _) => &[Train, Val],
            (Self::Test, _) => &[Test],
            (Self::All, false) => &[Train, Test],
            (Self::All, true) => &[Train, Val, Test],
        }
    }
}

/// How the data set of a job is read.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Data<'a> {
    /// The split of the run that goes on or is tested; without one it is drawn.
    pub split: Option<&'a StoredSplit>,
    /// Go on where classes of the stored split are missing, or their images changed.
    pub changed: bool,
    /// Which parts have to hold enough for a task. Default training.
    pub purpose: Purpose,
}

/// A checked configuration with its data in device memory.
#[derive(Debug)]
pub struct Job {
    config: Config,
    model: Model,
    images: Option<Arc<DeviceImages>>,
    /// The names of the classes and files, without the pixels.
    set: Option<Arc<DataSet>>,
}

impl Job {
    /// Checks `config` and loads its data set to train on it; `progress` is told the images read and their number.
    ///
    /// # Errors
    /// As [`Job::read`].
    pub fn new(gpu: &Gpu, config: Config, progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        Self::read(gpu, config, Data::default(), progress)
    }

    /// Checks `config` and loads its data set as `data` says; `progress` is told the images read and their number. The
    /// paths of the configuration become absolute.
    ///
    /// # Errors
    /// [`crate::Error::Config`] and [`crate::Error::Model`] for impossible values,
    /// [`crate::Error::Data`] for the data set, also if it is not that of the stored split,
    /// [`crate::Error::Limit`] if it does not fit.
    pub fn read(
        gpu: &Gpu,
        mut config: Config,
        data: Data<'_>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        config.make_paths_absolute()?;
        let model = config.validate()?;
        let parts = data.purpose.parts(&config);
        let reading = Reading { stored: data.split, changed_data: data.changed, parts };
        let set = match &config.tasks {
            TaskSpec::Sine(_) | TaskSpec::Glyphs(_) => None,
            TaskSpec::Omniglot(spec) => Some(omniglot::read(spec, reading, progress)?),
            TaskSpec::Images(spec) => Some(image_folder::read(spec, reading, progress)?),
        };
        let (images, set) = match set {
            Some(mut set) => {
                let episodes = config.tasks.episodes().expect("images come in episodes");
                if data.purpose == Purpose::Train
                    && let Err(error) = set.split.check(episodes, &[SplitPart::Test])
                {
                    set.notes.push(format!("there are no test tasks so far: {error}"));
                }
                let images = Arc::new(DeviceImages::new(gpu, &set.split)?);
                set.split.images.words = Vec::new();
                (Some(images), Some(Arc::new(set)))
            }
            None => (None, None),
        };
        Ok(Self { config, model, images, set })
    }

    /// What there is to say about the data set: what was read and what was left out, a line a part.
    pub fn notes(&self) -> &[String] {
        self.set.as_ref().map_or(&[], |set| &set.notes)
    }

    /// Classes that are missing and images that changed since the split was stored.
    pub fn changed_data(&self) -> &[String] {
        self.set.as_ref().map_or(&[], |set| &set.changed)
    }

    /// What is to be stored of the split, where tasks are over a data set.
    pub fn stored_split(&self) -> Option<&StoredSplit> {
        self.set.as_ref().map(|set| &set.stored)
    }

    /// Another configuration on the same data and with the same network.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for impossible values.
    pub fn with(&self, config: Config) -> Result<Self> {
        let model = config.validate()?;
        Ok(Self { config, model, images: self.images.clone(), set: self.set.clone() })
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
        let Some(set) = &self.set else {
            let message = "a list of episodes names images, and this run's tasks have none; leave \
                           the list of episodes out";
            return Err(Error::config("tasks.kind", message));
        };
        list.resolve(&set.split, SplitPart::Test)
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
