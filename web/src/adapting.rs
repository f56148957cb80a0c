//! Adapting to a visitor's examples, and predicting. Buffers and dispatches are kept for the next time.

use std::cell::RefCell;
use std::rc::Rc;

use reptile::gpu::{Gpu, Pending};
use reptile::meta::Adaptation;
use reptile::model::{Loss, Model};
use reptile::{Error, Result};

use crate::frames::borrowed;
use crate::network::Network;

/// What is adapted to, and how.
pub struct Support {
    /// `[N, …input]`
    pub x: Vec<f32>,
    /// `[N, outputs]`, or `[N]` labels.
    pub y: Vec<f32>,
    /// Inner steps; none: the network as it is.
    pub steps: usize,
    /// Inner rate, in place of the training's.
    pub rate: Option<f32>,
    /// Classes, where they are fewer than the outputs.
    pub classes: Option<usize>,
}

/// A batch of one task that was adapted to, for the next examples.
pub struct Held {
    adaptation: Adaptation,
    key: Key,
    /// What it was adapted to, at which meta-iteration, and the parameters `[P]` that came of it.
    adapted: Option<(Rc<Support>, u64, Vec<f32>)>,
}

/// What a batch is made for.
#[derive(Clone, Copy, PartialEq)]
struct Key {
    /// The network's.
    number: u64,
    /// Room for support examples and queries.
    room: [usize; 2],
    steps: usize,
    rate: Option<f32>,
    batch: usize,
    classes: Option<usize>,
}

/// The losses `[K]` of the inner steps on `support`, and what the adapted network says of `queries`, `[Q, outputs]`. `held` has
/// the batch of the last time; what it was adapted to then is not adapted to again.
///
/// # Errors
/// [`Error::Config`] for examples and settings that do not fit, else as [`Adaptation::run`].
pub async fn adapt(
    gpu: &Gpu,
    network: &RefCell<Network>,
    held: &RefCell<Option<Held>>,
    support: &Rc<Support>,
    queries: &[f32],
) -> Result<[Vec<f32>; 2]> {
    let model = borrowed(network).await.trainer.model().clone();
    let (count, asked) = (rows(&model, "x", &support.x)?, rows(&model, "queries", queries)?);
    if count == 0 {
        return Err(Error::config("x", "there are no examples to adapt to; give one or more"));
    }
    if support.steps == 0 {
        let parameters = parameters(gpu, network).await?;
        return Ok([Vec::new(), Box::pin(predict(gpu, network, parameters, queries)).await?]);
    }
    let room = [count, asked].map(|count| count.next_power_of_two().max(16));
    let (number, batch) = {
        let network = borrowed(network).await;
        (network.number, network.config.eval.batch.min(room[0]))
    };
    let Support { steps, rate, classes, .. } = **support;
    let key = Key { number, room, steps, rate, batch, classes };
    let own = held.borrow_mut().take().filter(|held| held.key == key);
    let mut own = match own {
        Some(own) => own,
        None => Held { adaptation: prepared(network, key).await?, key, adapted: None },
    };
    // One at least, so that the batch serves for predictions as well.
    let nothing = vec![0.0; model.inputs()];
    let asked_x = if asked == 0 { &nothing } else { queries };
    own.adaptation.set_sizes(count, asked.max(1))?;
    upload(gpu, &model, &own.adaptation, support, asked_x)?;
    let iteration = borrowed(network).await.trainer.iteration();
    let known =
        own.adapted.take().filter(|(to, at, _)| Rc::ptr_eq(to, support) && *at == iteration);
    let (losses, adapted, mut outputs) = match known {
        Some((_, _, parameters)) => {
            let adapted = vec![parameters];
            let outputs = own.adaptation.run_models_async(0, &adapted, outputs).await?;
            (Vec::new(), adapted, outputs)
        }
        None => {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            own.adaptation.record_start(&mut encoder, &borrowed(network).await.trainer, 0)?;
            gpu.queue().submit([encoder.finish()]);
            let ask = |done: &Adaptation, encoder: &mut _| done.ask_support_losses(encoder);
            let losses = own.adaptation.run_async(0, ask).await?;
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let adapted = own.adaptation.ask_adapted(&mut encoder)?;
            gpu.queue().submit([encoder.finish()]);
            let adapted = adapted.await?;
            let [_, outputs] = own.adaptation.query_outputs_async().await?;
            (losses, adapted, outputs.unwrap_or_default())
        }
    };
    own.adapted = adapted.into_iter().next().map(|own| (support.clone(), iteration, own));
    *held.borrow_mut() = Some(own);
    outputs.truncate(asked * model.outputs());
    Ok([losses, outputs])
}

