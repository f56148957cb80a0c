//! From a configuration to what runs on the device: network, tasks, trainer, evaluation.

use std::sync::Arc;

use crate::config::settings::Config;
use crate::data::{
    ArrayData, DataSet, EpisodeList, FunctionData, Reading, StoredSplit, array_tasks, image_folder,
    omniglot, task_functions,
};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{
    AdaptationSetup, DeviceArrays, DeviceImages, Origin, Trainer, TrainerSetup, try_functions,
};
use crate::model::{Loss, Model};
use crate::rng::Phase;
use crate::tasks::{Batches, EpisodeSpec, Episodes, SplitPart, TaskSpec};

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
    held: Held,
}

/// What tasks are drawn from, beside random numbers.
#[derive(Clone, Debug)]
enum Held {
    /// Nothing.
    Nothing,
    /// Images, and the names of the classes and files, without the pixels.
    Images(Arc<DeviceImages>, Arc<DataSet>),
    /// Arrays, and what is known of them, without the numbers.
    Arrays(Arc<DeviceArrays>, Arc<ArrayData>),
    /// Functions in WGSL.
    Functions(Arc<FunctionData>),
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
        config.make_paths_absolute(None)?;
        let model = config.validate()?;
        if data.purpose != Purpose::Test {
            trains_all_outputs(&config, &model)?;
        }
        let parts = data.purpose.parts(&config);
        let (stored, changed_data) = (data.split, data.changed);
        let reading = Reading { stored, changed_data, parts, ..Reading::default() };
        let held = match &config.tasks {
            TaskSpec::Sine(_) | TaskSpec::Glyphs(_) => Held::Nothing,
            TaskSpec::Omniglot(spec) => {
                let set = omniglot::read(spec, reading, progress)?;
                images(gpu, set, &spec.episodes, data.purpose)?
            }
            TaskSpec::Images(spec) => {
                let set = image_folder::read(spec, reading, progress)?;
                images(gpu, set, &spec.episodes, data.purpose)?
            }
            TaskSpec::Arrays(spec) => {
                let mut read = array_tasks::read(spec, &model, reading)?;
                let [train, val, _] = read.parts.each_ref().map(Option::as_ref);
                let parts = [train, val, array_tasks::test_part(spec, &read.parts)];
                config.take_sizes(read.sizes);
                config.validate()?;
                let arrays = Arc::new(DeviceArrays::new(gpu, &model, parts)?);
                read.parts = [const { None }; 3];
                Held::Arrays(arrays, Arc::new(read))
            }
            TaskSpec::Wgsl(spec) => {
                let read = task_functions::read(spec, reading)?;
                let functions = read.functions.with_classes(spec.way);
                try_functions(gpu, &model, &functions)?;
                Held::Functions(Arc::new(FunctionData { functions, ..read }))
            }
        };
        Ok(Self { config, model, held })
    }

    /// What there is to say about the data set: what was read and what was left out, a line a part.
    pub fn notes(&self) -> &[String] {
        match &self.held {
            Held::Nothing => &[],
            Held::Images(_, set) => &set.notes,
            Held::Arrays(_, read) => &read.notes,
            Held::Functions(read) => &read.notes,
        }
    }

    /// Classes that are missing and images that changed since the split was stored; of arrays, the parts that changed.
    pub fn changed_data(&self) -> &[String] {
        match &self.held {
            Held::Nothing | Held::Functions(_) => &[],
            Held::Images(_, set) => &set.changed,
            Held::Arrays(_, read) => &read.changed,
        }
    }

    /// What is to be stored of the split, where tasks are over a data set.
    pub fn stored_split(&self) -> Option<&StoredSplit> {
        match &self.held {
            Held::Nothing => None,
            Held::Images(_, set) => Some(&set.stored),
            Held::Arrays(_, read) => Some(&read.stored),
            Held::Functions(read) => Some(&read.stored),
        }
    }

    /// Another configuration on the same data and with the same network.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for impossible values.
    pub fn with(&self, mut config: Config) -> Result<Self> {
        if let Held::Arrays(_, read) = &self.held {
            config.take_sizes(read.sizes);
        }
        let model = config.validate()?;
        Ok(Self { config, model, held: self.held.clone() })
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
        match (&self.config.tasks, &self.held) {
            (TaskSpec::Sine(spec), _) => Origin::Sine(spec.clone()),
            (TaskSpec::Glyphs(spec), _) => Origin::Glyphs(spec.clone()),
            (TaskSpec::Arrays(spec), Held::Arrays(arrays, _)) => {
                Origin::Arrays { arrays: arrays.clone(), part, queries: spec.queries.unwrap_or(1) }
            }
            (TaskSpec::Wgsl(spec), Held::Functions(read)) => {
                let functions = read.functions.clone().with_classes(spec.way);
                Origin::Functions { functions, queries: spec.queries() }
            }
            (tasks, Held::Images(images, _)) => {
                let queries = tasks.episodes().map_or(1, |episodes| episodes.queries);
                Origin::Episodes { images: images.clone(), part, queries }
            }
            _ => unreachable!("`read` loads what the tasks are drawn from"),
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
        let Held::Images(_, set) = &self.held else {
            let message = "a list of episodes names images, and this run's tasks have none; leave \
                           the list of episodes out";
            return Err(Error::config("tasks.kind", message));
        };
        list.resolve(&set.split, SplitPart::Test)
    }

    /// How run `run` is evaluated on tasks of `phase`.
    pub fn evaluation(&self, run: usize, phase: Phase) -> AdaptationSetup {
        let config = &self.config;
        let (part, expected_tasks) = match phase {
            // The random initialisation is mostly tested by the same kernels.
            Phase::Test => (SplitPart::Test, config.eval.tasks.saturating_mul(2)),
            Phase::Validation => (SplitPart::Val, config.eval.validation_tasks),
            _ => (SplitPart::Train, 0),
        };
        let [way, _, group] = config.tasks.groups();
        AdaptationSetup {
            model: self.model.clone(),
            rule: config.strategy.adaptation_rule(&config.inner, config.inner_steps()),
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
            classes: config.tasks.classes().filter(|classes| *classes < self.model.outputs()),
            expected_tasks,
        }
    }
}

/// The images of `set` in device memory.
fn images(gpu: &Gpu, mut set: DataSet, episodes: &EpisodeSpec, purpose: Purpose) -> Result<Held> {
    if purpose == Purpose::Train
        && let Err(error) = set.split.check(episodes, &[SplitPart::Test])
    {
        set.notes.push(format!("there are no test tasks so far: {error}"));
    }
    let images = Arc::new(DeviceImages::new(gpu, &set.split)?);
    set.split.images.words = Vec::new();
    Ok(Held::Images(images, Arc::new(set)))
}

/// Refuses to train a network for fewer classes than it has outputs: the spare ones would never be right.
fn trains_all_outputs(config: &Config, model: &Model) -> Result<()> {
    let classes = config.tasks.classes().filter(|classes| *classes != model.outputs());
    if let (Loss::CrossEntropy, Some(way)) = (model.loss(), classes) {
        let units = model.outputs();
        let message = format!(
            "the last layer has {units} units for {way} classes (tasks.way); a trained network may have more outputs \
             than the tasks that it is tested on, but not than those that it is trained on"
        );
        return Err(Error::config("model.layers", message));
    }
    Ok(())
}
