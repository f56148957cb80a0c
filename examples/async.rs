//! Everything awaited: the device, kernels that are compiled one by one, training, an adaptation. What runs here in a
//! small executor runs in a browser's as well; nothing waits by blocking.
//!
//! `cargo run --release --example async`

use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use reptile::meta::{Adaptation, Trainer};
use reptile::model::{Activation, Model, ModelSpec};
use reptile::optimizers::{InnerOptimizer, OuterOptimizer};
use reptile::tasks::SineSpec;

pub fn main() -> reptile::Result<()> {
    println!("mean squared error: {:.3}", pollster::block_on(train_and_adapt())?);
    Ok(())
}

pub async fn train_and_adapt() -> reptile::Result<f32> {
    let gpu = Gpu::request_async(&AdapterChoice::default(), GpuOptions::default()).await?;
    let network = ModelSpec::builder(&[1])
        .dense(64, Activation::Tanh)
        .dense(64, Activation::Tanh)
        .dense(1, Activation::Linear);
    let preparing = Trainer::builder(&gpu, &Model::new(network)?, SineSpec::default())
        .inner(InnerOptimizer::Sgd, 0.02)
        .steps(32)
        .outer(OuterOptimizer::Interpolation, 0.5)
        .iterations(1000)
        .prepare()?;
    let mut trainer =
        preparing.ready(|done, all| println!("{done} of {all} kernels compiled")).await?;
    trainer
        .advance_async(1000, |metrics| {
            if (metrics.iteration + 1).is_multiple_of(250) {
                println!("iteration {}: loss {:.3}", metrics.iteration + 1, metrics.losses[31]);
            }
            true
        })
        .await?;

    let curve = |x: &f32| 2.5 * (x + 0.7).sin();
    let points: Vec<f32> = (0..10).map(|i| i as f32 - 4.5).collect();
    let queries: Vec<f32> = (0..50).map(|i| i as f32 / 5.0 - 5.0).collect();
    let adaptation = Adaptation::builder(&trainer).support(10).queries(50).steps(32).build()?;
    let (tasks, model) = (adaptation.tasks(), trainer.model());
    tasks.upload_support_x(&gpu, model, &points)?;
    tasks.upload_support_values(&gpu, model, &points.iter().map(curve).collect::<Vec<_>>())?;
    tasks.upload_query_x(&gpu, model, &queries)?;
    let predicted = adaptation
        .run_async(0, |done, encoder| Ok(done.ask_query_outputs(encoder)?.expect("queries")))
        .await?;
    let errors = queries.iter().zip(&predicted).map(|(x, y)| (curve(x) - y).powi(2));
    Ok(errors.sum::<f32>() / 50.0)
}
