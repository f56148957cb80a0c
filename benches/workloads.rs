//! The workloads of `reptile bench` under criterion, for development: `cargo bench -- omniglot`. A line
//! is the time of a task-step (one inner step of one task), or of one run of a kernel; dispatches and
//! submits of a meta-iteration are printed beside it.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reptile::experiments::bench::{Workload, kernels_of};
use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use reptile::meta::{PlanKind, Trainer};

/// Plans, and numbers of tasks, of a training.
fn sizes(workload: Workload) -> Vec<(PlanKind, usize)> {
    match workload {
        // A layered iteration of 1024 tasks takes seconds on a CPU that plays GPU.
        Workload::Sine => vec![
            (PlanKind::Fused, 1),
            (PlanKind::Fused, 64),
            (PlanKind::Fused, 1024),
            (PlanKind::Layered, 1),
            (PlanKind::Layered, 64),
        ],
        _ => vec![(PlanKind::Layered, workload.default_tasks(true)[0])],
    }
}

/// Time of `iterations` meta-iterations, their losses brought back.
fn train(trainer: &mut Trainer, iterations: u64) -> Duration {
    let start = Instant::now();
    trainer.advance(iterations, |_| true).expect("training goes on");
    start.elapsed()
}

fn workloads(criterion: &mut Criterion) {
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default())
        .expect("a benchmark needs an adapter");
    println!("{} ({})", gpu.info().name, gpu.info().driver_info);
    for workload in &Workload::ALL {
        let mut group = criterion.benchmark_group(workload.name());
        group.sample_size(10).measurement_time(Duration::from_secs(5));
        if !workload.is_training() {
            let tasks = workload.default_tasks(true)[0];
            for kernel in kernels_of(&gpu, *workload, tasks).expect("the device takes the job") {
                group.bench_function(&kernel.shape, |bencher| {
                    bencher.iter_custom(|iterations| {
                        let start = Instant::now();
                        kernel.recording.run_times(&gpu, iterations).expect("the device answers");
                        start.elapsed()
                    });
                });
            }
            continue;
        }
        for (plan, tasks) in sizes(*workload) {
            let mut setup = workload.training(&gpu, tasks).expect("the device takes the images");
            setup.plan = plan;
            let steps = setup.batches.steps;
            let mut trainer = Trainer::new(&gpu, setup).expect("the device takes the job");
            train(&mut trainer, 1);
            group.throughput(Throughput::Elements((steps * tasks) as u64));
            group.bench_function(BenchmarkId::new(plan.name(), tasks), |bencher| {
                bencher.iter_custom(|iterations| train(&mut trainer, iterations));
            });
            println!(
                "{}, {tasks} tasks: {} dispatches and {:.3} submits a meta-iteration",
                plan.name(),
                trainer.kernels().len(),
                trainer.submissions() as f64 / trainer.iteration() as f64
            );
        }
    }
}

criterion_group!(benches, workloads);
criterion_main!(benches);
