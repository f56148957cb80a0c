//! Trains the paper's sine network and adapts it to ten points of a curve that it has never seen.
//!
//! `cargo run --release --example quick`

use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use reptile::meta::{Adaptation, Trainer};

pub fn main() -> reptile::Result<()> {
    println!("mean squared error: {:.3}", train_and_adapt()?);
    Ok(())
}

pub fn train_and_adapt() -> reptile::Result<f32> {
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default())?;
    let mut trainer = Trainer::preset(&gpu, "sine")?;
    trainer.advance(1000, |_| true)?;

    let curve = |x: &f32| 2.5 * (x + 0.7).sin();
    let points: Vec<f32> = (0..10).map(|i| i as f32 - 4.5).collect();
    let queries: Vec<f32> = (0..50).map(|i| i as f32 / 5.0 - 5.0).collect();

    let adaptation = Adaptation::builder(&trainer).support(10).queries(50).steps(32).build()?;
    let (tasks, model) = (adaptation.tasks(), trainer.model());
    tasks.upload_support_x(&gpu, model, &points)?;
    tasks.upload_support_values(&gpu, model, &points.iter().map(curve).collect::<Vec<_>>())?;
    tasks.upload_query_x(&gpu, model, &queries)?;
    adaptation.run(0)?;

    let [_, predicted] = adaptation.query_outputs()?;
    let predicted = predicted.expect("there are queries");
    let errors = queries.iter().zip(&predicted).map(|(x, y)| (curve(x) - y).powi(2));
    Ok(errors.sum::<f32>() / 50.0)
}
