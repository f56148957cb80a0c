//! The network: meta-trained on sine waves, adapted to the points each frame.

use std::time::Duration;

use reptile::gpu::{Gpu, Preparing};
use reptile::meta::{Adaptation, Trainer};
use reptile::model::{Activation, Init, Model, ModelSpec};
use reptile::optimizers::{InnerOptimizer, OuterOptimizer};
use reptile::tasks::SineSpec;
use reptile::wgpu;

/// Points, at most.
pub const MOST: usize = 10;
/// Places from -5 to 5 at which the curve is known.
pub const PLACES: usize = 128;

/// What is done with the device.
pub struct Learner {
    gpu: Gpu,
    state: State,
    /// What was clicked before the network was ready.
    waiting: Vec<[f32; 2]>,
}

/// How far it is. Pipelines are compiled one a frame, until all are there.
#[expect(clippy::large_enum_variant, reason = "a program has one")]
enum State {
    Trainer(Preparing<Trainer>),
    Adaptation(Trainer, Preparing<Adaptation>),
    Ready(Trainer, Adaptation),
    /// An error ended it.
    Over,
}

impl Learner {
    /// Begins to prepare a network.
    pub fn new(gpu: Gpu) -> reptile::Result<Self> {
        let network = ModelSpec::builder(&[1])
            .dense(64, Activation::Tanh)
            .dense(64, Activation::Tanh)
            .dense(1, Activation::Linear)
            .init(Init::Torch);
        let preparing = Trainer::builder(&gpu, &Model::new(network)?, SineSpec::default())
            .inner(InnerOptimizer::Sgd, 0.02)
            .steps(5)
            .outer(OuterOptimizer::Interpolation, 0.1)
            .meta_batch(4)
            .iterations(100_000)
            .prepare()?;
        Ok(Self { gpu, state: State::Trainer(preparing), waiting: Vec::new() })
    }

    /// Pipelines that are compiled, and of how many, until all are.
    pub fn preparing(&self) -> Option<(usize, usize)> {
        match &self.state {
            State::Trainer(preparing) => Some(preparing.progress()),
            State::Adaptation(_, preparing) => Some(preparing.progress()),
            State::Ready(..) | State::Over => None,
        }
    }

    /// Meta-iterations done.
    pub fn iteration(&self) -> u64 {
        match &self.state {
            State::Adaptation(trainer, _) | State::Ready(trainer, _) => trainer.iteration(),
            State::Trainer(_) | State::Over => 0,
        }
    }

    /// Where the curve lies on the device: `[PLACES]` vectors of which the first number counts.
    pub fn outputs(&self) -> Option<&wgpu::Buffer> {
        match &self.state {
            State::Ready(_, adaptation) => adaptation.outputs().map(|rows| rows.buffer),
            _ => None,
        }
    }

    /// The curve `[x, y]` at all places; nothing before the network is ready.
    pub fn curve(&self) -> reptile::Result<Vec<[f32; 2]>> {
        let Some(buffer) = self.outputs() else { return Ok(Vec::new()) };
        let values: Vec<[f32; 4]> = self.gpu.read(buffer, 0, PLACES)?;
        Ok(places().zip(values).map(|(x, [y, ..])| [x, y]).collect())
    }

    /// From the next frame on the curve goes through `points`.
    pub fn set_points(&mut self, points: &[[f32; 2]]) -> reptile::Result<()> {
        let State::Ready(trainer, adaptation) = &mut self.state else {
            self.waiting = points.to_vec();
            return Ok(());
        };
        if points.is_empty() {
            return Ok(());
        }
        upload(&self.gpu, trainer.model(), adaptation, points)
    }

    /// A frame: compiles a pipeline, or meta-trains for about `budget` and adapts. Says whether the network is ready.
    pub fn frame(&mut self, trains: bool, budget: Duration) -> reptile::Result<bool> {
        let compiled = match &mut self.state {
            State::Trainer(preparing) => preparing.step()?,
            State::Adaptation(_, preparing) => preparing.step()?,
            State::Ready(..) | State::Over => false,
        };
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Trainer(preparing) if compiled => {
                let trainer = preparing.finish()?;
                let builder = Adaptation::builder(&trainer).support(MOST).queries(PLACES);
                let preparing = builder.steps(32).prepare()?;
                State::Adaptation(trainer, preparing)
            }
            State::Adaptation(trainer, preparing) if compiled => {
                let mut adaptation = preparing.finish()?;
                // The kernels that are told sizes are compiled now, and not when somebody clicks.
                upload(&self.gpu, trainer.model(), &mut adaptation, &[[0.0, 0.0]])?;
                if !self.waiting.is_empty() {
                    upload(&self.gpu, trainer.model(), &mut adaptation, &self.waiting)?;
                }
                State::Ready(trainer, adaptation)
            }
            State::Ready(mut trainer, mut adaptation) => {
                let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
                if trains {
                    trainer.record_within(&mut encoder, budget)?;
                }
                adaptation.record_start(&mut encoder, &trainer, 0)?;
                adaptation.record(&mut encoder, 0)?;
                self.gpu.queue().submit([encoder.finish()]);
                State::Ready(trainer, adaptation)
            }
            other => other,
        };
        Ok(matches!(self.state, State::Ready(..)))
    }
}

/// The places of the curve.
fn places() -> impl Iterator<Item = f32> {
    (0..PLACES).map(|i| 10.0 * i as f32 / (PLACES - 1) as f32 - 5.0)
}

fn upload(
    gpu: &Gpu,
    model: &Model,
    adaptation: &mut Adaptation,
    points: &[[f32; 2]],
) -> reptile::Result<()> {
    adaptation.set_sizes(points.len(), PLACES)?;
    let [x, y] = [0, 1].map(|axis| points.iter().map(|it| it[axis]).collect::<Vec<f32>>());
    let tasks = adaptation.tasks();
    tasks.upload_support_x(gpu, model, &x)?;
    tasks.upload_support_values(gpu, model, &y)?;
    tasks.upload_query_x(gpu, model, &places().collect::<Vec<_>>())
}
