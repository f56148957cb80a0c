//! What is measured: whole meta-iterations and single kernels, on data that the device makes.

use std::sync::Arc;

use crate::config::{Config, presets};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{ImageShape, InnerRule};
use crate::meta::{AdaptationSetup, DeviceImages, Origin, TrainerSetup};
use crate::rng::Phase;
use crate::tasks::{Batches, SplitPart, TaskSpec};

/// Test tasks of the evaluation that is measured: of trained and of initial parameters, as an evaluation mostly has both.
const TESTED: usize = 2 * 10_000;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// Whole meta-iterations of the sine network.
    Sine,
    /// Whole meta-iterations of a dense network for Omniglot.
    Dense,
    /// Whole meta-iterations of the paper's Omniglot network, 5-way.
    Omniglot,
    /// The same, 20-way.
    Omniglot20Way,
    /// Whole meta-iterations of the paper's Mini-ImageNet network on small images.
    CifarFs,
    /// A dense layer alone.
    Gemm,
    /// A convolution alone.
    Conv,
    /// A batch-norm alone.
    Norm,
    /// The outer update alone.
    Reduce,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sine,
        Self::Dense,
        Self::Omniglot,
        Self::Omniglot20Way,
        Self::CifarFs,
        Self::Gemm,
        Self::Conv,
        Self::Norm,
        Self::Reduce,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sine => "sine",
            Self::Dense => "dense",
            Self::Omniglot => "omniglot",
            Self::Omniglot20Way => "omniglot-20way",
            Self::CifarFs => "cifar-fs",
            Self::Gemm => "gemm",
            Self::Conv => "conv",
            Self::Norm => "norm",
            Self::Reduce => "reduce",
        }
    }

    /// What is measured, in a line.
    pub fn description(self) -> &'static str {
        match self {
            Self::Sine => "Sine waves: 1-64-64-1 tanh, minibatches of 10, 32 SGD steps",
            Self::Dense => "10-way tasks: 784-64-64-10 ReLU, minibatches of 100, 100 SGD steps",
            Self::Omniglot => {
                "The paper's Omniglot network, 5-way: minibatches of 10, 5 Adam steps"
            }
            Self::Omniglot20Way => "The same, 20-way: minibatches of 20, 10 Adam steps",
            Self::CifarFs => {
                "The paper's Mini-ImageNet network on 32×32 images, 5-way: minibatches of 10, 8 Adam steps"
            }
            Self::Gemm => "A dense layer forward: one product of 256×256 matrices a task",
            Self::Conv => "A convolution of the Omniglot network, forward and back",
            Self::Norm => "A batch-norm of the Omniglot network, forward and back",
            Self::Reduce => "The outer update over many parameter sets",
        }
    }

    /// Whether whole meta-iterations are measured, and not kernels alone.
    pub fn is_training(self) -> bool {
        match self {
            Self::Sine | Self::Dense | Self::Omniglot | Self::Omniglot20Way | Self::CifarFs => true,
            Self::Gemm | Self::Conv | Self::Norm | Self::Reduce => false,
        }
    }

    /// The numbers of tasks M for which it is measured unless the user says otherwise.
    pub fn default_tasks(self, quick: bool) -> &'static [usize] {
        let all: &[usize] = match self {
            Self::Sine => &[1, 64, 1024, 8192],
            Self::Dense => &[10, 64],
            Self::Omniglot => &[5, 32, 128],
            Self::Omniglot20Way | Self::CifarFs => &[5, 32],
            Self::Gemm | Self::Conv => &[32],
            // More than caches hold: these are compared with a copy through memory.
            Self::Norm => &[128],
            Self::Reduce => &[6000],
        };
        if quick { &all[..all.len().min(1 + usize::from(self == Self::Sine))] } else { all }
    }

    /// What a trainer of `tasks` tasks is made from.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room for the images.
    ///
    /// # Panics
    /// For kernels alone.
    pub fn training(self, gpu: &Gpu, tasks: usize) -> Result<TrainerSetup> {
        let mut config = self.config()?;
        config.outer.meta_batch = tasks;
        // The speed does not depend on it, and nothing diverges, however many steps there are.
        config.inner.rate *= 1e-3;
        // Long enough for variants that pay only in long jobs.
        config.iterations = 1_000_000;
        let model = config.validate()?;
        let origin = origin(gpu, &config)?;
        Ok(config.trainer_setup(model, origin))
    }

    /// How the network that is trained is tested in a long job: with the preset's steps and minibatches.
    ///
    /// # Errors
    /// As [`Workload::training`].
    ///
    /// # Panics
    /// For kernels alone.
    pub fn evaluation(self, gpu: &Gpu) -> Result<AdaptationSetup> {
        let config = self.config()?;
        let (model, origin) = (config.validate()?, origin(gpu, &config)?);
        let ([way, _, group], eval) = (config.tasks.groups(), &config.eval);
        let batches = Batches {
            replacement: eval.replacement,
            ..Batches::new([way, group], eval.batch, eval.steps)
        };
        let rule = InnerRule::Optimizer(config.inner.rule());
        Ok(AdaptationSetup {
            phase: Phase::Test,
            scored: true,
            transductive: vec![eval.transductive],
            expected_tasks: TESTED,
            ..AdaptationSetup::new(&model, origin, rule, 1e-3 * config.inner.rate, batches)
        })
    }

    /// The preset behind a training, with the workload's sizes.
    fn config(self) -> Result<Config> {
        let (preset, sizes) = match self {
            Self::Sine => ("sine", Some((10, 32))),
            Self::Dense => ("omniglot-mlp-10w", Some((100, 100))),
            Self::Omniglot => ("omniglot-5w1s", None),
            Self::Omniglot20Way => ("omniglot-20w1s", None),
            Self::CifarFs => ("cifar-fs-5w1s", None),
            _ => panic!("{} is a kernel alone", self.name()),
        };
        let mut config = presets::find(preset)?.config()?;
        if let Some((batch, steps)) = sizes {
            config.inner.batch = batch;
            (config.inner.steps, config.inner.epochs) = (Some(steps), None);
        }
        Ok(config)
    }
}

/// The tasks of `config`, with one query a class.
fn origin(gpu: &Gpu, config: &Config) -> Result<Origin> {
    Ok(match (&config.tasks, config.model.input.as_slice()) {
        (TaskSpec::Sine(spec), _) => Origin::Sine(spec.clone()),
        (_, &[channels, height, width]) => {
            // Omniglot lies on the device with one bit a pixel, colours with eight.
            let bits = if channels == 1 { 1 } else { 8 };
            let words_per_image = (channels * height * width * bits).div_ceil(32);
            let shape = ImageShape { channels, height, width, bits, words_per_image };
            let images = Arc::new(DeviceImages::noise(gpu, shape, 200, 20)?);
            Origin::Episodes { images, part: SplitPart::Train, queries: 1 }
        }
        _ => unreachable!("the presets are for sine waves and images"),
    })
}