/// Asks for what the network says of the queries.
fn outputs(
    adaptation: &Adaptation,
    encoder: &mut wgpu::CommandEncoder,
) -> Result<Pending<Vec<f32>>> {
    let asked = adaptation.ask_query_outputs(encoder)?;
    asked.ok_or_else(|| Error::config("x", "there are no queries"))
}

/// What the network with these `parameters` `[P]` says of `queries`; the statistics of batch-norms are those of all queries.
///
/// # Errors
/// As [`adapt`].
pub async fn predict(
    gpu: &Gpu,
    network: &RefCell<Network>,
    parameters: Vec<f32>,
    queries: &[f32],
) -> Result<Vec<f32>> {
    let model = borrowed(network).await.trainer.model().clone();
    let asked = rows(&model, "x", queries)?;
    if asked == 0 {
        return Ok(Vec::new());
    }
    let preparing = {
        let network = borrowed(network).await;
        let builder = Adaptation::builder(&network.trainer).support(1).steps(1);
        let builder = builder.queries(asked.next_power_of_two().max(16));
        builder.transductive(model.has_batch_statistics()).prepare_async().await?
    };
    let mut adaptation = preparing.ready(|_, _| ()).await?;
    adaptation.set_sizes(1, asked)?;
    adaptation.tasks().upload_query_x(gpu, &model, queries)?;
    let models = [parameters];
    adaptation.run_models_async(0, &models, outputs).await
}

/// The meta-learned parameters `[P]`.
pub async fn parameters(gpu: &Gpu, network: &RefCell<Network>) -> Result<Vec<f32>> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let asked = borrowed(network).await.trainer.ask_parameters(&mut encoder, 0)?;
    gpu.queue().submit([encoder.finish()]);
    asked.await
}

async fn prepared(network: &RefCell<Network>, key: Key) -> Result<Adaptation> {
    let preparing = {
        let network = borrowed(network).await;
        let mut builder = Adaptation::builder(&network.trainer)
            .support(key.room[0])
            .queries(key.room[1])
            .steps(key.steps)
            .batch(key.batch)
            .transductive(network.config.eval.transductive);
        if let Some(rate) = key.rate {
            builder = builder.rate(rate);
        }
        if let Some(classes) = key.classes {
            builder = builder.classes(classes);
        }
        builder.prepare_async().await?
    };
    preparing.ready(|_, _| ()).await
}

fn upload(
    gpu: &Gpu,
    model: &Model,
    adaptation: &Adaptation,
    support: &Support,
    queries: &[f32],
) -> Result<()> {
    let tasks = adaptation.tasks();
    tasks.upload_support_x(gpu, model, &support.x)?;
    match model.loss() {
        Loss::Mse => tasks.upload_support_values(gpu, model, &support.y)?,
        Loss::CrossEntropy => {
            let classes = support.classes.unwrap_or(model.outputs());
            let label = |value: &f32| match *value {
                label if label.fract() == 0.0 && (0.0..classes as f32).contains(&label) => {
                    Ok(label as u32)
                }
                other => {
                    let message = format!("{other} is no class; labels are 0 to {}", classes - 1);
                    Err(Error::config("y", message))
                }
            };
            let labels: Vec<u32> = support.y.iter().map(label).collect::<Result<_>>()?;
            tasks.upload_support_labels(gpu, &labels)?;
        }
    }
    tasks.upload_query_x(gpu, model, queries)
}

/// How many inputs `values` are.
fn rows(model: &Model, name: &str, values: &[f32]) -> Result<usize> {
    let inputs = model.inputs();
    if values.len().is_multiple_of(inputs) {
        return Ok(values.len() / inputs);
    }
    let message = format!("{} numbers are no whole examples of {inputs}", values.len());
    Err(Error::config(name, message))
}
