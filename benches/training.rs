//! Whole meta-iterations and single kernels' plans: `cargo bench`. Each line of a benchmark is the
//! time of a task-step (one inner step of one task); dispatches and submits are printed beside it.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use reptile::meta::{Origin, PlanKind, Trainer, TrainerSetup};
use reptile::run::{Config, presets};
use reptile::tasks::{Batches, TaskSpec};

/// A trainer of the sine preset with `tasks` tasks of 32 steps.
fn sine(gpu: &Gpu, tasks: usize, plan: PlanKind) -> Trainer {
    let text = presets::get("sine").expect("a preset");
    let config = Config::from_toml(text, "preset sine").expect("presets are valid");
    let TaskSpec::Sine(spec) = &config.tasks else { unreachable!("the sine preset") };
    let batches =
        Batches { way: 1, group: spec.points, tail: 0, steps: 32, batch: 10, replacement: false };
    let mut outer = config.outer.clone();
    outer.meta_batch = tasks;
    let setup = TrainerSetup {
        model: config.validate().expect("presets are valid"),
        seed: 0,
        runs: 1,
        iterations: 1_000_000,
        plan,
        inner: config.inner.clone(),
        outer,
        batches,
        origin: Origin::Sine(spec.clone()),
    };
    Trainer::new(gpu, setup).expect("the device takes the job")
}

/// Time of `iterations` meta-iterations, each with its losses brought back.
fn train(trainer: &mut Trainer, iterations: u64) -> Duration {
    let start = Instant::now();
    trainer.advance(iterations, |_| true).expect("training goes on");
    start.elapsed()
}

fn meta_iterations(criterion: &mut Criterion) {
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default())
        .expect("a benchmark needs an adapter");
    println!("{} ({})", gpu.info().name, gpu.info().driver_info);
    let mut group = criterion.benchmark_group("sine, 32 steps of batch 10");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (plan, name) in [(PlanKind::Fused, "fused"), (PlanKind::Layered, "layered")] {
        for tasks in [1, 64, 1024] {
            // A layered iteration of 1024 tasks takes seconds on a CPU that plays GPU.
            if plan == PlanKind::Layered && tasks > 64 {
                continue;
            }
            let mut trainer = sine(&gpu, tasks, plan);
            train(&mut trainer, 1);
            group.throughput(Throughput::Elements(32 * tasks as u64));
            group.bench_function(BenchmarkId::new(name, tasks), |bencher| {
                bencher.iter_custom(|iterations| train(&mut trainer, iterations));
            });
            println!(
                "{name}, {tasks} tasks: {} dispatches and {:.3} submits a meta-iteration",
                trainer.kernels().len(),
                trainer.submissions() as f64 / trainer.iteration() as f64
            );
        }
    }
    group.finish();
}

criterion_group!(benches, meta_iterations);
criterion_main!(benches);
