//! Whole meta-iterations: time, overhead, device time by kernel; and the evaluation of what they train.

use std::time::Instant;

use cpu_time::ThreadTime;

use crate::error::Result;
use crate::experiments::bench::dispatches;
use crate::experiments::bench::report::{Evaluated, Measured};
use crate::experiments::bench::timing::{Effort, Timing};
use crate::gpu::Gpu;
use crate::meta::{Adaptation, AdaptationSetup, StartingPoint, Trainer, TrainerSetup, memory};

/// Measures meta-iterations of `setup`, every pipeline warm.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::advance`].
pub fn measure(gpu: &Gpu, setup: TrainerSetup, effort: Effort) -> Result<Measured> {
    let memory = memory(gpu, &setup)?;
    let (batch, steps) = (setup.batches.batch, setup.batches.steps);
    let task_steps = (setup.outer.meta_batch * setup.runs * steps) as u64;
    let flops = setup.model.flops_per_step(batch) * task_steps;
    let mut trainer = Trainer::new(gpu, setup.clone())?;
    let time = iterations(&mut trainer, effort)?;
    let kernels = dispatches::measure(&mut trainer, effort)?;
    let variants = trainer.kernel_variants();
    let submissions = trainer.submissions();
    // Processor time: while a submission is under way, the next may block inside the driver.
    let (start, host) = (Instant::now(), ThreadTime::now());
    trainer.advance(time.iterations, |_| true)?;
    let host_share = host.elapsed().as_secs_f64() / start.elapsed().as_secs_f64();
    let submits = (trainer.submissions() - submissions) as f64 / time.iterations as f64;
    let mut measured = Measured {
        task_steps: Some(task_steps),
        flops: Some(flops),
        bytes_moved: None,
        control: None,
        host_share: Some(host_share),
        plan: Some(trainer.plan().to_string()),
        variants,
        kernels,
        dispatches: trainer.kernels().len(),
        submits,
        memory,
        first_result: None,
        evaluation: None,
        time,
    };
    drop(trainer);
    let mut control = Trainer::new(gpu, setup)?;
    control.empty_inner_loops()?;
    measured.control = Some(iterations(&mut control, effort)?);
    Ok(measured)
}

/// Measures an evaluation of `setup` from initial parameters, every buffer made and every pipeline warm.
///
/// # Errors
/// As [`Adaptation::new`] and [`Adaptation::run`].
pub fn evaluation(gpu: &Gpu, setup: AdaptationSetup, effort: Effort) -> Result<Evaluated> {
    let start = StartingPoint::new(setup.model.initial(setup.seed));
    let (steps, batch) = (setup.batches.steps, setup.batches.batch);
    let tasks = Adaptation::batch_size(gpu, &setup, setup.expected_tasks);
    let flops = setup.model.flops_per_step(batch) * (tasks * steps) as u64;
    let mut adaptation = Adaptation::new(gpu, setup, tasks)?;
    adaptation.start_from(&start)?;
    let time = Timing::of(effort, |batches| {
        for batch in 0..batches as usize {
            adaptation.run(batch * tasks)?;
            adaptation.scores()?;
        }
        Ok(())
    })?;
    Ok(Evaluated { tasks, steps, batch, flops, time })
}

/// Time of a meta-iteration, its losses brought back.
fn iterations(trainer: &mut Trainer, effort: Effort) -> Result<Timing> {
    Timing::of(effort, |iterations| trainer.advance(iterations, |_| true))
}
